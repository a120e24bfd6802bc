//! What the tests and the benchmark share: clusters of real processes, an HTTP client, load, and the rules
//! that hold for the tree itself.

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
