//! The raft log: entries, vote, purge marker, committed id.
//!
//! The rules are in one place, [`LogStore`]; what differs between RocksDB and memory is [`LogDb`].
//! What raft calls durable is synced: one sync serves all that wait for it (group commit).

mod flusher;
mod memory;
mod rocks;
mod store;

pub use memory::MemoryLog;
pub use rocks::RocksLog;
pub use store::LogStore;

use std::io;

/// The names of the log's single values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Marker {
    /// The vote (`ordu.raft.VoteState`).
    Vote,
    /// The last purged log id (`ordu.raft.LogMeta`).
    Purged,
    /// A committed log id, for a faster restart (`ordu.raft.LogMeta`).
    Committed,
}

impl Marker {
    /// The key under which it is stored.
    pub const fn key(self) -> &'static [u8] {
        match self {
            Marker::Vote => b"vote",
            Marker::Purged => b"purged",
            Marker::Committed => b"committed",
        }
    }
}

/// One atomic change of the log.
#[derive(Clone, Debug, Default)]
pub struct LogBatch {
    /// Entries to write, by index.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// Indexes to remove: from the first (included) to the second (excluded).
    pub remove: Option<(u64, u64)>,
    /// A marker to write.
    pub marker: Option<(Marker, Vec<u8>)>,
}

/// Where the log's bytes are: the disk's seam.
///
/// Writes are seen by reads at once, and reach the disk in the order in which they were issued; they are
/// durable only after a [`LogDb::sync`] that began after them.
pub trait LogDb: Send + Sync + 'static {
    /// Writes a batch, unsynced.
    fn write(&self, batch: LogBatch) -> io::Result<()>;

    /// Makes everything written so far durable.
    fn sync(&self) -> io::Result<()>;

    /// Whether [`LogDb::sync`] may take long, so that a thread of its own must wait for it.
    fn sync_blocks(&self) -> bool;

    /// A marker.
    fn marker(&self, marker: Marker) -> io::Result<Option<Vec<u8>>>;

    /// Calls `visit` with the entries from `start` (included) to `end` (excluded), until it answers false.
    fn entries(
        &self,
        start: u64,
        end: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>,
    ) -> io::Result<()>;

    /// The entry with the greatest index.
    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>>;
}
