//! `ordu agent`: from the command line to a running server, node, or both.

use crate::config::{self, AgentConfig, Overrides, Sources};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// The flags of `ordu agent`.
#[derive(Debug, Clone, Default, Args)]
pub struct AgentArgs {
    /// Configuration file, or directory of .hcl and .json files; may be given several times, later ones
    /// override earlier ones
    #[arg(long, value_name = "PATH")]
    config: Vec<PathBuf>,
    /// Server and node in one process, on loopback, with raw_exec and data in a temporary directory
    #[arg(long)]
    dev: bool,
    /// Directory for the agent's data
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Region
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Datacenter
    #[arg(long, value_name = "NAME")]
    dc: Option<String>,
    /// The agent's name; the host's unless given
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Least severe level that is logged: trace, debug, info, warn, error
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Be a server
    #[arg(long)]
    server: bool,
    /// Servers that have to find each other before they form a cluster
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=9))]
    bootstrap_expect: Option<u32>,
    /// Server to look for until it is found; may be given several times
    #[arg(long, visible_alias = "join", value_name = "HOST[:PORT]")]
    retry_join: Vec<String>,
    /// Be a node
    #[arg(long)]
    client: bool,
    /// Servers of the node
    #[arg(long, value_name = "HOST[:PORT],…", value_delimiter = ',')]
    servers: Vec<String>,
    /// The node's class
    #[arg(long, value_name = "NAME")]
    node_class: Option<String>,
    /// The node's metadata; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
}

impl AgentArgs {
    fn sources(&self) -> Sources {
        let overrides = Overrides {
            data_dir: self.data_dir.clone(),
            bind_addr: self.bind.clone(),
            region: self.region.clone(),
            datacenter: self.dc.clone(),
            name: self.node.clone(),
            log_level: self.log_level.clone(),
            server: self.server,
            bootstrap_expect: self.bootstrap_expect,
            retry_join: self.retry_join.clone(),
            client: self.client,
            servers: self.servers.clone(),
            node_class: self.node_class.clone(),
            meta: self.meta.clone(),
        };
        Sources { dev: self.dev, paths: self.config.clone(), overrides }
    }
}

/// Reads the configuration and runs the agent until it is told to end.
pub(crate) fn execute(arguments: &AgentArgs) -> ExitCode {
    let config = match config::load(&arguments.sources()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("Error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the agent until it is told to end.
///
/// # Errors
/// A sentence about why it could not start, or had to stop.
pub fn run(config: AgentConfig) -> Result<(), String> {
    Err(format!("the agent {} cannot run: this build has neither server nor node in it", config.name))
}
