//! What a server is told at its start.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::LimitsInForce;
use crate::trust::Trust;
use ordu_proto::state::AutopilotConfig;

/// The most that `raft_multiplier` may be; Nomad's bound.
pub const RAFT_MULTIPLIER_MAX: u32 = 10;

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
    /// By how much these times, which have it in them, are longer than those of servers in one rack. Other times that
    /// servers wait for each other are longer by it, too. 1 to 10; Nomad's `raft_multiplier`.
    pub multiplier: u32,
}

impl RaftTiming {
    /// Longer by the multiplier than `base`, which is right in a rack, up to so many times.
    pub fn scaled(&self, base: Duration, times_max: u32) -> Duration {
        base * self.multiplier.clamp(1, times_max)
    }
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: 50,
            election_timeout_min_ms: 150,
            election_timeout_max_ms: 300,
            multiplier: 1,
        }
    }
}

/// When a snapshot is taken, and what of the log is kept behind it. A follower that lacks no more than that catches up
/// from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// Log entries after which a snapshot is taken …
    pub snapshot_entries: u64,
    /// … and bytes of entries.
    pub snapshot_bytes: u64,
    /// Log entries that are kept behind the newest snapshot. They cost disk, and writes: with 100,000 of them the
    /// benchmark registered about a tenth fewer jobs a second than with 20,000.
    pub kept_entries: u64,
    /// Bytes of entries that are kept behind it.
    pub kept_bytes: u64,
    /// For how long an entry is kept behind it, and how old one may get before a snapshot is taken.
    pub kept_age: Duration,
    /// Bytes of entries that are kept for followers that are behind, or take over a snapshot, and need them to catch
    /// up. One that needs more is sent a snapshot anew.
    pub held_bytes: u64,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self {
            snapshot_entries: 20_000,
            snapshot_bytes: 256 * 1024 * 1024,
            kept_entries: 20_000,
            kept_bytes: 256 * 1024 * 1024,
            kept_age: Duration::from_secs(60 * 60),
            held_bytes: 4 * 1024 * 1024 * 1024,
        }
    }
}

/// For how long every server has to know a feature level before the cluster's rises to it: an operator who is not content
/// with a new release goes back within this time.
pub const FEATURE_LEVEL_AFTER: Duration = Duration::from_secs(10 * 60);

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
    /// The address of this machine in `rpc_advertise`, where it was found out and may change; none where it was
    /// configured.
    pub own_address: Option<IpAddr>,
    /// What servers have to prove to one another.
    pub trust: Trust,
    /// Servers that form the cluster when they find each other.
    pub bootstrap_expect: u32,
    /// `host:port` of servers to join, tried for as long as there is none.
    pub retry_join: Vec<String>,
    /// Raft's timing.
    pub raft: RaftTiming,
    /// How much of the raft log is kept.
    pub log: LogBounds,
    /// How the leader looks after the servers, until that is set for the cluster: its first leader sets it to this.
    pub autopilot: AutopilotConfig,
    /// For how long every server has to know a feature level before the leader raises the cluster's to it.
    pub feature_level_after: Duration,
    /// How long a node may be silent; it shows itself three times in this time.
    pub heartbeat_ttl: Duration,
    /// How much longer a silent node is waited for before it is down.
    pub heartbeat_grace: Duration,
    /// What may be changed while the server runs.
    pub limits: LimitsInForce,
    /// Whether this process also runs a node agent (shown by `/v1/agent/self` and `/v1/agent/health`).
    pub with_client: bool,
    /// Scheduler workers.
    pub workers: usize,
}
