//! A whole cluster in one process, on a virtual network and a virtual clock, driven by a seed: the
//! servers' real gRPC and HTTP handlers over simulated TCP, crashes that lose what was not synced,
//! partitions, and at the end a time without faults in which all must agree.
//!
//! What comes from chance comes from the seed: turmoil's links, tokio's own choices (seeded under
//! `tokio_unstable`), raft's election timeouts, ids, and the faults drawn here. So two runs of one seed
//! give one trace.

mod net;
mod run;

pub use run::{Faults, Report, run};
