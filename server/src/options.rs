//! Options given to a server at its start.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::LimitsInForce;
use crate::trust::Trust;
use ordu_proto::state::AutopilotConfig;

/// Maximum of `raft_multiplier`, as in Nomad.
pub const RAFT_MULTIPLIER_MAX: u32 = 10;

/// Raft's timing. Fail-over takes about the maximum election timeout plus a random delay. If a log sync takes
/// longer than that, the leader loses its followers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTiming {
    /// Interval between the leader's heartbeats.
    pub heartbeat_interval_ms: u64,
    /// Minimum time without a leader after which a server stands for election.
    pub election_timeout_min_ms: u64,
    /// Maximum of that time, and the leader's lease.
    pub election_timeout_max_ms: u64,
    /// Factor already applied to the times above, relative to servers in one rack. Other timeouts between
    /// servers are scaled by it, too. 1 to 10; Nomad's `raft_multiplier`.
    pub multiplier: u32,
}

impl RaftTiming {
    /// Returns `base`, a timeout for servers in one rack, times the multiplier, which counts for at most
    /// `times_max`.
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

/// When snapshots are taken, and how much of the log is kept behind the newest one. A follower that lacks no
/// more than that catches up from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// Number of log entries after which a snapshot is taken …
    pub snapshot_entries: u64,
    /// … and bytes of entries.
    pub snapshot_bytes: u64,
    /// Log entries kept behind the newest snapshot. They cost disk space and write throughput: in the
    /// benchmark, 100,000 instead of 20,000 lowered the job registration rate by about a tenth.
    pub kept_entries: u64,
    /// Bytes of entries kept behind the newest snapshot.
    pub kept_bytes: u64,
    /// For how long an entry is kept behind the newest snapshot; also the age of an entry that triggers a
    /// snapshot.
    pub kept_age: Duration,
    /// Bytes of entries kept for followers that are behind or receiving a snapshot. A follower that needs
    /// more gets another snapshot.
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

/// How long every server must support a feature level before the leader raises the cluster's level to it.
/// Within this time an operator can go back to the previous release.
pub const FEATURE_LEVEL_AFTER: Duration = Duration::from_secs(10 * 60);

/// A node agent in the same process, of which the server knows only how to read its figures.
#[derive(Clone)]
pub struct LocalClient(Arc<ReadFigures>);

/// Reads figures by the names that Nomad gives them.
type ReadFigures = dyn Fn() -> BTreeMap<&'static str, String> + Send + Sync;

impl LocalClient {
    /// Creates the client whose figures `read` returns.
    pub fn new(read: impl Fn() -> BTreeMap<&'static str, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Returns its current figures.
    pub fn figures(&self) -> BTreeMap<&'static str, String> {
        (self.0)()
    }
}

impl fmt::Debug for LocalClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalClient")
    }
}

/// A server's options.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The data directory, used by this server alone.
    pub data_dir: PathBuf,
    /// The server's name, unique in its region.
    pub name: String,
    /// The region.
    pub region: String,
    /// The datacenter.
    pub datacenter: String,
    /// Listen address of the HTTP API.
    pub http_bind: SocketAddr,
    /// Listen address for raft, other servers and node agents.
    pub rpc_bind: SocketAddr,
    /// Second listen address for join requests (Nomad's gossip port), if any.
    pub serf_bind: Option<SocketAddr>,
    /// `host:port` of the HTTP API as others reach it.
    pub http_advertise: String,
    /// Further host names under which browsers may use the HTTP API; `*` for any name.
    pub http_allowed_hosts: Vec<String>,
    /// Connections to the HTTP API that one client address may have open, except loopback; 0 for no limit.
    pub http_conns_per_client_max: usize,
    /// `host:port` of the RPC port as others reach it.
    pub rpc_advertise: String,
    /// `host:port` of the second port as others reach it.
    pub serf_advertise: String,
    /// This machine's address in `rpc_advertise` if it was detected and so may change; `None` if configured.
    pub own_address: Option<IpAddr>,
    /// What servers must prove to each other.
    pub trust: Trust,
    /// Number of servers that must find each other to form the cluster.
    pub bootstrap_expect: u32,
    /// `host:port` of servers to join; retried until this server has a cluster.
    pub retry_join: Vec<String>,
    /// Raft's timing.
    pub raft: RaftTiming,
    /// When snapshots are taken and how much of the log is kept.
    pub log: LogBounds,
    /// Initial autopilot configuration; the cluster's first leader stores it.
    pub autopilot: AutopilotConfig,
    /// How long every server must support a feature level before the leader raises the cluster's level to it.
    pub feature_level_after: Duration,
    /// How long a node may be silent; nodes send three heartbeats in this time.
    pub heartbeat_ttl: Duration,
    /// Additional time before a silent node is marked down.
    pub heartbeat_grace: Duration,
    /// Limits that may be changed while the server runs.
    pub limits: LimitsInForce,
    /// The node agent that this process also runs, if any (shown by `/v1/agent/self` and `/v1/agent/health`).
    pub client: Option<LocalClient>,
    /// Number of scheduler workers.
    pub workers: usize,
}
