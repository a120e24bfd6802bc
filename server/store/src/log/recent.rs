//! The entries appended last: who reads what was just written, to apply it or to pass it on, need not ask the
//! database.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::types::Entry;

/// Bytes of entries that are kept.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// The log's end, as far back as there is room.
#[derive(Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Consecutive, each with its length in the log.
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
}

impl Kept {
    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }
}

impl Recent {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These were appended, each with its length.
    pub(super) fn append(&self, entries: Vec<(Entry, usize)>) {
        let mut kept = self.kept();
        for (entry, bytes) in entries {
            if kept.entries.back().is_some_and(|(last, _)| last.log_id.index + 1 != entry.log_id.index) {
                kept.clear();
            }
            kept.bytes += bytes;
            kept.entries.push_back((entry, bytes));
        }
        while kept.bytes > BYTES_MAX
            && let Some((_, bytes)) = kept.entries.pop_front()
        {
            kept.bytes -= bytes;
        }
    }

    /// The log does not end as it did.
    pub(super) fn clear(&self) {
        self.kept().clear();
    }

    /// The entries from `start` (included) to `end` (excluded) or to the log's end, but for the first no more than
    /// `bytes_max`; `None` where they are not all here.
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

    #[test]
    fn only_what_is_here_from_its_beginning_is_handed_out() {
        let recent = Recent::default();
        assert_eq!(None, range(&recent, 0, 9, 100));
        recent.append(entries(5..8, 10));
        recent.append(entries(8..10, 10));
        assert_eq!(None, range(&recent, 4, 9, 100));
        assert_eq!(Some(vec![5, 6, 7, 8]), range(&recent, 5, 9, 100));
        assert_eq!(Some(vec![8, 9]), range(&recent, 8, u64::MAX, 100));
        assert_eq!(Some(vec![]), range(&recent, 10, 12, 100));
        assert_eq!(Some(vec![6, 7]), range(&recent, 6, 9, 29), "within the bytes");
        assert_eq!(Some(vec![6]), range(&recent, 6, 9, 3), "never empty");
        // Entries that replace others.
        recent.append(entries(7..9, 10));
        assert_eq!((None, Some(vec![7, 8])), (range(&recent, 6, 9, 100), range(&recent, 7, 9, 100)));
        recent.clear();
        assert_eq!(None, range(&recent, 7, 9, 100));
    }

    #[test]
    fn the_oldest_give_way() {
        let recent = Recent::default();
        recent.append(entries(1..4, BYTES_MAX / 2));
        assert_eq!(
            (None, Some(vec![2, 3])),
            (range(&recent, 1, 4, usize::MAX), range(&recent, 2, 4, usize::MAX))
        );
        recent.append(entries(4..5, BYTES_MAX + 1));
        assert_eq!(None, range(&recent, 4, 5, usize::MAX), "larger than all the room");
    }
}
