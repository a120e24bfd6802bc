//! Raft between servers: the client's and the service's side of it over gRPC.

mod check;
mod fuzzing;
pub mod network;
pub mod service;
mod wire;

pub(crate) use check::SERVER_TEXT_BYTES_MAX;
pub use fuzzing::{check_append, check_snapshot, check_vote};
