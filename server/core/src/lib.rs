//! Decides: job specifications, commands and their `apply`, the scheduler, the reading of HCL,
//! the times of periodic jobs, the configuration of autopilot.
//!
//! Nothing here has a clock, randomness, I/O or a runtime: time and chance come in as values, so equal
//! inputs give equal results on every server and in every simulation.

pub mod autopilot;
pub mod command;
pub mod filter;
pub mod hcl;
pub mod job;
pub mod jobspec;
pub mod limits;
pub mod periodic;
pub mod scheduler;
pub mod state;
