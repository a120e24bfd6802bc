//! Raft's state machine: applies committed entries to the tables and notifies the observer.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::Instant;

use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use ordu_core::command::{LogPosition, Machine, command_in};
use ordu_core::limits::APPLY_BATCH_ENTRIES_MAX;
use ordu_core::state::{Census, Change, Reader, Table, Tx, Write, key, read as state_read};
use ordu_proto::raft as pb;
use prost::Message;
use tokio::sync::watch;

use crate::background::{heavy, in_background};
use crate::chains::Chains;
use crate::codec::{self, invalid};
use crate::log::{Progress, Seen, bytes_of};
use crate::snapshot::SnapshotData;
use crate::tables::{self, TablesDb};
use crate::timings::Timings;
use crate::types::{Answer, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};

/// Observes applied entries. Called in log order, after the tables have been written.
pub trait Observer: Send + Sync + 'static {
    /// Called after entries up to `index` were applied; each change has its entry's index.
    fn applied(&self, index: u64, changes: Vec<(u64, Change)>);

    /// Called after all tables were replaced: anything derived from them is invalid.
    fn restored(&self, index: u64);
}

/// The server that owns the state, and how far its log is synced.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The raft id.
    pub server_id: u64,
    /// How far the log of that server is synced.
    pub progress: Progress,
}

struct Shared {
    db: Arc<dyn TablesDb>,
    own: Own,
    machine: RwLock<Machine>,
    position: Mutex<SnapshotMeta>,
    applied: watch::Sender<u64>,
    chains: Mutex<Chains>,
    /// A copy of the machine's census, to be read without its lock.
    census: Mutex<Census>,
    /// The same for the cluster's feature level.
    feature_level: AtomicU32,
    /// How long batches of entries took to apply.
    applies: Timings,
    observer: Arc<dyn Observer>,
}

/// A handle for reading the tables. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Shared>);

/// Raft's handle for the tables.
pub struct StateMachine(Arc<Shared>);

/// Opens the state in `db`, for raft and for readers.
///
/// # Errors
/// If the tables cannot be read.
pub fn open(
    db: Arc<dyn TablesDb>,
    own: Own,
    observer: Arc<dyn Observer>,
) -> io::Result<(StateMachine, State)> {
    let (position, machine) = tables::read(&*db, |reader| {
        Ok::<_, io::Error>((position(reader)?, Machine::load(reader).map_err(invalid)?))
    })?;
    let index = position.last_log_id.map_or(0, |id| id.index);
    let (applied, _) = watch::channel(index);
    let mut chains = Chains::default();
    chains.note(index, machine.chain());
    let census = Mutex::new(machine.census);
    let feature_level = AtomicU32::new(machine.feature_level());
    let shared = Arc::new(Shared {
        db,
        own,
        machine: RwLock::new(machine),
        position: Mutex::new(position),
        applied,
        chains: Mutex::new(chains),
        census,
        feature_level,
        applies: Timings::default(),
        observer,
    });
    Ok((StateMachine(shared.clone()), State(shared)))
}

/// Returns the applied log id and membership in the tables.
pub fn position(reader: &dyn Reader) -> io::Result<SnapshotMeta> {
    let mut position = SnapshotMeta::default();
    if let Some(bytes) = reader.get(Table::Meta, key::meta::APPLIED).map_err(invalid)? {
        position.last_log_id = Some(codec::log_id_from_pb(&codec::decode("the applied log id", &bytes)?));
    }
    if let Some(bytes) = reader.get(Table::Meta, key::meta::MEMBERSHIP).map_err(invalid)? {
        position.last_membership = codec::stored_membership_from_pb(&codec::decode::<pb::StoredMembership>(
            "the membership",
            &bytes,
        )?)?;
    }
    Ok(position)
}

/// Returns what the tables and the current snapshot of `server_id` say about its log.
///
/// # Errors
/// If they cannot be read.
pub fn seen(db: &dyn TablesDb, server_id: u64) -> io::Result<Seen> {
    let (applied, record) = tables::read(db, |reader| {
        let record = reader.get(Table::Meta, key::meta::LOG_SYNCED).map_err(invalid)?;
        let decode = |bytes: Vec<u8>| codec::decode::<pb::LogRecord>("the synced log id", &bytes);
        Ok::<_, io::Error>((position(reader)?.last_log_id, record.map(decode).transpose()?))
    })?;
    let snapshot = db.current_snapshot()?.and_then(|snapshot| snapshot.meta.last_log_id);
    // The record in tables that came from another server is about that server's log.
    let own = record.filter(|record| record.server_id == server_id);
    let synced = own.and_then(|record| record.last).as_ref().map(codec::log_id_from_pb);
    Ok(Seen { state: applied.max(snapshot), synced })
}

