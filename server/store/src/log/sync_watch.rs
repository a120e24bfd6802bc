//! Measures how long syncs of the raft log take, including one that is in progress.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::timings::Timings;

#[derive(Debug, Default)]
struct Times {
    began: Option<Instant>,
    /// The longest completed sync since the last call of [`SyncWatch::longest`].
    longest: Duration,
}

/// Durations of a log's syncs. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct SyncWatch {
    times: Arc<Mutex<Times>>,
    ended: Timings,
}

impl SyncWatch {
    pub(super) fn begin(&self) {
        self.times().began = Some(Instant::now());
    }

    pub(super) fn end(&self) {
        let mut times = self.times();
        if let Some(began) = times.began.take() {
            let took = began.elapsed();
            times.longest = times.longest.max(took);
            self.ended.note(took);
        }
    }

    /// Returns the duration of the longest sync since the last call, including one in progress.
    pub fn longest(&self) -> Duration {
        let mut times = self.times();
        let ended = std::mem::take(&mut times.longest);
        times.began.map_or(ended, |began| ended.max(began.elapsed()))
    }

    /// Returns the durations of the completed syncs.
    pub fn ended(&self) -> &Timings {
        &self.ended
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_counts_while_it_is_under_way_and_once_after_it() {
        let watch = SyncWatch::default();
        assert_eq!(Duration::ZERO, watch.longest());
        watch.times().began = Instant::now().checked_sub(Duration::from_secs(5));
        assert!(watch.longest() >= Duration::from_secs(5), "under way");
        watch.end();
        assert!(watch.longest() >= Duration::from_secs(5), "ended since");
        assert_eq!(Duration::ZERO, watch.longest());
        assert_eq!(1, watch.ended().told().count);
    }
}
