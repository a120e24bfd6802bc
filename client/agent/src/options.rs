//! What an operator may say about a node agent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use ordu_proto::api::NOMAD_VERSION;
use ordu_proto::state::NodeResources;
use tokio::sync::watch;

use crate::standing::Standing;

/// The program that becomes the node's supervisor, without the arguments that name its socket.
#[derive(Clone, Debug)]
pub struct SupervisorProgram {
    /// The executable.
    pub program: PathBuf,
    /// Arguments that make it call [`crate::supervisor_main`] with those that follow.
    pub args: Vec<OsString>,
}

impl Default for SupervisorProgram {
    fn default() -> Self {
        // The link leads to this program even after an upgrade has replaced its file.
        Self { program: PathBuf::from("/proc/self/exe"), args: vec![OsString::from("node-supervisor")] }
    }
}

/// Everything an agent is told. [`AgentOptions::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Identity and state go to `client`, tasks to `alloc` below it. One agent at a time may use it.
    pub data_dir: PathBuf,
    /// The node's name; the host's name unless set.
    pub name: Option<String>,
    /// `global` unless set.
    pub region: String,
    /// `dc1` unless set.
    pub datacenter: String,
    /// The operator's class of the node, or empty.
    pub node_class: String,
    /// The operator's `meta`.
    pub meta: BTreeMap<String, String>,
    /// RPC addresses (host:port) of servers; at least one.
    pub servers: Vec<String>,
    /// Whether `raw_exec` tasks may run here: they run with the agent's own rights.
    pub raw_exec_enabled: bool,
    /// The HTTP address (host:port) that this agent advertises, or empty.
    pub http_addr: String,
    /// CPU, memory and disk that jobs must leave alone.
    pub reserved: NodeResources,
    /// The node's whole compute in MHz where it cannot be found out, or must not be used whole.
    pub cpu_total_compute_mhz: Option<i64>,
    /// The network interface whose address tasks get; that of the default route unless set.
    pub network_interface: Option<String>,
    /// What starts the supervisor; this program with `node-supervisor` unless set.
    pub supervisor_program: SupervisorProgram,
    /// Whether a shut down agent stops its tasks (a development agent) or leaves them to the next.
    pub stop_tasks_on_shutdown: bool,
    /// Where the agent says how it stands with its servers.
    pub standing: watch::Sender<Standing>,
    /// Reported as the attribute `nomad.version`.
    pub version: String,
    /// The program's own version, reported as the attributes `nomad.revision` and `ordu.version`.
    pub revision: String,
}

impl AgentOptions {
    /// The defaults, with a data directory.
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
            network_interface: None,
            supervisor_program: SupervisorProgram::default(),
            stop_tasks_on_shutdown: false,
            standing: watch::Sender::default(),
            version: NOMAD_VERSION.into(),
            revision: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
