//! The raft log: entries, vote, purge marker and committed id, and a record file beside it of what the server
//! has promised.
//!
//! [`LogStore`] implements raft's rules; [`LogDb`] abstracts from RocksDB and memory. Whatever raft is told is
//! durable has been synced; one sync serves all jobs that wait for it (group commit).

mod check;
mod extent;
mod flusher;
mod memory;
mod progress;
mod recent;
mod record;
mod recorder;
mod rocks;
mod store;
mod sync_watch;

pub use check::{Seen, prepare};
pub use extent::Extent;
pub use memory::MemoryLog;
pub use progress::Progress;
pub use rocks::RocksLog;
pub use store::LogStore;
pub(crate) use store::bytes_of;
pub use sync_watch::SyncWatch;

use std::io;
use std::time::Duration;

/// The single values stored in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Marker {
    /// The vote (`ordu.raft.VoteState`).
    Vote,
    /// The last purged log id (`ordu.raft.LogMeta`).
    Purged,
    /// A committed log id, which makes a restart faster (`ordu.raft.LogMeta`).
    Committed,
    /// The raft id of the server that owns the log, eight bytes, big-endian.
    Owner,
}

impl Marker {
    /// Returns the key under which the value is stored.
    pub const fn key(self) -> &'static [u8] {
        match self {
            Marker::Vote => b"vote",
            Marker::Purged => b"purged",
            Marker::Committed => b"committed",
            Marker::Owner => b"owner",
        }
    }
}

/// Operations that raft requires to be durable before it continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A vote was given.
    Vote,
    /// Entries that count towards a quorum.
    Append,
    /// Entries that were truncated.
    Truncate,
    /// Entries that were purged because a snapshot replaces them.
    Purge,
}

/// One atomic change of the log.
#[derive(Clone, Debug, Default)]
pub struct LogBatch {
    /// Entries to write, by index.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// The range of indexes to remove: from the first (included) to the second (excluded). Removed before `entries`
    /// are written.
    pub remove: Option<(u64, u64)>,
    /// A marker to write.
    pub marker: Option<(Marker, Vec<u8>)>,
}

impl LogBatch {
    /// Whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.remove.is_none() && self.marker.is_none()
    }
}

/// How a log syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncing {
    /// It waits for a disk, so it needs a thread of its own.
    Blocks,
    /// A simulated disk: syncing takes no time itself but is done after this delay on the runtime's clock.
    After(Duration),
}

/// Storage of the log; replaced in simulations.
///
/// Writes are immediately visible to reads, and reach the disk in the order in which they were issued. They are
/// durable only after a [`LogDb::sync`] that began after them.
pub trait LogDb: Send + Sync + 'static {
    /// Writes a batch, unsynced. Returns the number of this write, which increases; see [`LogDb::promised`].
    fn write(&self, batch: LogBatch) -> io::Result<u64>;

    /// Makes all earlier writes durable.
    fn sync(&self) -> io::Result<()>;

    /// Returns how to wait for the next [`LogDb::sync`].
    fn syncing(&self) -> Syncing;

    /// Returns the value of a marker.
    fn marker(&self, marker: Marker) -> io::Result<Option<Vec<u8>>>;

    /// Calls `visit` with the entries from `start` (included) to `end` (excluded), until it returns false.
    fn entries(
        &self,
        start: u64,
        end: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>,
    ) -> io::Result<()>;

    /// Returns the entry with the greatest index.
    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>>;

    /// Returns the record stored beside the log (`ordu.raft.LogRecord`).
    fn record(&self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the record; it is durable when this returns.
    fn write_record(&self, record: &[u8]) -> io::Result<()>;

    /// Returns where the log is stored, for error texts.
    fn place(&self) -> String;

    /// Frees the disk space of the entries before `end`, whose removal is durable.
    fn reclaim(&self, _end: u64) -> io::Result<()> {
        Ok(())
    }

    /// Called when raft has been told that all writes up to this number are durable. Used by simulated disks.
    fn promised(&self, _write: u64) {}

    /// Whether to skip the sync for `site`; a simulation uses this to show that it detects a missing sync.
    fn leaves_out(&self, _site: Site) -> bool {
        false
    }
}
