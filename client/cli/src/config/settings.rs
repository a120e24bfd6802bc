//! What an agent is told, as plain values.

use super::address::HostPort;
use ordu_proto::state::AutopilotConfig;
use ordu_server::limits::Limits;
use ordu_server::trust::Key;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The whole configuration of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// A development agent.
    pub dev: bool,
    /// The agent's name, unique in its region; the host's name unless set.
    pub name: String,
    /// The region.
    pub region: String,
    /// The datacenter.
    pub datacenter: String,
    /// Where server and node keep their data. It need not exist.
    pub data_dir: PathBuf,
    /// The data directory is to be removed at the end.
    pub data_dir_is_temporary: bool,
    /// Where the agent listens.
    pub listeners: Listeners,
    /// What it tells others to reach it at.
    pub advertised: Advertised,
    /// The address of this machine in `advertised.rpc`, where it was found out; none where it was configured.
    pub own_address: Option<IpAddr>,
    /// An address of this machine that is not there yet, as a sentence. Until a configuration without is read, the
    /// agent cannot start: what stands for that address is none.
    pub missing_address: Option<String>,
    /// The least severe level that is logged.
    pub log_level: LogLevel,
    /// Log lines are JSON objects.
    pub log_json: bool,
    /// The node may run `raw_exec` tasks.
    pub raw_exec_enabled: bool,
    /// There if the agent is a server.
    pub server: Option<ServerSettings>,
    /// There if the agent is a node.
    pub client: Option<ClientSettings>,
    /// Sentences for the log: keys that have no effect here.
    pub warnings: Vec<String>,
}

/// Addresses that are listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listeners {
    /// The HTTP API.
    pub http: SocketAddr,
    /// gRPC.
    pub rpc: SocketAddr,
    /// The second port that joiners may use.
    pub serf: SocketAddr,
}

/// Addresses that others are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// The HTTP API.
    pub http: HostPort,
    /// gRPC.
    pub rpc: HostPort,
    /// The second port that joiners may use.
    pub serf: HostPort,
}

/// How much is logged; the most is the least of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What a developer wants to see.
    Debug,
    /// What an operator wants to see.
    Info,
    /// What may become trouble.
    Warn,
    /// What is trouble.
    Error,
}

impl LogLevel {
    /// The level's name in lower case, as log filters take it.
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
    /// Servers that have to find each other before they form a cluster; 0: only ever join one.
    pub bootstrap_expect: u32,
    /// Servers to look for, again and again, until one is found.
    pub retry_join: Vec<HostPort>,
    /// Raft's times; what is not set is the server's own default.
    pub raft: RaftTiming,
    /// By how much raft's times are longer than in a rack.
    pub raft_multiplier: u32,
    /// Scheduler workers; not set: one a core.
    pub num_schedulers: Option<u32>,
    /// Least time to live of a node's session, milliseconds.
    pub min_heartbeat_ttl_ms: Option<u64>,
    /// How much longer than its time to live a silent node is waited for, milliseconds.
    pub heartbeat_grace_ms: Option<u64>,
    /// By how much the server's clock may differ from the other servers', milliseconds. Ordu's own key.
    pub clock_skew_limit_ms: Option<u64>,
    /// How long a sync of the raft log may take, milliseconds. Ordu's own key.
    pub sync_limit_ms: Option<u64>,
    /// For how long every server has to know a feature level before the cluster's rises to it, milliseconds. Ordu's own
    /// key.
    pub feature_level_after_ms: Option<u64>,
    /// How long a client of the HTTP API may take nothing of an answer, milliseconds. Ordu's own key.
    pub http_stall_limit_ms: Option<u64>,
    /// Megabytes that should be free where the data are. Ordu's own key.
    pub disk_free_min_mb: Option<u64>,
    /// `autopilot { … }`: what a cluster begins with; from then on the API alone changes it.
    pub autopilot: AutopilotConfig,
    /// The key that servers prove to one another.
    pub encrypt: Option<Key>,
    /// Servers without the key are refused. Ordu's own key.
    pub encrypt_verify: bool,
}

impl ServerSettings {
    /// What may be changed while the server runs.
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
    /// How often the leader shows itself, milliseconds.
    pub heartbeat_interval_ms: Option<u64>,
    /// The shortest silence of the leader before an election, milliseconds.
    pub election_timeout_min_ms: Option<u64>,
    /// The longest silence of the leader before an election, milliseconds.
    pub election_timeout_max_ms: Option<u64>,
    /// Log entries after which a snapshot is taken …
    pub snapshot_logs: Option<u64>,
    /// … and megabytes of them.
    pub snapshot_mb: Option<u64>,
    /// Log entries that are kept behind the newest snapshot.
    pub logs_kept: Option<u64>,
    /// Megabytes of them.
    pub logs_kept_mb: Option<u64>,
    /// For how long they are kept, milliseconds.
    pub logs_kept_age_ms: Option<u64>,
    /// Megabytes of log entries that are kept for followers that are behind.
    pub logs_held_mb: Option<u64>,
}

/// `client { … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// Servers for the session, gRPC addresses; the agent's own server if it is one and none is given.
    pub servers: Vec<HostPort>,
    /// The node's class.
    pub node_class: String,
    /// The node's metadata.
    pub meta: BTreeMap<String, String>,
    /// Options of old for drivers and fingerprints.
    pub options: BTreeMap<String, String>,
    /// What tasks may not have.
    pub reserved: ReservedResources,
    /// The node's whole compute, MHz, where it cannot be found out or must not be used whole.
    pub cpu_total_compute_mhz: Option<u64>,
    /// The interface whose address tasks get; that of the default route unless set.
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
