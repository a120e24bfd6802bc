//! Forms a new cluster from one server's data directory after the quorum of its cluster is lost for good.
//!
//! All work is done in a copy inside the directory (immutable files are hard-linked). At the end the copy
//! replaces the original completely or not at all ([`crate::storage::replacement`]). The result looks like a
//! server that has installed a snapshot and has no log:
//!
//! - The tables contain everything in this server's log, including entries after the last one known to be
//!   committed: the lost quorum may have acknowledged them.
//! - One more entry makes this server the only voter. Its term is later than any this server has heard of.
//!   Its index is so far ahead that no index that the lost servers may have reported to nodes or clients is
//!   used for another change.
//! - The server and the cluster get new ids, so that servers of the former cluster are ignored and refused.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftStateMachine};
use ordu_core::state::hash::state_hash;
use ordu_core::state::{Change, Reader, Table, Write, key, read as rows};
use ordu_proto::raft as pb;
use ordu_store::codec::{self, invalid};
use ordu_store::identity::{IDENTITY_FILE, Identity, IdentityFile, IdentityStore, cluster_id_of};
use ordu_store::log::{LogStore, Progress};
use ordu_store::state_machine::{self, Observer, Own, StateMachine};
use ordu_store::types::{Entry, LogId, Membership, Server};
use prost::Message;

use crate::server::{ServerError, failed};
use crate::storage::{LOCK, Storage, lock, replacement};

/// Number of indexes skipped after the last entry: a week at 1,700 writes a second. The lost servers may have
/// reported indexes that this server never received.
const INDEXES_LEFT_OUT: u64 = 1_000_000_000;
/// The files in a data directory that are copied.
const OWN_FILES: [&str; 4] = [IDENTITY_FILE, "raft-log", "raft-log.record", "tables"];

/// Position of a log entry. Of two servers' last entries, the greater one's server has every acknowledged
/// entry of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The term of the leader that appended it.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

impl From<LogId> for Position {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}

/// A server of the membership.
#[derive(Clone, Debug)]
pub struct Member {
    /// The raft id.
    pub id: u64,
    /// Name and addresses.
    pub server: Server,
    /// Whether it is a voter.
    pub voter: bool,
}

/// Contents of a server's data directory.
#[derive(Clone, Debug)]
pub struct Found {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The server's raft id.
    pub server_id: u64,
    /// Its cluster's id.
    pub cluster_id: Vec<u8>,
    /// The last entry applied to the tables on disk; later entries are only in the log.
    pub applied: Option<Position>,
    /// The last entry in the log or the tables.
    pub last: Position,
    /// Hash of the state after that entry, equal on all servers that have it (see [`state_hash`]).
    pub state_hash: [u8; 32],
    /// The latest timestamp of the entries, from the leader's clock. Nanoseconds since 1970.
    pub time_ns: i64,
    /// Number of jobs, including the whole log.
    pub jobs: usize,
    /// Number of allocations, likewise.
    pub allocations: usize,
    /// Number of nodes, likewise.
    pub nodes: usize,
    /// The servers of the cluster, likewise, by id.
    pub members: Vec<Member>,
    /// The latest term that the server has heard of.
    term: u64,
}

impl Found {
    /// Returns this server's entry in the membership, if any.
    pub fn me(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.id == self.server_id)
    }
}

/// Result of a recovery.
#[derive(Clone, Debug)]
pub struct Formed {
    /// The server's new raft id.
    pub server_id: u64,
    /// The new cluster's id.
    pub cluster_id: Vec<u8>,
    /// Directory with the previous data.
    pub aside: PathBuf,
}

/// A data directory that a new cluster can be formed from. It stays locked meanwhile.
pub struct Recovery {
    found: Found,
    copy: WorkingCopy,
    // Dropped last.
    _lock: nix::fcntl::Flock<fs::File>,
}

/// Outcome of examining a data directory.
pub enum Looked {
    /// A cluster can be formed from it.
    Recoverable(Box<Recovery>),
    /// An earlier recovery that was interrupted has now been completed.
    Completed,
}

impl Recovery {
    /// Examines the server data in `data_dir`, with the same checks as at server start. Changes no server
    /// data there, except that an interrupted recovery is completed.
    ///
    /// # Errors
    /// Returned if the directory is in use, damaged or not writable, or holds no cluster data.
    pub async fn look(data_dir: &Path) -> Result<Looked, ServerError> {
        let what = |part: &str| format!("cannot {part} in {}", data_dir.display());
        if !data_dir.is_dir() {
            return Err(ServerError::Fatal(format!("there is no directory {}", data_dir.display())));
        }
        if ![IDENTITY_FILE, "tables", LOCK].iter().any(|name| data_dir.join(name).exists()) {
            let text =
                format!("{} holds no server's data: there is no file {IDENTITY_FILE}", data_dir.display());
            return Err(ServerError::Fatal(text));
        }
        let lock = lock(data_dir)?;
        let completed = Storage::complete_what_was_begun(data_dir);
        if completed.map_err(failed(what("complete what was begun")))? {
            return Ok(Looked::Completed);
        }
        let copy = WorkingCopy::of(data_dir).map_err(failed(what("copy what is")))?;
        let found = copy.with(|storage| look(storage, data_dir.to_owned())).await?;
        Ok(Looked::Recoverable(Box::new(Self { found, copy, _lock: lock })))
    }

