//! Simulates a whole cluster in one process, on a virtual network and a virtual clock, driven by a seed. Runs the
//! servers' real gRPC and HTTP handlers over simulated TCP, with partitions and with crashes that lose unsynced data.
//! After a final period without faults all servers must agree.
//!
//! All randomness derives from the seed: turmoil's links, tokio's scheduling (seeded under `tokio_unstable`), raft's
//! election timeouts, ids, and the faults. So two runs with one seed produce the same trace.

mod net;
mod run;

pub use run::{Faults, Report, run};
