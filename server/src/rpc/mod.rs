//! The gRPC services beside raft's: what servers ask of each other, and the sessions of node agents.

pub mod node_session;
pub mod server;