    /// Returns the contents.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Forms the new cluster. If interrupted at any moment, the directory has either the previous data or the
    /// complete new data.
    ///
    /// # Errors
    /// Returned if files cannot be written or moved. Then the previous data are in place, or the next start
    /// completes the replacement.
    pub async fn form(self) -> Result<Formed, ServerError> {
        // Order matters: locals are dropped in reverse, so the lock goes last.
        let Self { _lock, found, copy } = self;
        let drawn = Identity::draw();
        let server_id = drawn.server_id;
        let cluster_id = cluster_id_of(&[server_id]);
        let (term, index) = (found.term + 1, found.last.index + INDEXES_LEFT_OUT);
        let at = codec::log_id_from_pb(&pb::LogId { term, index });

        let server = found.me().map(|me| me.server.clone()).unwrap_or_default();
        let id_of_tables = cluster_id.clone();
        copy.with(|storage| end_tables(storage, at, (server_id, server), id_of_tables)).await?;

        let failed_in = || failed(format!("cannot write in {}", copy.path.display()));
        fs::remove_dir_all(copy.path.join("raft-log")).map_err(failed_in())?;
        fs::remove_file(copy.path.join("raft-log.record")).map_err(failed_in())?;
        // A freshly drawn identity is not marked as prepared, so that a new log may be created.
        let identity = Identity { cluster_id: cluster_id.clone(), ..drawn };
        IdentityFile::new(&copy.path).save(&identity).map_err(failed_in())?;
        copy.with(|storage| begin_log(storage, at, server_id)).await?;

        let aside = replacement::replace(&found.data_dir)
            .map_err(failed(format!("cannot replace what is in {}", found.data_dir.display())))?;
        Ok(Formed { server_id, cluster_id, aside })
    }
}

/// A copy of a server's data, inside its data directory. Removed on drop.
struct WorkingCopy {
    path: PathBuf,
    data_dir: PathBuf,
}

impl WorkingCopy {
    fn of(data_dir: &Path) -> io::Result<Self> {
        let copy = Self { path: data_dir.join(replacement::RECOVERING), data_dir: data_dir.to_owned() };
        fs::create_dir(&copy.path)?;
        for name in OWN_FILES {
            let from = data_dir.join(name);
            if from.exists() {
                copy_or_link(&from, &copy.path.join(name))?;
            }
        }
        Ok(copy)
    }

    /// Opens the databases as at server start, runs `work`, and waits until they are closed again.
    async fn with<T, Working: Future<Output = io::Result<T>>>(
        &self,
        work: impl FnOnce(Storage) -> Working,
    ) -> Result<T, ServerError> {
        // Report faults with the path of the original directory.
        let told = |error: &dyn std::fmt::Display| {
            let (copy, data_dir) = (self.path.display().to_string(), self.data_dir.display().to_string());
            ServerError::Fatal(error.to_string().replace(&copy, &data_dir))
        };
        let storage = Storage::open(&self.path).map_err(|error| told(&error))?;
        let in_use = storage.in_use();
        let faults = storage.tables.faults().clone();
        let result = work(storage).await;
        let result = result.map_err(|error| match faults.reported() {
            Some(fault) => told(&fault),
            None => told(&error),
        });
        in_use.closed().await?;
        result
    }
}

impl Drop for WorkingCopy {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            // Not found: the copy has already replaced the original.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "a copy that is not needed any more cannot be removed");
            }
            _ => {}
        }
    }
}

/// Copies a file or directory. RocksDB never changes its table files (`sst`), so they are hard-linked if
/// possible.
fn copy_or_link(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_or_link(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let is_unchanging = from.extension().is_some_and(|extension| extension == "sst");
    if is_unchanging && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).map(drop)
}

/// An observer that ignores changes.
struct NoOne;

impl Observer for NoOne {
    fn applied(&self, _: u64, _: Vec<(u64, Change)>) {}
    fn restored(&self, _: u64) {}
}

