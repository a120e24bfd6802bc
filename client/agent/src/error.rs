//! Why an agent cannot run. Each is a sentence for the operator; what goes wrong with one task is told
//! in that task's events instead.

use std::io;
use std::path::{Path, PathBuf};

/// What stops an agent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two agents must not own the same tasks.
    #[error(
        "the data directory {} is in use by another agent: stop that agent or give this one a data_dir of its own",
        .0.display()
    )]
    DataDirInUse(PathBuf),
    /// A file of the data directory does not hold what it should.
    #[error("{} holds no node id: {text}. Remove the file if this node may join as a new one", path.display())]
    BadIdentity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        text: String,
    },
    /// Another release wrote the data directory.
    #[error("{0}")]
    Format(String),
    /// The agent would have nobody to work for.
    #[error("the node agent knows no server: name at least one as host:port in client.servers")]
    NoServers,
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
