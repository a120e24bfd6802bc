//! Deterministic core: job specifications, commands and their `apply`, the scheduler, the HCL parser, the launch times
//! of periodic jobs, searches, and the configuration of autopilot.
//!
//! Nothing here uses a clock, randomness, I/O or a runtime. Times and random values are passed in, so equal inputs give
//! equal results on every server and in every simulation.

pub mod autopilot;
pub mod command;
pub mod filter;
pub mod hcl;
pub mod job;
pub mod jobspec;
pub mod limits;
pub mod periodic;
mod regexp;
pub mod scheduler;
pub mod search;
pub mod state;
mod version;
