//! What a server is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Raft's timing. Fail-over takes about the greatest election timeout and a draw on top of it; a sync
/// that is slower than that makes a leader lose its followers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTiming {
    /// How often the leader says that it is there.
    pub heartbeat_interval_ms: u64,
    /// The least time without a leader after which a server stands for election.
    pub election_timeout_min_ms: u64,
    /// The greatest such time, and the lease of a leader.
    pub election_timeout_max_ms: u64,
    /// Log entries after which a snapshot is taken.
    pub snapshot_logs: u64,
    /// Log entries that are kept behind the newest snapshot. A follower that lacks fewer catches up from the
    /// log; and one that takes over a snapshot needs those that were written while it did, or it must take
    /// over the next one, and so on for as long as the load lasts. They cost disk, and writes: with 100,000
    /// of them the benchmark registered about a tenth fewer jobs a second than with 20,000.
    pub logs_kept: u64,
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: 50,
            election_timeout_min_ms: 150,
            election_timeout_max_ms: 300,
            snapshot_logs: 20_000,
            logs_kept: 20_000,
        }
    }
}

/// A server's options.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where the server keeps its data; a directory of its own.
    pub data_dir: PathBuf,
    /// The server's name, unique in its region.
    pub name: String,
    /// The region.
    pub region: String,
    /// The datacenter.
    pub datacenter: String,
    /// Where the HTTP API is served.
    pub http_bind: SocketAddr,
    /// Where raft, the other servers and the node agents come in.
    pub rpc_bind: SocketAddr,
    /// A second port that joins may come to (Nomad's gossip port); none where it could not be wanted.
    pub serf_bind: Option<SocketAddr>,
    /// `host:port` of the HTTP API as others reach it.
    pub http_advertise: String,
    /// `host:port` of the RPC port as others reach it.
    pub rpc_advertise: String,
    /// `host:port` of the second port as others reach it.
    pub serf_advertise: String,
    /// Servers that form the cluster when they find each other.
    pub bootstrap_expect: u32,
    /// `host:port` of servers to join, tried for as long as there is none.
    pub retry_join: Vec<String>,
    /// Raft's timing.
    pub raft: RaftTiming,
    /// How long a node may be silent; it shows itself three times in this time.
    pub heartbeat_ttl: Duration,
    /// How much longer a silent node is waited for before it is down.
    pub heartbeat_grace: Duration,
    /// By how much this server's clock may differ from the median of the members' clocks: with more it is no
    /// leader.
    pub clock_skew_max: Duration,
    /// How long a sync of the raft log may take: with a slower disk it is no leader.
    pub sync_time_max: Duration,
    /// How long a client of the HTTP API may take nothing of what is sent to it.
    pub http_stall_max: Duration,
    /// Whether this process also runs a node agent (shown by `/v1/agent/self` and `/v1/agent/health`).
    pub with_client: bool,
    /// Scheduler workers.
    pub workers: usize,
}
