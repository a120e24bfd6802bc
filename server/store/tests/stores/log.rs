//! The raft log: nothing is acknowledged before its sync, and acknowledged entries are never lost.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::async_runtime::AsyncRuntime;
use openraft::async_runtime::oneshot::Oneshot;
use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use openraft::vote::RaftLeaderId;
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft_rt_tokio::TokioRuntime;
use ordu_proto::raft::LogMeta;
use ordu_store::log::{LogBatch, LogDb, LogStore, Marker, MemoryLog, RocksLog, Seen, Syncing, prepare};
use ordu_store::types::{Command, Entry, IoFlushed, LogId, Vote};
use tokio::sync::oneshot;

use super::child;

/// The id of the server that owns the log.
const OWNER: u64 = 7;

type TokioOneshot = <TokioRuntime as AsyncRuntime>::Oneshot;

fn log_id(index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId::new(1), index }
}

fn entry(index: u64) -> Entry {
    let payload = EntryPayload::Normal(Command(Bytes::from(format!("command {index}"))));
    Entry::new(log_id(index), payload)
}

fn vote(term: u64) -> Vote {
    Vote { leader_id: RaftLeaderId::new(term, 7), committed: false }
}

/// Opens the log in `db` as if the server's tables had applied all entries. Its entries begin at 1.
fn opened(db: Arc<dyn LogDb>) -> LogStore {
    prepare(&*db, OWNER).unwrap();
    if db.marker(Marker::Purged).unwrap().is_none() {
        let meta = LogMeta { log_id: Some(ordu_store::codec::log_id_to_pb(&log_id(0))) };
        let marker = Some((Marker::Purged, prost::Message::encode_to_vec(&meta)));
        db.write(LogBatch { marker, ..LogBatch::default() }).unwrap();
        db.sync().unwrap();
    }
    LogStore::open(db, OWNER, &Seen { state: Some(log_id(1_000_000)), synced: None }).unwrap()
}

async fn push(
    log: &mut LogStore,
    indexes: impl IntoIterator<Item = u64>,
) -> oneshot::Receiver<io::Result<()>> {
    let (sender, synced) = TokioOneshot::channel();
    let entries: Vec<Entry> = indexes.into_iter().map(entry).collect();
    log.append(entries, IoFlushed::signal(sender)).await.unwrap();
    synced
}

async fn append(log: &mut LogStore, indexes: impl IntoIterator<Item = u64>) -> io::Result<()> {
    let (sender, synced) = TokioOneshot::channel();
    let entries: Vec<Entry> = indexes.into_iter().map(entry).collect();
    log.append(entries, IoFlushed::signal(sender)).await?;
    synced.await.unwrap()
}

async fn indexes(log: &mut LogStore) -> Vec<u64> {
    let entries = log.try_get_log_entries(0..1_000_000).await.unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

/// Wraps another log and counts, delays or fails its syncs on demand.
struct Watched<D> {
    inner: Arc<D>,
    syncs: AtomicUsize,
    synced: AtomicUsize,
    writes: AtomicUsize,
    fails: AtomicBool,
    is_held: Mutex<bool>,
    released: Condvar,
}

impl<D: LogDb> Watched<D> {
    fn new(inner: D) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(inner),
            syncs: AtomicUsize::new(0),
            synced: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            is_held: Mutex::new(false),
            released: Condvar::new(),
        })
    }

    /// Resets the counters.
    fn count_anew(&self) {
        [&self.syncs, &self.synced, &self.writes].iter().for_each(|count| count.store(0, Ordering::SeqCst));
    }

    fn hold(&self, is_held: bool) {
        *self.is_held.lock().unwrap() = is_held;
        self.released.notify_all();
    }

    fn wait_for_a_sync(&self) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while self.syncs.load(Ordering::SeqCst) == 0 {
            assert!(std::time::Instant::now() < deadline, "no sync began");
            std::thread::yield_now();
        }
    }
}

