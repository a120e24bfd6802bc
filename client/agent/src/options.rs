//! Configuration of a node agent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use ordu_proto::api::NOMAD_VERSION;
use ordu_proto::state::NodeResources;
use tokio::sync::watch;

use crate::standing::Standing;
use crate::stats::NodeStats;

/// The program that runs as the node's supervisor, without the arguments for its socket and state.
#[derive(Clone, Debug)]
pub struct SupervisorProgram {
    /// The executable.
    pub program: PathBuf,
    /// Arguments that make the program call [`crate::supervisor_main`] with the arguments that follow.
    pub args: Vec<OsString>,
}

impl Default for SupervisorProgram {
    fn default() -> Self {
        // This link refers to the running program even after an upgrade has replaced the file.
        Self { program: PathBuf::from("/proc/self/exe"), args: vec![OsString::from("node-supervisor")] }
    }
}

/// Configuration of a node agent. [`AgentOptions::new`] sets the defaults.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Contains the agent's identity and state in `client`, tasks in `alloc`. Only one agent at a time may use it.
    pub data_dir: PathBuf,
    /// The node's name; by default the host name.
    pub name: Option<String>,
    /// The region; by default `global`.
    pub region: String,
    /// The datacenter; by default `dc1`.
    pub datacenter: String,
    /// The node class set by the operator, or empty.
    pub node_class: String,
    /// The node's `meta`, set by the operator.
    pub meta: BTreeMap<String, String>,
    /// RPC addresses (host:port) of servers; at least one.
    pub servers: Vec<String>,
    /// Whether `raw_exec` tasks may run on this node. They run with the agent's own rights.
    pub raw_exec_enabled: bool,
    /// The HTTP address (host:port) that this agent advertises, or empty.
    pub http_addr: String,
    /// CPU, memory and disk that are not available to jobs.
    pub reserved: NodeResources,
    /// Overrides the detected total CPU of the node, in MHz.
    pub cpu_total_compute_mhz: Option<i64>,
    /// Overrides the detected free disk space of the node, in MB.
    pub disk_free_mb: Option<i64>,
    /// Overrides the detected total memory of the node, in MB.
    pub memory_total_mb: Option<i64>,
    /// The network interface whose address tasks use; by default that of the default route.
    pub network_interface: Option<String>,
    /// How to start the supervisor; by default this program with the subcommand `node-supervisor`.
    pub supervisor_program: SupervisorProgram,
    /// Whether the agent stops its tasks on shutdown (development agent) or leaves them to the next agent.
    pub stop_tasks_on_shutdown: bool,
    /// Where the agent publishes its connection state.
    pub standing: watch::Sender<Standing>,
    /// Where the agent publishes its figures.
    pub stats: watch::Sender<NodeStats>,
    /// Reported as the attribute `nomad.version`.
    pub version: String,
    /// The program's own version, reported as the attributes `nomad.revision` and `ordu.version`.
    pub revision: String,
}

impl AgentOptions {
    /// Returns the defaults with this data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            name: None,
            region: "global".into(),
            datacenter: "dc1".into(),
            node_class: String::new(),
            meta: BTreeMap::new(),
            servers: Vec::new(),
            raw_exec_enabled: false,
            http_addr: String::new(),
            reserved: NodeResources::default(),
            cpu_total_compute_mhz: None,
            disk_free_mb: None,
            memory_total_mb: None,
            network_interface: None,
            supervisor_program: SupervisorProgram::default(),
            stop_tasks_on_shutdown: false,
            standing: watch::Sender::default(),
            stats: watch::Sender::default(),
            version: NOMAD_VERSION.into(),
            revision: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