/// Applies the rest of the log to the tables, and describes the result.
async fn look(storage: Storage, data_dir: PathBuf) -> io::Result<Found> {
    let Identity { server_id, cluster_id, .. } = storage.identity.load()?;
    let nothing = |what: &str| invalid(format!("{} {what}: there is nothing to recover", data_dir.display()));
    if cluster_id.is_empty() {
        return Err(nothing("is of a server that is in no cluster yet"));
    }
    let tables = storage.tables.clone();
    tables.scrub(&mut |_| true)?;
    ordu_store::tables::read(&*tables, ordu_store::tables::must_be_known)?;
    let mut log = LogStore::open(storage.log.clone(), server_id, &state_machine::seen(&*tables, server_id)?)?;
    let vote = log.read_vote().await?;
    let end = log.get_log_state().await?.last_log_id;
    let own = Own { server_id, progress: log.progress() };
    let (mut machine, state) = state_machine::open(tables.clone(), own, Arc::new(NoOne))?;
    let applied = state.read(state_machine::position)?.last_log_id;
    let last = end.max(applied).ok_or_else(|| nothing("has no entry of its cluster's log"))?;
    apply_rest(&mut machine, &mut log, applied, last).await?;

    let (_, membership) = machine.applied_state().await?;
    let voters: BTreeSet<u64> = membership.membership().voter_ids().collect();
    let member = |(id, server): (&u64, &Server)| Member {
        id: *id,
        server: server.clone(),
        voter: voters.contains(id),
    };
    let rows_of = |table| state.read(|reader| count(reader, table));
    Ok(Found {
        server_id,
        cluster_id,
        applied: applied.map(Position::from),
        last: last.into(),
        state_hash: state.read(state_hash).map_err(invalid)?,
        time_ns: state.machine().cluster().time_ns,
        jobs: rows_of(Table::Jobs)?,
        allocations: rows_of(Table::Allocs)?,
        nodes: rows_of(Table::Nodes)?,
        members: membership.membership().nodes().map(member).collect(),
        term: vote.map_or(0, |vote| vote.leader_id.term).max(last.leader_id.term),
        data_dir,
    })
}

async fn apply_rest(
    machine: &mut StateMachine,
    log: &mut LogStore,
    applied: Option<LogId>,
    last: LogId,
) -> io::Result<()> {
    let mut next = applied.map_or(0, |applied| applied.index + 1);
    while next <= last.index {
        let entries = log.limited_get_log_entries(next, last.index + 1).await?;
        let Some(end) = entries.last().map(|entry| entry.log_id.index) else {
            return Err(invalid(format!("the log ends before its last entry {}", last.index)));
        };
        apply(machine, entries).await?;
        next = end + 1;
    }
    Ok(())
}

async fn apply(machine: &mut StateMachine, entries: Vec<Entry>) -> io::Result<()> {
    machine.apply(stream::iter(entries.into_iter().map(|entry| Ok((entry, None))))).await
}

fn count(reader: &dyn Reader, table: Table) -> io::Result<usize> {
    let mut count = 0;
    let counted = reader.scan(table, &[], None, &mut |_, _| {
        count += 1;
        Ok(true)
    });
    counted.map(|()| count).map_err(invalid)
}

/// Appends to the tables the entry at `at`, which makes the given server the only voter, sets the cluster id
/// to `cluster_id`, and takes a snapshot.
async fn end_tables(
    storage: Storage,
    at: LogId,
    (id, server): (u64, Server),
    cluster_id: Vec<u8>,
) -> io::Result<()> {
    let tables = storage.tables.clone();
    let own = Own { server_id: id, progress: Progress::default() };
    let (mut machine, state) = state_machine::open(tables.clone(), own, Arc::new(NoOne))?;
    let alone =
        Membership::new(vec![BTreeSet::from([id])], BTreeMap::from([(id, server)])).map_err(invalid)?;
    apply(&mut machine, vec![Entry::new(at, EntryPayload::Membership(alone))]).await?;
    // Written without a log entry: all servers of the new cluster start from this snapshot.
    let mut cluster = state.read(rows::cluster_meta).map_err(invalid)?;
    cluster.cluster_id = cluster_id;
    let row =
        Write { table: Table::Meta, key: key::meta::CLUSTER.to_vec(), value: Some(cluster.encode_to_vec()) };
    tables.commit(vec![row])?;
    tables.checkpoint().map(drop)
}

/// Starts an empty log after `at` for server `id`, as the leader of that entry's term.
async fn begin_log(storage: Storage, at: LogId, id: u64) -> io::Result<()> {
    let seen = state_machine::seen(&*storage.tables, id)?;
    let mut log = LogStore::open(storage.log.clone(), id, &seen)?;
    let vote = pb::VoteState { term: at.leader_id.term, voted_for: Some(id), committed: true };
    log.save_vote(&codec::vote_from_pb(&vote)?).await?;
    log.purge(at).await
}
