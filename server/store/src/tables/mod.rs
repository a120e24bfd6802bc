//! The state tables' database: RocksDB, or memory in a simulation.

mod database;
mod memory;
mod rocks;
mod scrub;
mod set_aside;

pub use memory::MemoryDb;
pub use rocks::RocksDb;
pub use set_aside::SetAside;

use std::io;

use ordu_core::command::{FEATURE_LEVEL, Machine};
use ordu_core::state::{Reader, Write, read as state_read};
use ordu_proto::raft::SnapshotHeader;

use crate::codec::invalid;
use crate::faults::Faults;
use crate::snapshot::{SnapshotData, SnapshotReceiver};
use crate::state_machine::position;

/// Where the tables are: the disk's seam.
///
/// A commit is atomic and seen by reads at once. It is not synced: after a crash the tables are as they
/// were at some earlier commit, with the applied log id of that time in them, and the log replays.
pub trait TablesDb: Send + Sync + 'static {
    /// Calls `with` on a consistent view that stays as it is while others write.
    fn with_snapshot(&self, with: &mut dyn FnMut(&dyn Reader));

    /// Calls `with` on the present state. For the one who writes: others would see it move.
    fn with_latest(&self, with: &mut dyn FnMut(&dyn Reader));

    /// Writes all or nothing.
    fn commit(&self, writes: Vec<Write>) -> io::Result<()>;

    /// Makes everything committed so far durable.
    fn flush(&self) -> io::Result<()>;

    /// Takes a durable snapshot, which becomes the current one. Everything committed before is durable
    /// afterwards.
    fn checkpoint(&self) -> io::Result<SnapshotData>;

    /// The current snapshot.
    fn current_snapshot(&self) -> io::Result<Option<SnapshotData>>;

    /// Begins to take in a snapshot from another server.
    fn receive(&self, header: &SnapshotHeader) -> io::Result<SnapshotReceiver>;

    /// Whether a snapshot that was received can be installed: it holds what its header says, and can be read.
    ///
    /// # Errors
    /// A sentence that says why not. What a failed installation does to a server is final, so another server's
    /// snapshot is looked at before raft hears of it.
    fn check_received(&self, snapshot: &SnapshotData) -> io::Result<()>;

    /// Replaces all tables by a snapshot, atomically, and keeps it as the current one.
    fn install(&self, snapshot: &SnapshotData) -> io::Result<()>;

    /// Reads everything that is stored, tables and current snapshot, with its checksums. `pace` is called with the
    /// bytes read since its last call, may wait, and answers whether to go on.
    ///
    /// # Errors
    /// The first bad block, by its file.
    fn scrub(&self, pace: &mut dyn FnMut(usize) -> bool) -> io::Result<()>;

    /// What must end this server. A fault of the disk that any call meets is reported there, besides being
    /// answered to the caller.
    fn faults(&self) -> &Faults;

    /// The rows that readers could not decode.
    fn set_aside(&self) -> &SetAside;

    /// Whether calls wait for a disk, so that long ones belong on a thread of their own.
    fn blocks(&self) -> bool;
}

/// Reads a consistent view and hands out what the reading gives.
pub fn read<T>(db: &dyn TablesDb, read: impl FnOnce(&dyn Reader) -> T) -> T {
    let mut read = Some(read);
    let mut result = None;
    db.with_snapshot(&mut |reader| result = read.take().map(|read| read(reader)));
    result.expect("a database calls back once")
}

/// Reads the present state; see [`TablesDb::with_latest`].
pub fn read_latest<T>(db: &dyn TablesDb, read: impl FnOnce(&dyn Reader) -> T) -> T {
    let mut read = Some(read);
    let mut result = None;
    db.with_latest(&mut |reader| result = read.take().map(|read| read(reader)));
    result.expect("a database calls back once")
}

/// Whether the tables of a snapshot are those that it is said to be of, and can be worked with.
fn check_tables(reader: &dyn Reader, snapshot: &SnapshotData) -> io::Result<()> {
    let found = position(reader)?;
    if found != snapshot.meta {
        let (said, is) = (snapshot.meta.last_log_id, found.last_log_id);
        return Err(invalid(format!("a snapshot that is said to be of {said:?} and is of {is:?}")));
    }
    must_be_known(reader)?;
    Machine::load(reader).map(|_| ()).map_err(invalid)
}

/// Refuses tables of a cluster at a feature level that this release does not know: it would misread them.
///
/// # Errors
/// Of the kind [`io::ErrorKind::Unsupported`] then; else where the level cannot be read.
pub fn must_be_known(reader: &dyn Reader) -> io::Result<()> {
    let level = state_read::cluster_meta(reader).map_err(invalid)?.feature_level;
    if level <= FEATURE_LEVEL {
        return Ok(());
    }
    let text = format!(
        "the tables are of a cluster at feature level {level}, and this release knows no higher level than \
         {FEATURE_LEVEL}: run the release that the other servers run"
    );
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}
