//! Implements raft's log storage on top of any [`LogDb`].

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use openraft::storage::{LogState, RaftLogReader, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend};
use ordu_core::limits::APPEND_BYTES_MAX;
use prost::Message;
use tokio::sync::watch;

use super::check::{self, Seen};
use super::extent::Extent;
use super::flusher::{Content, Done, Flusher, Job, Target, Told, failed_before};
use super::recent::Recent;
use super::recorder::Recorder;
use super::sync_watch::SyncWatch;
use super::{LogBatch, LogDb, Marker, Progress, Site, Syncing};
use crate::background::heavy;
use crate::codec;
use crate::types::{Entry, IoFlushed, LogId, TypeConfig, Vote};

/// The raft log. Clones are handles of the same log.
#[derive(Clone)]
pub struct LogStore {
    target: Arc<Target>,
    flusher: Flusher,
    extent: Extent,
}

impl LogStore {
    /// Opens the log of `server_id` in `db`: reads it completely, and checks that it contains everything that was
    /// promised.
    ///
    /// # Errors
    /// If the log belongs to another server or has lost something; if it cannot be read; if its threads cannot be
    /// started.
    pub fn open(db: Arc<dyn LogDb>, server_id: u64, seen: &Seen) -> io::Result<Self> {
        let found = check::check(&*db, server_id, seen)?;
        let progress = Progress::default();
        progress.set(found.last);
        let vote = found.vote.as_ref().map(codec::vote_to_pb);
        let recorder = Recorder::new(db.clone(), progress.clone(), server_id, vote)?;
        // The entries found on disk count as synced. The record may say less and is updated.
        recorder.note_synced()?;
        let target = Arc::new(Target {
            db,
            progress,
            recorder,
            syncs: SyncWatch::default(),
            recent: Recent::default(),
            committed: Mutex::default(),
            removed_before: AtomicU64::new(0),
        });
        let flusher = Flusher::new(target.clone())?;
        Ok(Self { flusher, target, extent: found.extent })
    }

    /// Returns how far the log is synced.
    pub fn progress(&self) -> Progress {
        self.target.progress.clone()
    }

    /// Returns the sizes and ages of the log's entries.
    pub fn extent(&self) -> Extent {
        self.extent.clone()
    }

    /// Watches the size of the appended but unwritten entries, in bytes.
    pub fn backlog_bytes(&self) -> watch::Receiver<usize> {
        self.recent().unwritten_bytes()
    }

    /// Returns how long the log's syncs take.
    pub fn syncs(&self) -> SyncWatch {
        self.target.syncs.clone()
    }

    fn db(&self) -> &dyn LogDb {
        &*self.target.db
    }

    fn recent(&self) -> &Recent {
        &self.target.recent
    }

    /// When a job for `site` is done: once synced, unless a simulation skips that sync.
    fn done(&self, site: Site) -> Done {
        if self.db().leaves_out(site) { Done::SyncLeftOut } else { Done::Synced }
    }

    /// Waits until all earlier jobs are written to the database, durable or not.
    async fn written(&self) -> io::Result<()> {
        self.flusher.finish(Content::Nothing, Done::Written, None).await
    }

    fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        let mut bytes_found = 0;
        let mut next = start;
        loop {
            let before = next;
            // Entries that are not cached are in the database; unwritten entries are always cached.
            if let Some(entries) = self.recent().range(next, end, bytes_max.saturating_sub(bytes_found)) {
                if found.is_empty() {
                    return Ok(entries);
                }
                // The cache returns at least one entry even if it exceeds the limit, so check again.
                let fits = |entry: &Entry| {
                    bytes_found += bytes_of(entry);
                    bytes_found <= bytes_max
                };
                found.extend(entries.into_iter().take_while(fits));
                return Ok(found);
            }
            let is_on_disk = self.db().syncing() == Syncing::Blocks;
            let read = heavy(is_on_disk, || {
                self.db().entries(next, end, &mut |index, bytes| {
                    if !found.is_empty() && index != next {
                        return Err(codec::invalid(format!("the log has a hole before entry {index}")));
                    }
                    bytes_found += bytes.len();
                    // Never return nothing: a single entry over the limit is still returned.
                    if bytes_found > bytes_max && !found.is_empty() {
                        return Ok(false);
                    }
                    next = index + 1;
                    found.push(codec::entry_from_pb(codec::decode("a log entry", bytes)?)?);
                    Ok(true)
                })
            });
            read.map_err(|error| check::refusal(self.db(), &error.to_string()))?;
            if next >= end || bytes_found > bytes_max {
                return Ok(found);
            }
            // Entries may have been written and dropped from the cache between the two reads; they are in the
            // database now, so read again. If neither has more, the log ends here.
            if next == before && self.recent().first().is_none_or(|first| first > next) {
                return Ok(found);
            }
        }
    }
}

