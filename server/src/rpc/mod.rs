//! The gRPC services beside raft's: what servers ask of each other, and the sessions of node agents.

pub(crate) mod bounds;
pub mod node_session;
pub mod server;
