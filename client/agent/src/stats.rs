//! The agent's figures, published to the process that runs the agent.

use std::time::{Duration, Instant};

/// Figures of a node agent.
#[derive(Clone, Debug, Default)]
pub struct NodeStats {
    /// The node's id; empty until the data directory is open.
    pub node_id: String,
    /// RPC addresses of the servers that the agent may turn to.
    pub known_servers: Vec<String>,
    /// Allocations whose files the node has, running or not.
    pub num_allocations: usize,
    /// When a server last acknowledged a heartbeat.
    pub last_heartbeat: Option<Instant>,
    /// Time to live that the server gave the node; zero before the first session.
    pub heartbeat_ttl: Duration,
}