/// Returns the approximate size of an entry in the log, in bytes.
pub(crate) fn bytes_of(entry: &Entry) -> usize {
    const REST: usize = 16;
    match &entry.payload {
        EntryPayload::Normal(command) => command.0.len() + REST,
        EntryPayload::Blank | EntryPayload::Membership(_) => REST,
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
        self.written().await?;
        check::vote(self.db())
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        self.written().await?;
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
        let batch = LogBatch { marker: Some((Marker::Vote, bytes)), ..LogBatch::default() };
        // Synced: if a power loss undid the vote, the server could vote twice in one term.
        self.flusher.finish(Content::Batch(batch), self.done(Site::Vote), None).await?;
        // Also recorded beside the log before the vote is given, so that damage to the log is noticed.
        self.target.recorder.vote(vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // Only written along with a later write, unsynced: it merely shortens a restart.
        *self.target.committed() = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        // The marker may refer to entries that were lost because they were not synced.
        let last = self.get_log_state().await?.last_log_id;
        Ok(check::log_id_marker(self.db(), Marker::Committed)?.filter(|committed| Some(*committed) <= last))
    }

    async fn append<I>(&mut self, entries: I, callback: IoFlushed) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        // Raft continues while the entries are written; until then they are in memory, which is limited.
        if !self.recent().room().await {
            return failed_before();
        }
        let entries: Vec<Entry> = entries.into_iter().collect();
        let last = entries.last().map(|entry| entry.log_id);
        self.extent.append(entries.iter().map(|entry| (entry.log_id.index, bytes_of(entry))));
        self.recent().append(entries.iter().map(|entry| (entry.clone(), bytes_of(entry))));
        // Synced before raft counts this server, so that an acknowledged entry is on the disks of a quorum.
        let (content, done) = (Content::Entries(entries), self.done(Site::Append));
        self.flusher.push(Job { content, done, told: Told::Append(callback), last });
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let first = last_log_id.map_or(0, |id| id.index + 1);
        // Complete the jobs of the removed entries first; later they would raise the record again.
        self.flusher.finish(Content::Nothing, Done::Synced, None).await?;
        self.recent().truncate(first);
        self.extent.truncate(first);
        // Lower the record first: a log that is shorter than its record counts as damaged.
        self.target.recorder.lower(last_log_id).await?;
        let batch = LogBatch { remove: Some((first, u64::MAX)), ..LogBatch::default() };
        // Synced: otherwise a power loss could bring back an entry of a deposed leader after entries that have partly
        // replaced it, a log that no leader wrote.
        self.flusher.finish(Content::Batch(batch), self.done(Site::Truncate), None).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.recent().purge(log_id.index);
        self.extent.purge(log_id.index);
        let marker = Some((Marker::Purged, check::log_meta(Some(&log_id))));
        let remove = Some((0, log_id.index + 1));
        // The marker is in the same batch: without it the log would begin with a gap.
        let batch = LogBatch { remove, marker, ..LogBatch::default() };
        // Synced, so that raft never relies on a purge that a power loss partly undoes.
        self.flusher.finish(Content::Batch(batch), self.done(Site::Purge), Some(log_id)).await
    }
}
