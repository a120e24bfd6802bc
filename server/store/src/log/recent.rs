//! A cache of the latest log entries: those not yet written to the database, and some before them, so that
//! entries are usually replicated and applied without reading the database.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::types::Entry;

/// Maximum size of the cached entries in bytes; unwritten entries are kept beyond it.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// [`Recent::room`] waits while more than this many bytes are unwritten.
const UNWRITTEN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The cached end of the log.
#[derive(Default)]
pub(super) struct Recent {
    kept: Mutex<Kept>,
    unwritten_bytes: watch::Sender<usize>,
    gave_up: watch::Sender<bool>,
}

#[derive(Default)]
struct Kept {
    /// Consecutive entries, each with its approximate size in the log.
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
    /// Number of unwritten entries, which are the last ones, and their size in bytes.
    unwritten: usize,
    unwritten_bytes: usize,
}

impl Kept {
    /// Removes the entries from `index` on.
    fn truncate(&mut self, index: u64) {
        while self.entries.back().is_some_and(|(last, _)| last.log_id.index >= index) {
            let bytes = self.entries.pop_back().map_or(0, |(_, bytes)| bytes);
            self.bytes -= bytes;
            if self.unwritten > 0 {
                self.unwritten -= 1;
                self.unwritten_bytes -= bytes;
            }
        }
    }

    /// Removes the oldest written entries while `is_dropped`, called with the cached bytes and the oldest entry,
    /// returns true.
    fn drop_oldest(&mut self, is_dropped: impl Fn(usize, &Entry) -> bool) {
        while self.entries.len() > self.unwritten
            && self.entries.front().is_some_and(|(oldest, _)| is_dropped(self.bytes, oldest))
        {
            self.bytes -= self.entries.pop_front().map_or(0, |(_, bytes)| bytes);
        }
    }

    /// Notes that all but the last `unwritten` entries are written.
    fn note_unwritten(&mut self, unwritten: usize) {
        let first = self.entries.len() - self.unwritten;
        let newly = self.unwritten.saturating_sub(unwritten);
        let bytes: usize = self.entries.range(first..first + newly).map(|(_, bytes)| bytes).sum();
        self.unwritten -= newly;
        self.unwritten_bytes -= bytes;
    }
}

impl Recent {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn unwritten_bytes(&self) -> watch::Receiver<usize> {
        self.unwritten_bytes.subscribe()
    }

    /// Waits until there is room for more unwritten entries; returns false if writing has failed for good.
    pub(super) async fn room(&self) -> bool {
        let (mut bytes, mut gave_up) = (self.unwritten_bytes.subscribe(), self.gave_up.subscribe());
        // The senders live as long as `self`.
        tokio::select! {
            biased;
            _ = gave_up.wait_for(|gave_up| *gave_up) => false,
            _ = bytes.wait_for(|bytes| *bytes <= UNWRITTEN_BYTES_MAX) => true,
        }
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.kept().entries.front().map(|(entry, _)| entry.log_id.index)
    }

