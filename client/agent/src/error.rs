//! Errors that stop an agent, as messages for the operator. Errors of a single task go to its task events instead.

use std::io;
use std::path::{Path, PathBuf};

/// An error that stops an agent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another agent uses the data directory; two agents must not own the same tasks.
    #[error(
        "the data directory {} is in use by another agent: stop that agent or give this one a data_dir of its own",
        .0.display()
    )]
    DataDirInUse(PathBuf),
    /// A file in the data directory has invalid contents.
    #[error("{} holds no node id: {text}. Remove the file if this node may join as a new one", path.display())]
    BadIdentity {
        /// The file.
        path: PathBuf,
        /// The parse error.
        text: String,
    },
    /// This release cannot read the format of the data directory.
    #[error("{0}")]
    Format(String),
    /// No server is configured.
    #[error("the node agent knows no server: name at least one as host:port in client.servers")]
    NoServers,
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted action, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    /// Returns a closure for `map_err` that adds the attempted action and the path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
