//! A lock-free histogram of the durations of a frequent operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the histogram's buckets, in seconds. Longer durations are counted only in the total.
pub const BOUNDS_SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

#[derive(Debug, Default)]
struct Counts {
    within: [AtomicU64; BOUNDS_SECONDS.len()],
    longer: AtomicU64,
    sum_ns: AtomicU64,
}

/// A histogram of durations. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Timings(Arc<Counts>);

/// The contents of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Number of durations that are at most each of [`BOUNDS_SECONDS`]; cumulative.
    pub within: [u64; BOUNDS_SECONDS.len()],
    /// Number of all durations.
    pub count: u64,
    /// Sum of all durations, in seconds.
    pub sum_seconds: f64,
}

impl Timings {
    /// Adds a duration.
    pub fn note(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let class = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        class.map_or(&self.0.longer, |class| &self.0.within[class]).fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.sum_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Returns all durations noted since the start.
    pub fn told(&self) -> Told {
        let mut count = 0;
        let within = self.0.within.each_ref().map(|class| {
            count += class.load(Ordering::Relaxed);
            count
        });
        count += self.0.longer.load(Ordering::Relaxed);
        let sum_seconds = Duration::from_nanos(self.0.sum_ns.load(Ordering::Relaxed)).as_secs_f64();
        Told { within, count, sum_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_its_class_and_all_above_it() {
        let timings = Timings::default();
        for milliseconds in [1, 2, 300, 9_000] {
            timings.note(Duration::from_millis(milliseconds));
        }
        let told = timings.told();
        assert_eq!([0, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3], told.within);
        assert_eq!((4, Duration::from_millis(9_303).as_secs_f64()), (told.count, told.sum_seconds));
    }
}
