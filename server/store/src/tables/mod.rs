//! The database of the state tables: RocksDB, or memory in a simulation.

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

/// Storage of the state tables; replaced in simulations.
///
/// A commit is atomic and immediately visible to reads. It is not synced: after a crash the tables are as of
/// some earlier commit, including the applied log id of that commit, and the log is replayed from there.
pub trait TablesDb: Send + Sync + 'static {
    /// Calls `with` on a consistent view that does not change while others write.
    fn with_snapshot(&self, with: &mut dyn FnMut(&dyn Reader));

    /// Calls `with` on the latest state. Only for the writer; others would see it change while they read.
    fn with_latest(&self, with: &mut dyn FnMut(&dyn Reader));

    /// Writes all or nothing.
    fn commit(&self, writes: Vec<Write>) -> io::Result<()>;

    /// Makes all earlier commits durable.
    fn flush(&self) -> io::Result<()>;

    /// Takes a durable snapshot, which becomes the current one. Makes all earlier commits durable.
    fn checkpoint(&self) -> io::Result<SnapshotData>;

    /// Returns the current snapshot.
    fn current_snapshot(&self) -> io::Result<Option<SnapshotData>>;

    /// Starts to receive a snapshot from another server.
    fn receive(&self, header: &SnapshotHeader) -> io::Result<SnapshotReceiver>;

    /// Checks that a received snapshot can be installed: it holds what its header says, and can be read.
    ///
    /// # Errors
    /// A sentence that says why not. A failed installation ends the server, so another server's snapshot is checked
    /// before raft receives it.
    fn check_received(&self, snapshot: &SnapshotData) -> io::Result<()>;

    /// Replaces all tables by a snapshot, atomically, and makes it the current snapshot.
    fn install(&self, snapshot: &SnapshotData) -> io::Result<()>;

    /// Reads all stored data, tables and current snapshot, and verifies the checksums. Calls `pace` with the bytes
    /// read since its last call; `pace` may wait, and returns whether to continue.
    ///
    /// # Errors
    /// The first bad block, with its file.
    fn scrub(&self, pace: &mut dyn FnMut(usize) -> bool) -> io::Result<()>;

    /// Returns the fatal faults. A fault of the disk that any call meets is reported there, in addition to being
    /// returned to the caller.
    fn faults(&self) -> &Faults;

    /// Returns the rows that readers could not decode.
    fn set_aside(&self) -> &SetAside;

    /// Whether calls wait for a disk, so that long calls need a thread of their own.
    fn blocks(&self) -> bool;
}

/// Calls `read` on a consistent view, and returns its result.
pub fn read<T>(db: &dyn TablesDb, read: impl FnOnce(&dyn Reader) -> T) -> T {
    let mut read = Some(read);
    let mut result = None;
    db.with_snapshot(&mut |reader| result = read.take().map(|read| read(reader)));
    result.expect("a database calls back once")
}

/// Calls `read` on the latest state, and returns its result; see [`TablesDb::with_latest`].
pub fn read_latest<T>(db: &dyn TablesDb, read: impl FnOnce(&dyn Reader) -> T) -> T {
    let mut read = Some(read);
    let mut result = None;
    db.with_latest(&mut |reader| result = read.take().map(|read| read(reader)));
    result.expect("a database calls back once")
}

/// Checks that the tables are as of the log id in the snapshot's header, and that this release can use them.
fn check_tables(reader: &dyn Reader, snapshot: &SnapshotData) -> io::Result<()> {
    let found = position(reader)?;
    if found != snapshot.meta {
        let (said, is) = (snapshot.meta.last_log_id, found.last_log_id);
        return Err(invalid(format!("a snapshot that is said to be of {said:?} and is of {is:?}")));
    }
    must_be_known(reader)?;
    Machine::load(reader).map(|_| ()).map_err(invalid)
}

/// Refuses tables of a cluster whose feature level this release does not know: it would misinterpret them.
///
/// # Errors
/// Of the kind [`io::ErrorKind::Unsupported`] if the level is too high; otherwise if it cannot be read.
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
