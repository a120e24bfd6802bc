//! For how long the sync of the raft log has been under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Times {
    began: Option<Instant>,
    /// How long the longest took that ended since it was last asked.
    longest: Duration,
}

/// What a log's syncs take. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct SyncWatch(Arc<Mutex<Times>>);

impl SyncWatch {
    pub(super) fn begin(&self) {
        self.times().began = Some(Instant::now());
    }

    pub(super) fn end(&self) {
        let mut times = self.times();
        if let Some(began) = times.began.take() {
            times.longest = times.longest.max(began.elapsed());
        }
    }

    /// The longest time that a sync has taken since this was last asked, whether it has ended or not.
    pub fn longest(&self) -> Duration {
        let mut times = self.times();
        let ended = std::mem::take(&mut times.longest);
        times.began.map_or(ended, |began| ended.max(began.elapsed()))
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    }
}