impl<D: LogDb> LogDb for Watched<D> {
    fn write(&self, batch: LogBatch) -> io::Result<u64> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.write(batch)
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        let mut is_held = self.is_held.lock().unwrap();
        while *is_held {
            is_held = self.released.wait(is_held).unwrap();
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.inner.sync()?;
        self.synced.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn syncing(&self) -> Syncing {
        Syncing::Blocks
    }

    fn record(&self) -> io::Result<Option<Vec<u8>>> {
        self.inner.record()
    }

    fn write_record(&self, record: &[u8]) -> io::Result<()> {
        self.inner.write_record(record)
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn promised(&self, write: u64) {
        self.inner.promised(write);
    }

    fn marker(&self, marker: Marker) -> io::Result<Option<Vec<u8>>> {
        self.inner.marker(marker)
    }

    fn entries(
        &self,
        start: u64,
        end: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.inner.entries(start, end, visit)
    }

    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        self.inner.last()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_process_that_dies_right_after() {
    const NAME: &str = "log::what_was_acknowledged_survives_a_process_that_dies_right_after";
    if let Some(directory) = child::directory() {
        let mut log = opened(Arc::new(RocksLog::open(&directory.join("log"), true).unwrap()));
        append(&mut log, 1..=100).await.unwrap();
        log.truncate_after(Some(log_id(90))).await.unwrap();
        log.purge(log_id(10)).await.unwrap();
        append(&mut log, 91..=95).await.unwrap();
        log.save_vote(&vote(5)).await.unwrap();
        child::die();
    }
    let directory = tempfile::tempdir().unwrap();
    child::run(NAME, directory.path());
    let mut log = opened(Arc::new(RocksLog::open(&directory.path().join("log"), false).unwrap()));
    assert_eq!((11..=95).collect::<Vec<_>>(), indexes(&mut log).await);
    assert_eq!(Some(vote(5)), log.read_vote().await.unwrap());
    let state = log.get_log_state().await.unwrap();
    assert_eq!((Some(log_id(10)), Some(log_id(95))), (state.last_purged_log_id, state.last_log_id));
    let read = log.try_get_log_entries(93..94).await.unwrap();
    assert_eq!(entry(93).payload, read[0].payload);
}

#[tokio::test]
async fn memory_drops_exactly_what_was_not_synced() {
    let memory = MemoryLog::default();
    let write = |index: u64, marker: &str| LogBatch {
        entries: vec![(index, vec![1])],
        marker: Some((Marker::Vote, marker.into())),
        ..LogBatch::default()
    };
    memory.write(write(1, "one")).unwrap();
    memory.write(write(2, "two")).unwrap();
    memory.sync().unwrap();
    memory.write(write(3, "three")).unwrap();
    memory.write(LogBatch { remove: Some((1, 2)), ..LogBatch::default() }).unwrap();
    let seen = |memory: &MemoryLog| {
        let mut seen = Vec::new();
        memory
            .entries(0, 9, &mut |index, _| {
                seen.push(index);
                Ok(true)
            })
            .unwrap();
        seen
    };
    assert_eq!(vec![2, 3], seen(&memory));
    memory.lose_unsynced();
    assert_eq!(vec![1, 2], seen(&memory));
    assert_eq!(Some(b"two".to_vec()), memory.marker(Marker::Vote).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_keeps_what_it_is_given_and_purge_takes_it() {
    let directory = tempfile::tempdir().unwrap();
    let rocks: Arc<dyn LogDb> = Arc::new(RocksLog::open(&directory.path().join("log"), true).unwrap());
    for db in [rocks, Arc::new(MemoryLog::default())] {
        let mut log = opened(db);
        append(&mut log, 1..=9).await.unwrap();
        log.truncate_after(Some(log_id(6))).await.unwrap();
        assert_eq!((1..=6).collect::<Vec<_>>(), indexes(&mut log).await);
        log.purge(log_id(3)).await.unwrap();
        assert_eq!(vec![4, 5, 6], indexes(&mut log).await);
        // A committed id beyond the end of the log is ignored.
        log.save_committed(Some(log_id(8))).await.unwrap();
        assert_eq!(None, log.read_committed().await.unwrap());
        log.save_committed(Some(log_id(5))).await.unwrap();
        assert_eq!(Some(log_id(5)), log.read_committed().await.unwrap());
        log.purge(log_id(20)).await.unwrap();
        let state = log.get_log_state().await.unwrap();
        assert_eq!((Some(log_id(20)), Some(log_id(20))), (state.last_purged_log_id, state.last_log_id));
        append(&mut log, 21..=22).await.unwrap();
        log.truncate_after(None).await.unwrap();
        assert!(indexes(&mut log).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sync_serves_all_that_wait_and_none_is_told_before_it() {
    let db = Watched::new(MemoryLog::default());
    let mut log = opened(db.clone());
    db.count_anew();
    db.hold(true);
    let first = push(&mut log, [1]).await;
    db.wait_for_a_sync();
    let mut waiting = vec![first];
    for index in 2..=50 {
        waiting.push(push(&mut log, [index]).await);
    }
    // All entries can be read, although only the first is written. None is acknowledged, because the only sync that
    // has begun is delayed.
    assert_eq!(50, indexes(&mut log).await.len());
    assert!(waiting.iter_mut().all(|synced| synced.try_recv().is_err()));
    assert_eq!(
        (1, 1, 0),
        (db.writes.load(Ordering::SeqCst), db.syncs.load(Ordering::SeqCst), db.synced.load(Ordering::SeqCst))
    );
    db.hold(false);
    for synced in waiting {
        synced.await.unwrap().unwrap();
    }
    let syncs = db.synced.load(Ordering::SeqCst);
    assert_eq!(2, syncs, "one for the first, one for the forty-nine that came meanwhile");
    drop(log);
    db.inner.lose_unsynced();
    let mut log = opened(db.inner.clone());
    assert_eq!(50, indexes(&mut log).await.len(), "what was acknowledged was synced");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_written_yet_is_read_with_what_is_and_cut_with_it() {
    let db = Watched::new(MemoryLog::default());
    let mut log = opened(db.clone());
    append(&mut log, 1..=5).await.unwrap();
    // The reopened log's cache does not contain the entries that were written before.
    let mut log = opened(db.clone());
    db.count_anew();
    db.hold(true);
    let first = push(&mut log, 6..=7).await;
    db.wait_for_a_sync();
    let second = push(&mut log, 8..=9).await;
    assert_eq!((1..=9).collect::<Vec<u64>>(), indexes(&mut log).await);
    let some = log.limited_get_log_entries(4, 9).await.unwrap();
    assert_eq!(vec![4, 5, 6, 7, 8], some.iter().map(|entry| entry.log_id.index).collect::<Vec<u64>>());
    let cutting = tokio::spawn({
        let mut log = log.clone();
        async move { log.truncate_after(Some(log_id(7))).await }
    });
    db.hold(false);
    for told in [first, second] {
        told.await.unwrap().unwrap();
    }
    cutting.await.unwrap().unwrap();
    assert_eq!((1..=7).collect::<Vec<u64>>(), indexes(&mut log).await);
    drop(log);
    db.inner.lose_unsynced();
    assert_eq!((1..=7).collect::<Vec<u64>>(), indexes(&mut opened(db.inner.clone())).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_told_to_all_and_never_tried_again() {
    let db = Watched::new(MemoryLog::default());
    let mut log = opened(db.clone());
    append(&mut log, [1]).await.unwrap();
    db.fails.store(true, Ordering::SeqCst);
    db.hold(true);
    let waiting = [push(&mut log, [2]).await, push(&mut log, [3]).await];
    db.hold(false);
    for synced in waiting {
        assert!(synced.await.unwrap().is_err());
    }
    let syncs = db.syncs.load(Ordering::SeqCst);
    db.fails.store(false, Ordering::SeqCst);
    assert!(append(&mut log, [4]).await.is_err());
    assert!(log.save_vote(&vote(2)).await.is_err());
    assert_eq!(syncs, db.syncs.load(Ordering::SeqCst), "a later sync that succeeds would prove nothing");
}

/// An operation that must be synced when it returns.
#[derive(Clone, Copy, Debug)]
enum Site {
    Vote,
    Append,
    Truncate,
    Purge,
}

async fn at(site: Site, log: &mut LogStore) -> io::Result<()> {
    match site {
        Site::Vote => log.save_vote(&vote(9)).await,
        Site::Append => append(log, 6..=7).await,
        Site::Truncate => log.truncate_after(Some(log_id(3))).await,
        Site::Purge => log.purge(log_id(2)).await,
    }
}

async fn seen(log: &mut LogStore) -> (Vec<u64>, Option<Vote>, Option<LogId>) {
    let purged = log.get_log_state().await.unwrap().last_purged_log_id;
    (indexes(log).await, log.read_vote().await.unwrap(), purged)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_site_what_returned_outlives_a_power_loss_and_what_failed_did_not_return() {
    for site in [Site::Vote, Site::Append, Site::Truncate, Site::Purge] {
        let db = Watched::new(MemoryLog::default());
        let mut log = opened(db.clone());
        log.save_vote(&vote(1)).await.unwrap();
        append(&mut log, 1..=5).await.unwrap();
        let before = seen(&mut log).await;

        let synced = db.synced.load(Ordering::SeqCst);
        at(site, &mut log).await.unwrap();
        assert!(db.synced.load(Ordering::SeqCst) > synced, "{site:?} is synced");
        let after = seen(&mut log).await;
        assert_ne!(before, after, "{site:?} did something");
        drop(log);
        db.inner.lose_unsynced();
        let mut log = opened(db.inner.clone());
        assert_eq!(after, seen(&mut log).await, "{site:?} is there after a power loss");

        let db = Watched::new(MemoryLog::default());
        let mut log = opened(db.clone());
        log.save_vote(&vote(1)).await.unwrap();
        append(&mut log, 1..=5).await.unwrap();
        db.fails.store(true, Ordering::SeqCst);
        assert!(at(site, &mut log).await.is_err(), "{site:?} says that it failed");
        db.inner.lose_unsynced();
        let mut log = opened(db.inner.clone());
        assert_eq!(before, seen(&mut log).await, "{site:?} is whole or not there");
    }
}

#[tokio::test]
async fn a_committed_id_is_not_synced() {
    let db = Watched::new(MemoryLog::default());
    let mut log = opened(db.clone());
    append(&mut log, [1]).await.unwrap();
    let syncs = db.syncs.load(Ordering::SeqCst);
    log.save_committed(Some(log_id(1))).await.unwrap();
    assert_eq!(syncs, db.syncs.load(Ordering::SeqCst), "raft's core waits for it");
}

#[tokio::test]
async fn a_hole_in_the_log_is_an_error_and_not_an_early_end() {
    let db = Arc::new(MemoryLog::default());
    let mut log = opened(db.clone());
    append(&mut log, 1..=5).await.unwrap();
    log.purge(log_id(1)).await.unwrap();
    // A log that was just appended to would read from its cache; the reopened log reads the database.
    let mut log = opened(db.clone());
    db.write(LogBatch { remove: Some((3, 4)), ..LogBatch::default() }).unwrap();
    assert!(log.try_get_log_entries(2..6).await.is_err());
    assert_eq!(1, log.try_get_log_entries(2..3).await.unwrap().len());
}

/// Returns the error of reopening the log; empty if there is none.
fn refused(db: &Arc<MemoryLog>, server_id: u64, seen: &Seen) -> String {
    LogStore::open(db.clone(), server_id, seen).err().map(|error| error.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn a_log_that_is_another_s_or_has_less_than_was_promised_is_refused_in_words() {
    let all = Seen { state: Some(log_id(5)), synced: Some(log_id(5)) };
    let filled = async || {
        let db = Arc::new(MemoryLog::default());
        let mut log = opened(db.clone());
        log.save_vote(&vote(3)).await.unwrap();
        append(&mut log, 1..=5).await.unwrap();
        log.purge(log_id(2)).await.unwrap();
        db
    };
    let write = |db: &MemoryLog, batch: LogBatch| db.write(batch).map(drop).unwrap();
    let marker =
        |marker, bytes: &[u8]| LogBatch { marker: Some((marker, bytes.to_vec())), ..LogBatch::default() };
    let remove = |start, end| LogBatch { remove: Some((start, end)), ..LogBatch::default() };

    assert_eq!("", refused(&filled().await, OWNER, &all));
    let said = refused(&filled().await, 8, &all);
    assert!(said.contains("the log of server 7, not of 8"), "{said}");
    let said = refused(&Arc::new(MemoryLog::default()), OWNER, &all);
    assert!(said.contains("a new log, and this server had one before"), "{said}");

    let db = filled().await;
    write(&db, remove(5, 6));
    let said = refused(&db, OWNER, &all);
    assert!(said.contains("ends at entry 4") && said.contains("up to entry 5"), "{said}");
    let db = filled().await;
    write(&db, remove(4, 5));
    assert!(refused(&db, OWNER, &all).contains("entry 4 is missing"));
    let db = filled().await;
    write(&db, LogBatch { entries: vec![(4, vec![0xff])], ..LogBatch::default() });
    assert!(refused(&db, OWNER, &all).contains("cannot be decoded"));

    // The vote is older than the one in the record, which other servers rely on.
    let db = filled().await;
    let older = ordu_store::codec::vote_to_pb(&vote(2));
    write(&db, marker(Marker::Vote, &prost::Message::encode_to_vec(&older)));
    let said = refused(&db, OWNER, &all);
    assert!(said.contains("has given the vote"), "{said}");

    // The tables have more synced entries than log and record, which were restored from older copies.
    let ahead = Seen { state: Some(log_id(9)), synced: Some(log_id(8)) };
    let said = refused(&filled().await, OWNER, &ahead);
    assert!(said.contains("up to entry 8"), "{said}");
    // Entries may be applied before this server has synced them, or be covered by a snapshot; that is no error.
    let applied_only = Seen { state: Some(log_id(9)), synced: Some(log_id(5)) };
    assert_eq!("", refused(&filled().await, OWNER, &applied_only));
    // Purged entries that the tables do not have either.
    let behind = Seen { state: Some(log_id(1)), synced: None };
    let said = refused(&filled().await, OWNER, &behind);
    assert!(said.contains("begins at entry 3"), "{said}");
}

#[tokio::test]
async fn a_log_that_was_cut_is_not_taken_for_a_damaged_one() {
    for synced_after in [false, true] {
        let db = Arc::new(MemoryLog::default());
        let mut log = opened(db.clone());
        let waiting = push(&mut log, 1..=9).await;
        log.truncate_after(Some(log_id(4))).await.unwrap();
        waiting.await.unwrap().unwrap();
        if synced_after {
            append(&mut log, 5..=5).await.unwrap();
        }
        drop(log);
        db.lose_unsynced();
        assert_eq!("", refused(&db, OWNER, &Seen { state: Some(log_id(0)), synced: None }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_follows_the_log_and_is_written_when_the_log_is_closed() {
    let db = Watched::new(MemoryLog::default());
    let mut log = opened(db.clone());
    append(&mut log, 1..=5).await.unwrap();
    log.save_vote(&vote(4)).await.unwrap();
    let record = || {
        let bytes = db.record().unwrap().unwrap();
        ordu_store::codec::decode::<ordu_proto::raft::LogRecord>("the record", &bytes).unwrap()
    };
    // When a vote is given, the record contains it, and the end of the log synced by then.
    assert_eq!(
        (Some(4), Some(5)),
        (record().vote.map(|vote| vote.term), record().last.map(|last| last.index))
    );
    append(&mut log, 6..=7).await.unwrap();
    drop(log);
    assert_eq!(Some(7), record().last.map(|last| last.index));
}
