//! What a read asks for beside its path, and what comes with its answer.

use std::time::Duration;

/// The parameters of a read.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Answer only when the index is higher than this, or `wait` is over; 0 answers at once.
    pub index: u64,
    /// How long to wait for `index`; not set: the server's five minutes.
    pub wait: Option<Duration>,
    /// Take the state of the server that is asked, however old.
    pub stale: bool,
    /// Only what begins with this.
    pub prefix: Option<String>,
    /// Instead of the client's namespace; `*` stands for all.
    pub namespace: Option<String>,
    /// Instead of the client's region.
    pub region: Option<String>,
}

impl Query {
    /// Waits until the index is higher than this one.
    pub fn after(mut self, index: u64) -> Query {
        self.index = index;
        self
    }

    /// Waits no longer than this.
    pub fn for_at_most(mut self, wait: Duration) -> Query {
        self.wait = Some(wait);
        self
    }

    /// Asks for what begins with the prefix.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Query {
        self.prefix = Some(prefix.into());
        self
    }
}

/// An answer and what the server says about it.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// The answer's headers.
    pub meta: Meta,
}

/// What the server says about an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meta {
    /// The index that the answer is of; wait for a higher one with [`Query::after`].
    pub index: u64,
    /// How long ago the server heard of its leader, milliseconds; 0 at the leader.
    pub last_contact_ms: u64,
    /// The server knows its leader.
    pub known_leader: bool,
}
