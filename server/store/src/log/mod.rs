//! The raft log: entries, vote, purge marker, committed id, and beside it a record of what was promised by it.
//!
//! The rules are in one place, [`LogStore`]; what differs between RocksDB and memory is [`LogDb`].
//! What raft calls durable is synced: one sync serves all that wait for it (group commit).

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

/// The names of the log's single values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Marker {
    /// The vote (`ordu.raft.VoteState`).
    Vote,
    /// The last purged log id (`ordu.raft.LogMeta`).
    Purged,
    /// A committed log id, for a faster restart (`ordu.raft.LogMeta`).
    Committed,
    /// The raft id of the server whose log it is, eight bytes, big-endian.
    Owner,
}

impl Marker {
    /// The key under which it is stored.
    pub const fn key(self) -> &'static [u8] {
        match self {
            Marker::Vote => b"vote",
            Marker::Purged => b"purged",
            Marker::Committed => b"committed",
            Marker::Owner => b"owner",
        }
    }
}

/// Where raft demands that something is durable before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A vote that is given.
    Vote,
    /// Entries that are counted for a quorum.
    Append,
    /// Entries that are no more.
    Truncate,
    /// Entries that a snapshot stands for.
    Purge,
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

impl LogBatch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.remove.is_none() && self.marker.is_none()
    }
}

/// How a log makes what was written durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncing {
    /// It waits for a disk, so that a thread of its own must.
    Blocks,
    /// It takes no time by itself and is done this much later, on the runtime's clock: a simulated disk.
    After(Duration),
}

/// Where the log's bytes are: the disk's seam.
///
/// Writes are seen by reads at once, and reach the disk in the order in which they were issued; they are
/// durable only after a [`LogDb::sync`] that began after them.
pub trait LogDb: Send + Sync + 'static {
    /// Writes a batch, unsynced. Answers the number of this write, which rises; for [`LogDb::promised`].
    fn write(&self, batch: LogBatch) -> io::Result<u64>;

    /// Makes everything written so far durable.
    fn sync(&self) -> io::Result<()>;

    /// How the next [`LogDb::sync`] is to be waited for.
    fn syncing(&self) -> Syncing;

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

    /// The record beside the log (`ordu.raft.LogRecord`).
    fn record(&self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the record; it is durable when this returns.
    fn write_record(&self, record: &[u8]) -> io::Result<()>;

    /// Where it is, as an operator finds it.
    fn place(&self) -> String;

    /// Frees what the entries before `end` take on the disk, whose removal is durable.
    fn reclaim(&self, _end: u64) -> io::Result<()> {
        Ok(())
    }

    /// Raft was told that all writes up to this number are durable. For disks that are watched.
    fn promised(&self, _write: u64) {}

    /// Whether the sync that belongs here is left out: so the simulation shows that it would notice.
    fn leaves_out(&self, _site: Site) -> bool {
        false
    }
}
