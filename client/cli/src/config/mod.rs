//! The agent's configuration: Nomad's files and keys, the defaults of `-dev`, and the flags that override both.
//!
//! Later files override earlier ones, and flags override files. Errors name file, line and key. A key of
//! Nomad's that has no effect in Ordu is a warning.

mod address;
mod apply;
mod draft;
mod exposure;
mod file;
mod keys;
mod settings;
#[cfg(test)]
mod tests;
mod waiting;

pub use address::HostPort;
pub use settings::{
    Advertised, AgentConfig, ClientSettings, Listeners, LogLevel, RaftTiming, ReservedResources,
    ServerSettings,
};

pub(crate) use waiting::with_addresses;

use draft::Draft;
use std::path::PathBuf;

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Start with the defaults of a development agent: server and node in one process on loopback, `raw_exec`
    /// enabled, data in a temporary directory.
    pub dev: bool,
    /// Files, and directories whose `.hcl` and `.json` files are read in the order of their names.
    pub paths: Vec<PathBuf>,
    /// The settings of the command line.
    pub overrides: Overrides,
}

/// Settings of the command line; each overrides the files.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `-data-dir`
    pub data_dir: Option<PathBuf>,
    /// `-bind`
    pub bind_addr: Option<String>,
    /// `-allow-plaintext`
    pub allow_plaintext: bool,
    /// `-region`
    pub region: Option<String>,
    /// `-dc`
    pub datacenter: Option<String>,
    /// `-node`
    pub name: Option<String>,
    /// `-log-level`
    pub log_level: Option<String>,
    /// `-server`
    pub server: bool,
    /// `-bootstrap-expect`
    pub bootstrap_expect: Option<u32>,
    /// `-retry-join`, `-join`; for the server if there is one in this process, else for the node.
    pub retry_join: Vec<String>,
    /// `-client`
    pub client: bool,
    /// `-servers`
    pub servers: Vec<String>,
    /// `-node-class`
    pub node_class: Option<String>,
    /// `-meta key=value`
    pub meta: Vec<String>,
}

/// Why a configuration is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An error at a position in a file.
    #[error("{}:{line}:{column}: {text}", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
        /// The column, from 1.
        column: u32,
        /// What is wrong, with the key.
        text: String,
    },
    /// A file or directory that cannot be read.
    #[error("cannot read the configuration {}: {cause}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system's error.
        cause: String,
    },
    /// An error in a flag of the command line.
    #[error("the flag -{flag}: {text}")]
    Flag {
        /// The flag's name.
        flag: &'static str,
        /// What is wrong.
        text: String,
    },
    /// An error of the configuration as a whole.
    #[error("{0}")]
    Whole(String),
}

/// Reads all sources into one configuration. It reads the network interfaces, since it may have to find an
/// address to advertise; it creates nothing.
///
/// # Errors
/// The first error found.
pub fn load(sources: &Sources) -> Result<AgentConfig, ConfigError> {
    let mut draft = if sources.dev { Draft::development() } else { Draft::default() };
    for path in file::expand(&sources.paths)? {
        let body = file::read(&path)?;
        apply::apply(&mut draft, &path, &body)?;
    }
    draft.override_with(&sources.overrides)?;
    draft.finish()
}
