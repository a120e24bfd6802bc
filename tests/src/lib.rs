//! Code shared by the tests and benchmarks: clusters of real processes, an HTTP client, load generators, and rules for
//! the source tree.

pub mod bench;
pub mod cli;
pub mod damage;
pub mod golden;
pub mod harness;
pub mod http;
pub mod jobs;
pub mod load;
pub mod observe;
pub mod overload;
pub mod sim;
pub mod tidy;
