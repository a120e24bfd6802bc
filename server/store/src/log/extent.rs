//! The log's size in bytes and the age of its entries, which limit it in addition to their number.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A new mark is set once the last one covers this many bytes.
const MARK_BYTES: u64 = 64 * 1024;
/// A new mark is set once the last one is this old.
const MARK_AGE: Duration = Duration::from_secs(1);

/// The beginning of a run of entries.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The index of its first entry.
    index: u64,
    /// Cumulative size of all entries before it, including purged ones.
    bytes_before: u64,
    /// When its first entry was appended; for entries found at a restart, when the log was opened.
    at: Instant,
}

#[derive(Debug, Default)]
struct Marks {
    /// Ordered by index.
    marks: VecDeque<Mark>,
    /// Cumulative size of all entries up to the log's end, including purged ones.
    bytes: u64,
    /// The index after the last entry.
    end: u64,
}

/// The sizes and ages of the log's entries, accurate to a mark. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Extent(Arc<Mutex<Marks>>);

impl Extent {
    /// Adds appended entries, each with its size in bytes.
    pub fn append(&self, entries: impl IntoIterator<Item = (u64, usize)>) {
        let now = Instant::now();
        let mut all = self.marks();
        for (index, bytes) in entries {
            let is_new = all.marks.back().is_none_or(|last| {
                all.bytes - last.bytes_before >= MARK_BYTES || now.duration_since(last.at) >= MARK_AGE
            });
            if is_new {
                let bytes_before = all.bytes;
                all.marks.push_back(Mark { index, bytes_before, at: now });
            }
            all.bytes += bytes as u64;
            all.end = index + 1;
        }
    }

    /// Removes entries from `first` on.
    pub(super) fn truncate(&self, first: u64) {
        let mut all = self.marks();
        while let Some(mark) = all.marks.pop_back_if(|last| last.index >= first) {
            all.bytes = mark.bytes_before;
        }
        all.end = all.end.min(first);
    }

    /// Removes entries up to and including `upto`.
    pub(super) fn purge(&self, upto: u64) {
        let mut all = self.marks();
        if upto >= all.end {
            all.marks.clear();
        }
        while all.marks.get(1).is_some_and(|second| second.index <= upto.saturating_add(1)) {
            all.marks.pop_front();
        }
    }

    /// Returns the size of the entries from `first` on; at most one mark too large.
    pub fn bytes_from(&self, first: u64) -> u64 {
        let all = self.marks();
        all.bytes - all.bytes_before(first)
    }

    /// Returns the size of the entries from `first` to `end` (excluded), accurate to a mark.
    pub fn bytes_between(&self, first: u64, end: u64) -> u64 {
        let all = self.marks();
        all.bytes_before(end).saturating_sub(all.bytes_before(first))
    }

    /// Returns how long the entry at `index` has been in this log; zero if it is not in the log.
    pub fn age_of(&self, index: u64) -> Duration {
        let all = self.marks();
        let behind = all.marks.partition_point(|mark| mark.index <= index);
        let mark = behind.checked_sub(1).and_then(|at| all.marks.get(at));
        mark.map_or(Duration::ZERO, |mark| mark.at.elapsed())
    }

    /// Returns the first index such that the entries from there to `end` (excluded) have at most `bytes_max` bytes
    /// and were appended within `age_max`.
    pub fn first_within(&self, end: u64, bytes_max: u64, age_max: Duration) -> u64 {
        let all = self.marks();
        let bytes_end = all.bytes_before(end);
        let is_within = |mark: &&Mark| {
            bytes_end.saturating_sub(mark.bytes_before) <= bytes_max && mark.at.elapsed() <= age_max
        };
        all.marks.iter().find(is_within).map_or(end, |mark| mark.index.min(end))
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    /// Returns the size of the entries before `index`, rounded down to a mark.
    fn bytes_before(&self, index: u64) -> u64 {
        if index >= self.end {
            return self.bytes;
        }
        let behind = self.marks.partition_point(|mark| mark.index <= index);
        match (behind.checked_sub(1).and_then(|at| self.marks.get(at)), self.marks.front()) {
            (Some(mark), _) | (None, Some(mark)) => mark.bytes_before,
            (None, None) => self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MARK: usize = MARK_BYTES as usize;
    const FOREVER: Duration = Duration::MAX;

    fn of(entries: &[usize]) -> Extent {
        let extent = Extent::default();
        extent.append((1..).zip(entries.iter().copied()));
        extent
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_told_to_within_a_mark() {
        let extent = of(&[MARK, 2 * MARK, 10, MARK, 5]);
        assert_eq!(4 * MARK_BYTES + 15, extent.bytes_from(0));
        assert_eq!(4 * MARK_BYTES + 15, extent.bytes_from(1));
        assert_eq!(3 * MARK_BYTES + 15, extent.bytes_from(2));
        assert_eq!(MARK_BYTES + 15, extent.bytes_from(3));
        assert_eq!(MARK_BYTES + 15, extent.bytes_from(4), "in one mark with the entry before it");
        assert_eq!(5, extent.bytes_from(5));
        assert_eq!(0, Extent::default().bytes_from(3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_purged_or_cut_off_does_not_count() {
        let extent = of(&[MARK, MARK, MARK, MARK]);
        extent.purge(2);
        assert_eq!(2 * MARK_BYTES, extent.bytes_from(0));
        extent.truncate(4);
        assert_eq!(MARK_BYTES, extent.bytes_from(0));
        extent.append([(4, MARK), (5, 1)]);
        assert_eq!(2 * MARK_BYTES + 1, extent.bytes_from(3));
        extent.truncate(1);
        assert_eq!(0, extent.bytes_from(0));
        extent.append([(1, MARK)]);
        extent.purge(50);
        assert_eq!(0, extent.bytes_from(0));
        // Continues after a snapshot that was installed, far beyond the former end.
        extent.append([(100, MARK)]);
        assert_eq!((MARK_BYTES, MARK_BYTES), (extent.bytes_from(0), extent.bytes_from(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_entry_within_bytes_and_age_is_found() {
        let extent = of(&[MARK, MARK, MARK, MARK]);
        let within = |end, bytes: usize| extent.first_within(end, bytes as u64, FOREVER);
        assert_eq!((1, 3, 4), (within(5, 4 * MARK), within(5, 2 * MARK), within(5, 2 * MARK - 1)));
        assert_eq!(5, within(5, 0), "none fits");
        assert_eq!((1, 2), (within(4, 3 * MARK), within(4, 2 * MARK)), "of those before the end");
        let minute = Duration::from_secs(60);
        advance(minute * 2).await;
        extent.append([(5, MARK), (6, MARK)]);
        assert_eq!(5, extent.first_within(7, u64::MAX, minute));
        assert_eq!((minute * 2, Duration::ZERO), (extent.age_of(3), extent.age_of(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn small_entries_share_a_mark_for_a_second() {
        let extent = of(&[10; 1000]);
        assert_eq!(1, extent.marks().marks.len());
        advance(MARK_AGE).await;
        extent.append([(1001, 10)]);
        assert_eq!((10_010, 10), (extent.bytes_from(1), extent.bytes_from(1001)));
    }
}
