//! Parameters of a read, and the metadata of its answer.

use std::time::Duration;

/// The parameters of a read.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Wait until the index is greater than this, or `wait` is over; 0 answers at once.
    pub index: u64,
    /// How long to wait for `index`; if not set, the server's default of five minutes.
    pub wait: Option<Duration>,
    /// Accept the state of the server that is asked, however old.
    pub stale: bool,
    /// Only objects whose id begins with this.
    pub prefix: Option<String>,
    /// Used instead of the client's namespace; `*` stands for all.
    pub namespace: Option<String>,
    /// Used instead of the client's region.
    pub region: Option<String>,
}

impl Query {
    /// Makes the read wait until the index is greater than this.
    pub fn after(mut self, index: u64) -> Query {
        self.index = index;
        self
    }

    /// Limits the wait.
    pub fn for_at_most(mut self, wait: Duration) -> Query {
        self.wait = Some(wait);
        self
    }

    /// Limits the answer to ids that begin with the prefix.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Query {
        self.prefix = Some(prefix.into());
        self
    }
}

/// An answer and its metadata.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The decoded answer.
    pub value: T,
    /// The metadata in the answer's headers.
    pub meta: Meta,
}

/// Metadata of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meta {
    /// Index of the answer; [`Query::after`] waits for a higher one.
    pub index: u64,
    /// Time since the server last heard from the leader, milliseconds; 0 at the leader.
    pub last_contact_ms: u64,
    /// Whether the server knows a leader.
    pub known_leader: bool,
}
