//! The agent's configuration: Nomad's files and keys, the defaults of `-dev`, and flags over both.
//!
//! Files are read in order and later ones override earlier ones; flags override files. Whatever is
//! wrong is told with file, line and key; a key of Nomad's that changes nothing here is a warning.

mod address;
mod apply;
mod draft;
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
    /// Begin with the defaults of a development agent: server and node in one process on loopback,
    /// `raw_exec` on, data in a temporary directory.
    pub dev: bool,
    /// Files, and directories whose `.hcl` and `.json` files are taken in the order of their names.
    pub paths: Vec<PathBuf>,
    /// What the command line says.
    pub overrides: Overrides,
}

/// Settings of the command line; each overrides what files say.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `-data-dir`
    pub data_dir: Option<PathBuf>,
    /// `-bind`
    pub bind_addr: Option<String>,
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

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A place in a file.
    #[error("{}:{line}:{column}: {text}", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
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
        /// The system's words.
        cause: String,
    },
    /// A flag of the command line.
    #[error("the flag -{flag}: {text}")]
    Flag {
        /// Its name.
        flag: &'static str,
        /// What is wrong.
        text: String,
    },
    /// The whole of it.
    #[error("{0}")]
    Whole(String),
}

/// Reads all sources into one configuration. The network interfaces are looked at, since an address to advertise may
/// have to be found; nothing is created.
///
/// # Errors
/// The first thing that is wrong.
pub fn load(sources: &Sources) -> Result<AgentConfig, ConfigError> {
    let mut draft = if sources.dev { Draft::development() } else { Draft::default() };
    for path in file::expand(&sources.paths)? {
        let body = file::read(&path)?;
        apply::apply(&mut draft, &path, &body)?;
    }
    draft.override_with(&sources.overrides)?;
    draft.finish()
}
