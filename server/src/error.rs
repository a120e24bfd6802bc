//! Errors of reads and writes.

/// Why a write has no result.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The command was refused; nothing changed.
    #[error("{text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The sentence for the caller.
        text: String,
    },
    /// The servers' disks lack space; the command was not proposed.
    #[error("{0}")]
    NoRoom(String),
    /// There is no leader; the command was not proposed.
    #[error("No cluster leader")]
    NoLeader,
    /// The write may or may not take effect: the reply was lost or timed out.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(String),
    /// This server is shutting down.
    #[error("this server is shutting down")]
    Stopped,
}

/// Why a linearizable read cannot be served.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no leader to confirm the read.
    #[error("No cluster leader")]
    NoLeader,
    /// The leader did not answer in time, or lost leadership.
    #[error("the leader could not confirm the read in time: {0}")]
    Unconfirmed(String),
    /// This server has not applied the entries needed for the read; holds how many it lacks.
    #[error(
        "this server is catching up, it lacks {0} log entries: ask another server, or this one again later"
    )]
    Behind(u64),
}
