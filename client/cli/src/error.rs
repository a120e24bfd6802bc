//! Why an agent ended, and the exit status that tells a service manager whether a restart can help.

use std::io;

use ordu_server::server::ServerError;

use crate::config::ConfigError;

/// Exit status of an agent that an operator must fix first: `EX_CONFIG` of `sysexits.h`.
const EX_CONFIG: u8 = 78;

/// Why an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration, or something that it names, must be changed: a restart would fail again.
    #[error("{0}")]
    Configuration(String),
    /// A failure that a restart may resolve.
    #[error("{0}")]
    Ended(String),
}

impl AgentError {
    /// Returns the exit status of the process.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Configuration(_) => EX_CONFIG,
            Self::Ended(_) => 1,
        }
    }

    /// Classifies the error of a server that did not start.
    pub(crate) fn of_server(error: &ServerError) -> Self {
        match error {
            ServerError::Config(_) | ServerError::TooOld(_) => Self::Configuration(error.to_string()),
            ServerError::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Self::Configuration(error.to_string())
            }
            // The data has the format of another release.
            ServerError::Io { source, .. } if source.kind() == io::ErrorKind::Unsupported => {
                Self::Configuration(error.to_string())
            }
            ServerError::Io { source, .. } => Self::of_directory(error, source),
            _ => Self::Ended(error.to_string()),
        }
    }

    /// Classifies the error of a server that ended while it ran.
    pub(crate) fn of_running_server(error: &ServerError) -> Self {
        match error {
            ServerError::TooOld(_) => Self::Configuration(error.to_string()),
            _ => Self::Ended(error.to_string()),
        }
    }

    /// Classifies the error of a node that did not start.
    pub(crate) fn of_node(error: &ordu_agent::Error) -> Self {
        match error {
            ordu_agent::Error::Io { source, .. } => Self::of_directory(error, source),
            ordu_agent::Error::DataDirInUse(_) => Self::Ended(error.to_string()),
            ordu_agent::Error::BadIdentity { .. }
            | ordu_agent::Error::Format(_)
            | ordu_agent::Error::NoServers => Self::Configuration(error.to_string()),
        }
    }

    /// Classifies an error of the data directory. A restart does not change missing permissions.
    fn of_directory(error: &dyn std::error::Error, cause: &io::Error) -> Self {
        use io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        match cause.kind() {
            NotADirectory | PermissionDenied | ReadOnlyFilesystem => Self::Configuration(format!(
                "{error}. The user of this process must be able to write there: give it the directory and all that is \
                 in it, or set another `data_dir`"
            )),
            _ => Self::Ended(error.to_string()),
        }
    }
}

impl From<ConfigError> for AgentError {
    fn from(error: ConfigError) -> Self {
        Self::Configuration(error.to_string())
    }
}

impl From<String> for AgentError {
    fn from(text: String) -> Self {
        Self::Ended(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_start_cannot_mend_has_a_status_of_its_own() {
        let io = |kind: io::ErrorKind| ServerError::Io { what: "x".to_owned(), source: kind.into() };
        let listen = |kind: io::ErrorKind| ServerError::Listen { key: "http", source: kind.into() };
        for (error, status) in [
            (io(io::ErrorKind::PermissionDenied), 78),
            (io(io::ErrorKind::ReadOnlyFilesystem), 78),
            (io(io::ErrorKind::NotADirectory), 78),
            (io(io::ErrorKind::Unsupported), 78),
            (io(io::ErrorKind::StorageFull), 1),
            (listen(io::ErrorKind::PermissionDenied), 78),
            (listen(io::ErrorKind::AddrInUse), 1),
            (listen(io::ErrorKind::AddrNotAvailable), 1),
            (ServerError::Locked { path: "x".to_owned() }, 1),
            (ServerError::Config("x".to_owned()), 78),
            (ServerError::TooOld("x".to_owned()), 78),
            (ServerError::Fatal("x".to_owned()), 1),
        ] {
            let ended = AgentError::of_server(&error);
            assert_eq!(status, ended.exit_status(), "{error}");
            assert!(ended.to_string().starts_with(&error.to_string()));
        }
        let old = ServerError::TooOld("x".to_owned());
        assert_eq!(78, AgentError::of_running_server(&old).exit_status());
        let denied = io(io::ErrorKind::PermissionDenied);
        assert_eq!(1, AgentError::of_running_server(&denied).exit_status());
        assert_eq!(78, AgentError::from(ConfigError::Whole("x".to_owned())).exit_status());
        for (error, status) in [
            (ordu_agent::Error::NoServers, 78),
            (ordu_agent::Error::BadIdentity { path: "x".into(), text: "y".to_owned() }, 78),
            (ordu_agent::Error::Format("x".to_owned()), 78),
            (ordu_agent::Error::DataDirInUse("x".into()), 1),
        ] {
            assert_eq!(status, AgentError::of_node(&error).exit_status(), "{error}");
        }
    }
}
