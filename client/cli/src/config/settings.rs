//! The agent's configuration as plain values.

use super::address::HostPort;
use ordu_proto::state::AutopilotConfig;
use ordu_server::limits::Limits;
use ordu_server::trust::Key;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The complete configuration of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Whether this is a development agent.
    pub dev: bool,
    /// The agent's name, unique in its region; by default the host's name.
    pub name: String,
    /// The region.
    pub region: String,
    /// The datacenter.
    pub datacenter: String,
    /// Directory of the server's and the node's data. It need not exist.
    pub data_dir: PathBuf,
    /// Whether the data directory is removed when the agent ends.
    pub data_dir_is_temporary: bool,
    /// Addresses to listen on.
    pub listeners: Listeners,
    /// Addresses that others are told.
    pub advertised: Advertised,
    /// The machine's address in `advertised.rpc`, if it was found on an interface instead of configured.
    pub own_address: Option<IpAddr>,
    /// A needed address of this machine that does not exist yet, as a sentence. The agent cannot start until a
    /// configuration without it is read: a placeholder stands for the address.
    pub missing_address: Option<String>,
    /// Further host names under which browsers may use the HTTP API; `*` for any name.
    pub http_allowed_hosts: Vec<String>,
    /// Connections to the HTTP API that one client address may have open; 0 for no limit.
    pub http_conns_per_client_max: usize,
    /// Least severe level that is logged.
    pub log_level: LogLevel,
    /// Whether log lines are JSON objects.
    pub log_json: bool,
    /// Whether the node may run `raw_exec` tasks.
    pub raw_exec_enabled: bool,
    /// Set if the agent is a server.
    pub server: Option<ServerSettings>,
    /// Set if the agent is a node.
    pub client: Option<ClientSettings>,
    /// Warnings to log, about keys that have no effect in Ordu.
    pub warnings: Vec<String>,
}

/// Addresses to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listeners {
    /// The HTTP API.
    pub http: SocketAddr,
    /// gRPC.
    pub rpc: SocketAddr,
    /// The second port at which joining servers may find this one.
    pub serf: SocketAddr,
}

/// Addresses that others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// The HTTP API.
    pub http: HostPort,
    /// gRPC.
    pub rpc: HostPort,
    /// The second port at which joining servers may find this one.
    pub serf: HostPort,
}

/// Log levels, from the most to the least verbose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// Also what developers need.
    Debug,
    /// Also what operators want to know.
    Info,
    /// Also what may become a problem.
    Warn,
    /// Only problems.
    Error,
}

impl LogLevel {
    /// Returns the level's name in lower case, as log filters expect it.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        }
    }
}

/// `server { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Servers that must find each other before they form a cluster; 0: only join an existing one.
    pub bootstrap_expect: u32,
    /// Servers to try repeatedly until one is found.
    pub retry_join: Vec<HostPort>,
    /// Raft's timing; missing values are the server's defaults.
    pub raft: RaftTiming,
    /// Factor on all of raft's times, for servers that are far apart.
    pub raft_multiplier: u32,
    /// Scheduler workers; by default one per core.
    pub num_schedulers: Option<u32>,
    /// Minimum time to live of a node's session, milliseconds.
    pub min_heartbeat_ttl_ms: Option<u64>,
    /// How long beyond its time to live a silent node is waited for, milliseconds.
    pub heartbeat_grace_ms: Option<u64>,
    /// Maximum difference between the server's clock and the other servers', milliseconds. Ordu's own key.
    pub clock_skew_limit_ms: Option<u64>,
    /// Maximum duration of a sync of the raft log, milliseconds. Ordu's own key.
    pub sync_limit_ms: Option<u64>,
    /// How long every server must support a feature level before the cluster is raised to it, milliseconds.
    /// Ordu's own key.
    pub feature_level_after_ms: Option<u64>,
    /// How long a client of the HTTP API may receive nothing of its answer, milliseconds. Ordu's own key.
    pub http_stall_limit_ms: Option<u64>,
    /// Megabytes that should be free on the disk of the data. Ordu's own key.
    pub disk_free_min_mb: Option<u64>,
    /// `autopilot { … }`: used when the cluster is formed; afterwards only the API changes it.
    pub autopilot: AutopilotConfig,
    /// The key that servers prove to each other.
    pub encrypt: Option<Key>,
    /// Whether servers without the key are refused. Ordu's own key.
    pub encrypt_verify: bool,
}

impl ServerSettings {
    /// Returns the limits that can change while the server runs.
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        let set = |ms: Option<u64>, default: Duration| ms.map_or(default, Duration::from_millis);
        Limits {
            clock_skew_max: set(self.clock_skew_limit_ms, default.clock_skew_max),
            sync_time_max: set(self.sync_limit_ms, default.sync_time_max),
            http_stall_max: set(self.http_stall_limit_ms, default.http_stall_max),
            disk_free_bytes_min: self.disk_free_min_mb.map(|mb| mb << 20),
        }
    }
}

/// `raft { … }` in `server`: Ordu's own block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RaftTiming {
    /// Interval of the leader's heartbeats, milliseconds.
    pub heartbeat_interval_ms: Option<u64>,
    /// Minimum silence of the leader before an election, milliseconds.
    pub election_timeout_min_ms: Option<u64>,
    /// Maximum silence of the leader before an election, milliseconds.
    pub election_timeout_max_ms: Option<u64>,
    /// Log entries after which a snapshot is taken.
    pub snapshot_logs: Option<u64>,
    /// Megabytes of log entries after which a snapshot is taken.
    pub snapshot_mb: Option<u64>,
    /// Log entries that are kept behind the newest snapshot.
    pub logs_kept: Option<u64>,
    /// Megabytes of log entries that are kept behind the newest snapshot.
    pub logs_kept_mb: Option<u64>,
    /// How long log entries are kept behind the newest snapshot, milliseconds.
    pub logs_kept_age_ms: Option<u64>,
    /// Megabytes of log entries that are kept for followers that are behind.
    pub logs_held_mb: Option<u64>,
}

/// `client { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The node's servers (gRPC addresses). If none is given and the agent is a server, that server.
    pub servers: Vec<HostPort>,
    /// The node's class.
    pub node_class: String,
    /// The node's metadata.
    pub meta: BTreeMap<String, String>,
    /// Legacy options of drivers and fingerprints.
    pub options: BTreeMap<String, String>,
    /// Resources that tasks may not use.
    pub reserved: ReservedResources,
    /// The node's CPU capacity, MHz, if it cannot be detected or must not be used completely.
    pub cpu_total_compute_mhz: Option<u64>,
    /// The disk space for allocations, MB, if not all that is free may be used.
    pub disk_free_mb: Option<u64>,
    /// The node's memory, MB, if it cannot be detected or must not be used completely.
    pub memory_total_mb: Option<u64>,
    /// The interface whose address tasks get; by default that of the default route.
    pub network_interface: Option<String>,
}

/// `reserved { … }` in `client`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReservedResources {
    /// CPU, MHz.
    pub cpu_mhz: u64,
    /// Memory, MB.
    pub memory_mb: u64,
    /// Disk, MB.
    pub disk_mb: u64,
}
