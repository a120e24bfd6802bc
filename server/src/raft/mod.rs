//! Raft between servers: the client's and the service's side of it over gRPC.

pub mod network;
pub mod service;
mod wire;