    fn told<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.kept();
        let changed = change(&mut kept);
        let bytes = kept.unwritten_bytes;
        self.unwritten_bytes.send_if_modified(|told| std::mem::replace(told, bytes) != bytes);
        changed
    }

    /// Adds appended entries, each with its size, as unwritten.
    pub(super) fn append(&self, entries: impl IntoIterator<Item = (Entry, usize)>) {
        self.told(|kept| {
            for (entry, bytes) in entries {
                kept.truncate(entry.log_id.index);
                if kept.entries.back().is_some_and(|(last, _)| last.log_id.index + 1 != entry.log_id.index) {
                    // The log continues after a snapshot; earlier entries are no longer read.
                    kept.truncate(0);
                }
                kept.bytes += bytes;
                kept.unwritten += 1;
                kept.unwritten_bytes += bytes;
                kept.entries.push_back((entry, bytes));
            }
            kept.drop_oldest(|bytes, _| bytes > BYTES_MAX);
        });
    }

    /// Notes that the entries up to `last` are in the database.
    pub(super) fn note_written(&self, last: u64) {
        self.told(|kept| {
            let end = kept.entries.back().map_or(0, |(entry, _)| entry.log_id.index);
            kept.note_unwritten(usize::try_from(end.saturating_sub(last)).unwrap_or(usize::MAX));
            kept.drop_oldest(|bytes, _| bytes > BYTES_MAX);
        });
    }

    /// Notes that nothing will be written any more, and wakes the waiting callers of [`Recent::room`].
    pub(super) fn give_up(&self) {
        self.gave_up.send_replace(true);
    }

    /// Removes the entries from `index` on.
    pub(super) fn truncate(&self, index: u64) {
        self.told(|kept| kept.truncate(index));
    }

    /// Removes the entries up to `upto`, except unwritten ones.
    pub(super) fn purge(&self, upto: u64) {
        self.told(|kept| kept.drop_oldest(|_, oldest| oldest.log_id.index <= upto));
    }

    /// Returns the entries from `start` (included) to `end` (excluded) or to the end of the log, at most
    /// `bytes_max` bytes but at least one entry; `None` if the entry at `start` is not cached.
    pub(super) fn range(&self, start: u64, end: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let kept = self.kept();
        let first = kept.entries.front()?.0.log_id.index;
        let skipped = usize::try_from(start.checked_sub(first)?).ok()?;
        let count = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let mut bytes_read = 0;
        let fits = |(_, bytes): &&(Entry, usize)| {
            let is_first = bytes_read == 0;
            bytes_read += bytes;
            is_first || bytes_read <= bytes_max
        };
        Some(
            kept.entries
                .iter()
                .skip(skipped)
                .take(count)
                .take_while(fits)
                .map(|(entry, _)| entry.clone())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;
    use openraft::entry::RaftEntry;
    use openraft::vote::leader_id_std::CommittedLeaderId;

    use super::*;
    use crate::types::LogId;

    fn entries(indexes: std::ops::Range<u64>, bytes: usize) -> Vec<(Entry, usize)> {
        let log_id = |index| LogId { leader_id: CommittedLeaderId::new(1), index };
        indexes.map(|index| (Entry::new(log_id(index), EntryPayload::Blank), bytes)).collect()
    }

    fn range(recent: &Recent, start: u64, end: u64, bytes_max: usize) -> Option<Vec<u64>> {
        let found = recent.range(start, end, bytes_max)?;
        Some(found.iter().map(|entry| entry.log_id.index).collect())
    }

    /// Adds entries that were written right after they were appended.
    fn written(recent: &Recent, indexes: std::ops::Range<u64>, bytes: usize) {
        let last = indexes.end - 1;
        recent.append(entries(indexes, bytes));
        recent.note_written(last);
    }

    #[test]
    fn only_what_is_here_from_its_beginning_is_handed_out() {
        let recent = Recent::default();
        assert_eq!(None, range(&recent, 0, 9, 100));
        written(&recent, 5..8, 10);
        recent.append(entries(8..10, 10));
        assert_eq!(None, range(&recent, 4, 9, 100));
        assert_eq!(Some(vec![5, 6, 7, 8]), range(&recent, 5, 9, 100));
        assert_eq!(Some(vec![8, 9]), range(&recent, 8, u64::MAX, 100));
        assert_eq!(Some(vec![]), range(&recent, 10, 12, 100));
        assert_eq!(Some(vec![6, 7]), range(&recent, 6, 9, 29), "within the bytes");
        assert_eq!(Some(vec![6]), range(&recent, 6, 9, 3), "never empty");
        // Entries that replace others, and entries that follow a snapshot.
        recent.append(entries(7..9, 10));
        assert_eq!(Some(vec![5, 6, 7, 8]), range(&recent, 5, 20, 100));
        recent.append(entries(15..17, 10));
        assert_eq!((None, Some(vec![15, 16])), (range(&recent, 8, 20, 100), range(&recent, 15, 20, 100)));
    }

    #[test]
    fn the_oldest_give_way_once_they_are_written() {
        let recent = Recent::default();
        recent.append(entries(1..4, BYTES_MAX / 2));
        assert_eq!(Some(vec![1, 2, 3]), range(&recent, 1, 4, usize::MAX));
        recent.note_written(1);
        assert_eq!(
            (None, Some(vec![2, 3])),
            (range(&recent, 1, 4, usize::MAX), range(&recent, 2, 4, usize::MAX))
        );
        recent.append(entries(4..5, BYTES_MAX + 1));
        recent.note_written(4);
        assert_eq!(None, range(&recent, 4, 5, usize::MAX), "larger than all the room");
    }

    #[test]
    fn what_is_cut_off_or_purged_is_here_no_more_but_what_is_not_written() {
        let recent = Recent::default();
        written(&recent, 1..6, 10);
        recent.append(entries(6..9, 10));
        recent.truncate(8);
        recent.purge(3);
        assert_eq!((None, Some(vec![4, 5, 6, 7])), (range(&recent, 3, 9, 900), range(&recent, 4, 9, 900)));
        recent.purge(7);
        assert_eq!(Some(vec![6, 7]), range(&recent, 6, 9, 900), "they are to be written first");
    }

    #[tokio::test(start_paused = true)]
    async fn who_appends_waits_while_too_much_is_not_written_unless_nothing_is_any_more() {
        let waits = async |recent: &Recent| {
            tokio::time::timeout(std::time::Duration::from_secs(1), recent.room()).await.ok()
        };
        let recent = Recent::default();
        assert_eq!(Some(true), waits(&recent).await);
        recent.append(entries(1..3, UNWRITTEN_BYTES_MAX));
        assert_eq!(None, waits(&recent).await);
        recent.note_written(1);
        assert_eq!(Some(true), waits(&recent).await);
        recent.append(entries(3..4, 1));
        assert_eq!(None, waits(&recent).await);
        recent.give_up();
        assert_eq!(Some(false), waits(&recent).await);
        assert_eq!(
            Some(vec![2, 3]),
            range(&recent, 2, 4, usize::MAX),
            "what is not written is read from here alone"
        );
    }
}
