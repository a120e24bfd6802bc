//! Why a request cannot be answered as it was asked.

/// Why a write has no outcome to show.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was refused; nothing changed.
    #[error("{text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The sentence for the caller.
        text: String,
    },
    /// The servers' disks have no room for it: it was not proposed.
    #[error("{0}")]
    NoRoom(String),
    /// There is no leader: it was not proposed.
    #[error("No cluster leader")]
    NoLeader,
    /// It may or may not take effect: the reply was lost, or did not come in time.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(String),
    /// This server is leaving service.
    #[error("this server is shutting down")]
    Stopped,
}

/// Why a linearizable read cannot be served.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no leader that could confirm what is current.
    #[error("No cluster leader")]
    NoLeader,
    /// The leader did not answer in time, or lost its lead.
    #[error("the leader could not confirm the read in time: {0}")]
    Unconfirmed(String),
    /// This server does not have the state yet that it would be read from.
    #[error(
        "this server is catching up, it lacks {0} log entries: ask another server, or this one again later"
    )]
    Behind(u64),
}
