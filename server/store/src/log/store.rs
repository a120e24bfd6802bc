//! What raft demands of its log, over any [`LogDb`].

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::OptionalSend;
use openraft::storage::{LogState, RaftLogReader, RaftLogStorage};
use ordu_core::limits::APPEND_BYTES_MAX;
use prost::Message;

use super::check::{self, Seen};
use super::flusher::{Flusher, Target, Told, Waiter};
use super::recent::Recent;
use super::recorder::Recorder;
use super::sync_watch::SyncWatch;
use super::{LogBatch, LogDb, Marker, Progress, Site};
use crate::codec;
use crate::types::{Entry, IoFlushed, LogId, TypeConfig, Vote};

/// The raft log. A clone is another handle of the same log.
#[derive(Clone)]
pub struct LogStore {
    target: Arc<Target>,
    flusher: Flusher,
    recent: Arc<Recent>,
}

impl LogStore {
    /// The log of `server_id` in `db`, once it was read whole and found to have all that was promised by it.
    ///
    /// # Errors
    /// When it is another's or has lost something, in words; when it cannot be read; when its threads cannot be
    /// started.
    pub fn open(db: Arc<dyn LogDb>, server_id: u64, seen: &Seen) -> io::Result<Self> {
        let found = check::check(&*db, server_id, seen)?;
        let progress = Progress::default();
        progress.set(found.last);
        let vote = found.vote.as_ref().map(codec::vote_to_pb);
        let recorder = Recorder::new(db.clone(), progress.clone(), server_id, vote)?;
        // What is found is synced, or would be by now; the record catches up with it.
        recorder.note_synced()?;
        let target = Arc::new(Target { db, progress, recorder, syncs: SyncWatch::default() });
        Ok(Self { flusher: Flusher::new(target.clone())?, target, recent: Arc::default() })
    }

    /// How far it is synced.
    pub fn progress(&self) -> Progress {
        self.target.progress.clone()
    }

    /// How long its syncs take.
    pub fn syncs(&self) -> SyncWatch {
        self.target.syncs.clone()
    }

    fn db(&self) -> &dyn LogDb {
        &*self.target.db
    }

    /// Returns once the write of this number, which moved the log's end to `last`, is durable.
    async fn synced(&self, site: Site, write: u64, last: Option<LogId>) -> io::Result<()> {
        if self.db().leaves_out(site) {
            self.flusher.skip(&self.target, Waiter { told: Told::Nobody, write, last });
            return Ok(());
        }
        self.flusher.synced(write, last).await
    }

    fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if let Some(entries) = self.recent.range(start, end, bytes_max) {
            return Ok(entries);
        }
        let mut entries = Vec::new();
        let mut bytes_read = 0;
        let mut expected = None;
        let read = self.db().entries(start, end, &mut |index, bytes| {
            if expected.is_some_and(|expected| expected != index) {
                return Err(codec::invalid(format!("the log has a hole before entry {index}")));
            }
            expected = Some(index + 1);
            bytes_read += bytes.len();
            // Never empty: a single entry over the bound is still handed out.
            if bytes_read > bytes_max && !entries.is_empty() {
                return Ok(false);
            }
            entries.push(codec::entry_from_pb(codec::decode("a log entry", bytes)?)?);
            Ok(true)
        });
        read.map_err(|error| check::refusal(self.db(), &error.to_string()))?;
        Ok(entries)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, APPEND_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        check::vote(self.db())
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let last_purged_log_id = check::purged(self.db())?;
        let last_log_id = match self.db().last()? {
            Some((_, bytes)) => {
                Some(codec::entry_from_pb(codec::decode("the last log entry", &bytes)?)?.log_id)
            }
            None => last_purged_log_id,
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let bytes = codec::vote_to_pb(vote).encode_to_vec();
        let write =
            self.db().write(LogBatch { marker: Some((Marker::Vote, bytes)), ..LogBatch::default() })?;
        // Synced: a vote that a power loss forgets is a second vote in one term.
        self.synced(Site::Vote, write, None).await?;
        // On record beside the log before it is given, so that damage to the log cannot take it back unseen.
        self.target.recorder.vote(vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // Not synced: it only shortens a restart, and raft's core waits for it.
        let marker = Some((Marker::Committed, check::log_meta(committed.as_ref())));
        self.db().write(LogBatch { marker, ..LogBatch::default() }).map(|_| ())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        // The marker may have outlived entries that were not synced when the power went.
        let last = self.get_log_state().await?.last_log_id;
        Ok(check::log_id_marker(self.db(), Marker::Committed)?.filter(|committed| Some(*committed) <= last))
    }

    async fn append<I>(&mut self, entries: I, callback: IoFlushed) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let last = entries.last().map(|entry| entry.log_id);
        let encoded = |entry: &Entry| (entry.log_id.index, codec::entry_to_pb(entry).encode_to_vec());
        let batch = LogBatch { entries: entries.iter().map(encoded).collect(), ..LogBatch::default() };
        let lengths: Vec<usize> = batch.entries.iter().map(|(_, bytes)| bytes.len()).collect();
        let write = self.db().write(batch)?;
        self.recent.append(entries.into_iter().zip(lengths).collect());
        let waiter = Waiter { told: Told::Append(callback), write, last };
        if self.db().leaves_out(Site::Append) {
            self.flusher.skip(&self.target, waiter);
            return Ok(());
        }
        // Synced before raft counts this server: what is acknowledged is on the disks of a quorum.
        self.flusher.push(waiter);
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let first = last_log_id.map_or(0, |id| id.index + 1);
        self.recent.clear();
        // First those who wait for what is cut: they would raise the record to it afterwards.
        self.flusher.synced(0, None).await?;
        // A log that is shorter than its record is a damaged one.
        self.target.recorder.lower(last_log_id).await?;
        let write = self.db().write(LogBatch { remove: Some((first, u64::MAX)), ..LogBatch::default() })?;
        // Synced: an entry of a deposed leader that comes back after a power loss, behind entries that
        // have replaced it in part, would be a log that no leader wrote.
        self.synced(Site::Truncate, write, None).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.recent.clear();
        let marker = Some((Marker::Purged, check::log_meta(Some(&log_id))));
        let remove = Some((0, log_id.index + 1));
        // The marker goes with the deletes: without it the log would begin with a hole.
        let write = self.db().write(LogBatch { remove, marker, ..LogBatch::default() })?;
        // Synced, so that raft never relies on a purge that a power loss takes back in part.
        self.synced(Site::Purge, write, Some(log_id)).await
    }
}