impl State {
    /// Calls `read` with a consistent view of the tables.
    pub fn read<T>(&self, read: impl FnOnce(&dyn Reader) -> T) -> T {
        tables::read(&*self.0.db, read)
    }

    /// Returns the in-memory state. Blocks `apply`: hold the guard only briefly.
    pub fn machine(&self) -> RwLockReadGuard<'_, Machine> {
        self.0.machine.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the last applied index.
    pub fn applied_index(&self) -> u64 {
        *self.0.applied.borrow()
    }

    /// Watches the last applied index.
    pub fn watch_applied(&self) -> watch::Receiver<u64> {
        self.0.applied.subscribe()
    }

    /// Waits until `index` is applied here.
    pub async fn wait_applied(&self, index: u64) {
        let mut applied = self.0.applied.subscribe();
        // The sender lives as long as this handle.
        let _ = applied.wait_for(|applied| *applied >= index).await;
    }

    /// Returns the chained hash after the entry at `index`, if it is among the latest applied.
    pub fn chain_at(&self, index: u64) -> Option<u64> {
        self.0.chains().at(index)
    }

    /// Returns the row counts as of the last applied batch.
    pub fn census(&self) -> Census {
        *self.0.census()
    }

    /// Returns the cluster's feature level as of the last applied batch.
    pub fn feature_level(&self) -> u32 {
        self.0.feature_level.load(Ordering::Acquire)
    }

    /// Returns how long batches of entries took to apply.
    pub fn applies(&self) -> &Timings {
        &self.0.applies
    }

    /// Returns the tables' database.
    pub fn db(&self) -> &Arc<dyn TablesDb> {
        &self.0.db
    }
}

impl Shared {
    fn chains(&self) -> MutexGuard<'_, Chains> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn census(&self) -> MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the copies that are read without the machine's lock.
    fn note(&self, machine: &Machine) {
        *self.census() = machine.census;
        self.feature_level.store(machine.feature_level(), Ordering::Release);
    }

    /// Whether `apply` would have to wait for a reader of the machine.
    fn machine_is_read(&self) -> bool {
        matches!(self.machine.try_write(), Err(TryLockError::WouldBlock))
    }

    fn apply(&self, entries: Vec<EntryResponder<TypeConfig>>) -> io::Result<()> {
        let began = Instant::now();
        let mut answers = Vec::with_capacity(entries.len());
        let mut changes = Vec::new();
        let mut chains = Vec::with_capacity(entries.len());
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner).clone();
        {
            let mut machine = self.machine.write().unwrap_or_else(PoisonError::into_inner);
            let writes = tables::read_latest(&*self.db, |reader| -> io::Result<Vec<Write>> {
                let mut tx = Tx::new(reader, state_read::indexes(reader).map_err(invalid)?);
                for (entry, responder) in entries {
                    let index = entry.log_id.index;
                    let mut answer = Answer::default();
                    match entry.payload {
                        EntryPayload::Blank => {}
                        EntryPayload::Normal(command) => {
                            let at = LogPosition { term: entry.log_id.leader_id.term, index };
                            let applied =
                                machine.apply(&mut tx, at, command.0.clone()).map_err(io::Error::other)?;
                            answer.0 = Some(applied.outcome);
                            changes.extend(applied.changes.into_iter().map(|change| (index, change)));
                        }
                        EntryPayload::Membership(membership) => {
                            position.last_membership = StoredMembership::new(Some(entry.log_id), membership);
                        }
                    }
                    position.last_log_id = Some(entry.log_id);
                    chains.push((index, *machine.chain()));
                    if let Some(responder) = responder {
                        answers.push((responder, answer));
                    }
                }
                let (mut writes, _) = tx.finish();
                writes.extend(position_rows(&position, &self.own));
                Ok(writes)
            })?;
            // Data, applied id and membership go into one atomic batch.
            self.db.commit(writes)?;
            self.note(&machine);
        }
        self.applies.note(began.elapsed());
        chains.iter().for_each(|(index, chain)| self.chains().note(*index, chain));
        let index = position.last_log_id.map_or(0, |id| id.index);
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
        self.applied.send_replace(index);
        self.observer.applied(index, changes);
        for (responder, answer) in answers {
            responder.send(answer);
        }
        Ok(())
    }
}

