//! What raft demands of its log, over any [`LogDb`].

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::OptionalSend;
use openraft::storage::{LogState, RaftLogReader, RaftLogStorage};
use ordu_core::limits::APPEND_BYTES_MAX;
use ordu_proto::raft as pb;
use prost::Message;

use super::flusher::{Flusher, Waiter};
use super::{LogBatch, LogDb, Marker};
use crate::codec;
use crate::types::{Entry, IoFlushed, LogId, TypeConfig, Vote};

/// The raft log. A clone is another handle of the same log.
#[derive(Clone)]
pub struct LogStore {
    db: Arc<dyn LogDb>,
    flusher: Flusher,
}

impl LogStore {
    /// The log in `db`.
    ///
    /// # Errors
    /// When the flusher's thread cannot be started.
    pub fn new(db: Arc<dyn LogDb>) -> io::Result<Self> {
        Ok(Self { flusher: Flusher::new(db.clone())?, db })
    }

    fn log_id_marker(&self, marker: Marker) -> io::Result<Option<LogId>> {
        let Some(bytes) = self.db.marker(marker)? else { return Ok(None) };
        let meta: pb::LogMeta = codec::decode("a log marker", &bytes)?;
        Ok(meta.log_id.as_ref().map(codec::log_id_from_pb))
    }

    fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut bytes_read = 0;
        let mut expected = None;
        self.db.entries(start, end, &mut |index, bytes| {
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
        })?;
        Ok(entries)
    }
}

fn log_meta(log_id: Option<&LogId>) -> Vec<u8> {
    pb::LogMeta { log_id: log_id.map(codec::log_id_to_pb) }.encode_to_vec()
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
        let Some(bytes) = self.db.marker(Marker::Vote)? else { return Ok(None) };
        codec::vote_from_pb(&codec::decode("the vote", &bytes)?).map(Some)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let last_purged_log_id = self.log_id_marker(Marker::Purged)?;
        let last_log_id = match self.db.last()? {
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
        self.db.write(LogBatch { marker: Some((Marker::Vote, bytes)), ..LogBatch::default() })?;
        // Synced: a vote that a power loss forgets is a second vote in one term.
        self.flusher.synced().await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // Not synced: it only shortens a restart, and raft's core waits for it.
        let marker = Some((Marker::Committed, log_meta(committed.as_ref())));
        self.db.write(LogBatch { marker, ..LogBatch::default() })
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        // The marker may have outlived entries that were not synced when the power went.
        let last = self.get_log_state().await?.last_log_id;
        Ok(self.log_id_marker(Marker::Committed)?.filter(|committed| Some(*committed) <= last))
    }

    async fn append<I>(&mut self, entries: I, callback: IoFlushed) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries
            .into_iter()
            .map(|entry| (entry.log_id.index, codec::entry_to_pb(&entry).encode_to_vec()))
            .collect();
        self.db.write(LogBatch { entries, ..LogBatch::default() })?;
        // Synced before raft counts this server: what is acknowledged is on the disks of a quorum.
        self.flusher.push(Waiter::Append(callback));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let first = last_log_id.map_or(0, |id| id.index + 1);
        self.db.write(LogBatch { remove: Some((first, u64::MAX)), ..LogBatch::default() })?;
        // Synced: an entry of a deposed leader that comes back after a power loss, behind entries that
        // have replaced it in part, would be a log that no leader wrote.
        self.flusher.synced().await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let marker = Some((Marker::Purged, log_meta(Some(&log_id))));
        // The marker goes with the deletes: without it the log would begin with a hole.
        self.db.write(LogBatch { remove: Some((0, log_id.index + 1)), marker, ..LogBatch::default() })?;
        // Synced, so that raft never relies on a purge that a power loss takes back in part.
        self.flusher.synced().await
    }
}
