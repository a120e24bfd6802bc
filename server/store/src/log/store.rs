//! What raft demands of its log, over any [`LogDb`].

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

/// The raft log. A clone is another handle of the same log.
#[derive(Clone)]
pub struct LogStore {
    target: Arc<Target>,
    flusher: Flusher,
    extent: Extent,
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

    /// How far it is synced.
    pub fn progress(&self) -> Progress {
        self.target.progress.clone()
    }

    /// How many bytes it has, and how old they are.
    pub fn extent(&self) -> Extent {
        self.extent.clone()
    }

    /// Bytes of the entries that it was given and has not written yet.
    pub fn backlog_bytes(&self) -> watch::Receiver<usize> {
        self.recent().unwritten_bytes()
    }

    /// How long its syncs take.
    pub fn syncs(&self) -> SyncWatch {
        self.target.syncs.clone()
    }

    fn db(&self) -> &dyn LogDb {
        &*self.target.db
    }

    fn recent(&self) -> &Recent {
        &self.target.recent
    }

    /// When what raft demands to be durable here is done.
    fn done(&self, site: Site) -> Done {
        if self.db().leaves_out(site) { Done::SyncLeftOut } else { Done::Synced }
    }

    /// Returns once all that was given to the log is in the database, durable or not.
    async fn written(&self) -> io::Result<()> {
        self.flusher.finish(Content::Nothing, Done::Written, None).await
    }

    fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        let mut bytes_found = 0;
        let mut next = start;
        loop {
            let before = next;
            // What is not here is in the database, and what is not written yet is here.
            if let Some(entries) = self.recent().range(next, end, bytes_max.saturating_sub(bytes_found)) {
                if found.is_empty() {
                    return Ok(entries);
                }
                // The first is handed out whatever it has, and that was another.
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
                    // Never empty: a single entry over the bound is still handed out.
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
            // What was written and dropped from memory between the two looks is in the database now. Once neither has
            // more, the log ends here.
            if next == before && self.recent().first().is_none_or(|first| first > next) {
                return Ok(found);
            }
        }
    }
}

/// About what an entry has in the log, bytes.
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
        // Synced: a vote that a power loss forgets is a second vote in one term.
        self.flusher.finish(Content::Batch(batch), self.done(Site::Vote), None).await?;
        // On record beside the log before it is given, so that damage to the log cannot take it back unseen.
        self.target.recorder.vote(vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // Neither synced nor waited for, and not worth a write: it only shortens a restart.
        *self.target.committed() = committed;
        Ok(())
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
        // Raft goes on while this is written; what is not written yet is read from memory, which has a bound.
        if !self.recent().room().await {
            return failed_before();
        }
        let entries: Vec<Entry> = entries.into_iter().collect();
        let last = entries.last().map(|entry| entry.log_id);
        self.extent.append(entries.iter().map(|entry| (entry.log_id.index, bytes_of(entry))));
        self.recent().append(entries.iter().map(|entry| (entry.clone(), bytes_of(entry))));
        // Synced before raft counts this server: what is acknowledged is on the disks of a quorum.
        let (content, done) = (Content::Entries(entries), self.done(Site::Append));
        self.flusher.push(Job { content, done, told: Told::Append(callback), last });
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let first = last_log_id.map_or(0, |id| id.index + 1);
        // First those who wait for what is cut: they would raise the record to it afterwards.
        self.flusher.finish(Content::Nothing, Done::Synced, None).await?;
        self.recent().truncate(first);
        self.extent.truncate(first);
        // A log that is shorter than its record is a damaged one.
        self.target.recorder.lower(last_log_id).await?;
        let batch = LogBatch { remove: Some((first, u64::MAX)), ..LogBatch::default() };
        // Synced: an entry of a deposed leader that comes back after a power loss, behind entries that
        // have replaced it in part, would be a log that no leader wrote.
        self.flusher.finish(Content::Batch(batch), self.done(Site::Truncate), None).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        self.recent().purge(log_id.index);
        self.extent.purge(log_id.index);
        let marker = Some((Marker::Purged, check::log_meta(Some(&log_id))));
        let remove = Some((0, log_id.index + 1));
        // The marker goes with the deletes: without it the log would begin with a hole.
        let batch = LogBatch { remove, marker, ..LogBatch::default() };
        // Synced, so that raft never relies on a purge that a power loss takes back in part.
        self.flusher.finish(Content::Batch(batch), self.done(Site::Purge), Some(log_id)).await
    }
}