/// Splits entries into batches of about 1 MiB, so that none takes long to apply.
fn batches(entries: Vec<EntryResponder<TypeConfig>>) -> Vec<Vec<EntryResponder<TypeConfig>>> {
    const BYTES_MAX: usize = 1024 * 1024;
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for (entry, responder) in entries {
        let more = bytes_of(&entry);
        if bytes + more > BYTES_MAX && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += more;
        batch.push((entry, responder));
    }
    batches.push(batch);
    batches
}

/// Whether applying these entries may delay the thread's other tasks too long.
fn may_take_long(entries: &[EntryResponder<TypeConfig>]) -> bool {
    const BYTES_MIN: usize = 256 * 1024;
    const ENTRIES_MIN: usize = 32;
    let bytes: usize = entries.iter().map(|(entry, _)| bytes_of(entry)).sum();
    let reads_much = |(entry, _): &EntryResponder<TypeConfig>| match &entry.payload {
        EntryPayload::Normal(command) => {
            command_in(&command.0).is_some_and(|declared| declared.reads_whole_tables)
        }
        EntryPayload::Blank | EntryPayload::Membership(_) => false,
    };
    bytes > BYTES_MIN || entries.len() > ENTRIES_MIN || entries.iter().any(reads_much)
}

fn position_rows(position: &SnapshotMeta, own: &Own) -> Vec<Write> {
    let mut rows = Vec::with_capacity(3);
    let mut put =
        |key: &[u8], value| rows.push(Write { table: Table::Meta, key: key.to_vec(), value: Some(value) });
    if let Some(log_id) = &position.last_log_id {
        put(key::meta::APPLIED, codec::log_id_to_pb(log_id).encode_to_vec());
        // A quorum may have committed the entry before this server has synced it, so use the smaller id. An entry that
        // is both synced and applied is never truncated, so a log without it is damaged.
        if let Some(last) = own.progress.get().map(|synced| synced.min(*log_id)) {
            let record = pb::LogRecord {
                server_id: own.server_id,
                vote: None,
                last: Some(codec::log_id_to_pb(&last)),
            };
            put(key::meta::LOG_SYNCED, record.encode_to_vec());
        }
    }
    put(key::meta::MEMBERSHIP, codec::stored_membership_to_pb(&position.last_membership).encode_to_vec());
    rows
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let position = self.0.position.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((position.last_log_id, position.last_membership))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(APPLY_BATCH_ENTRIES_MAX);
        while let Some(chunk) = chunks.next().await {
            let entries = chunk.into_iter().collect::<io::Result<Vec<_>>>()?;
            for batch in batches(entries) {
                let is_heavy = may_take_long(&batch) || self.0.machine_is_read();
                heavy(is_heavy, || self.0.apply(batch))?;
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder(self.0.db.clone())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let shared = self.0.clone();
        let index = meta.last_log_id.map_or(0, |id| id.index);
        in_background(self.0.db.blocks(), move || {
            // Held until both are replaced, so that readers of tables and machine see the same applied id.
            let mut machine = shared.machine.write().unwrap_or_else(PoisonError::into_inner);
            shared.db.install(&snapshot)?;
            *machine = tables::read(&*shared.db, Machine::load).map_err(invalid)?;
            shared.chains().note(index, machine.chain());
            shared.note(&machine);
            Ok(())
        })
        .await?;
        *self.0.position.lock().unwrap_or_else(PoisonError::into_inner) = meta.clone();
        self.0.applied.send_replace(index);
        self.0.observer.restored(index);
        tracing::info!(index, "took over the state from a snapshot");
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let snapshot = self.0.db.current_snapshot()?;
        Ok(snapshot.map(|snapshot| Snapshot { meta: snapshot.meta.clone(), snapshot }))
    }
}

/// Builds snapshots concurrently with `apply`; a checkpoint itself says what it covers.
pub struct SnapshotBuilder(Arc<dyn TablesDb>);

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let db = self.0.clone();
        let snapshot = in_background(self.0.blocks(), move || db.checkpoint()).await?;
        tracing::debug!(last = ?snapshot.meta.last_log_id, "took a snapshot");
        Ok(Snapshot { meta: snapshot.meta.clone(), snapshot })
    }
}
