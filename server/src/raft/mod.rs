//! Raft between servers: startup, and the gRPC client and service.

mod check;
mod fuzzing;
pub mod network;
pub mod service;
mod start;
mod wire;

pub(crate) use check::SERVER_TEXT_BYTES_MAX;
pub use fuzzing::{check_append, check_snapshot, check_vote};
pub(crate) use start::start;
