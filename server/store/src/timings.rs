//! How long something takes that is done all the time: counted by bounds, without a lock, for whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The greatest times of the classes, seconds. What took longer than all of them counts in the whole alone.
pub const BOUNDS_SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

#[derive(Debug, Default)]
struct Counts {
    within: [AtomicU64; BOUNDS_SECONDS.len()],
    longer: AtomicU64,
    sum_ns: AtomicU64,
}

/// Times that were taken. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Timings(Arc<Counts>);

/// Times as they are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// How many took no longer than each of [`BOUNDS_SECONDS`]: those of the classes before it are in it.
    pub within: [u64; BOUNDS_SECONDS.len()],
    /// How many there were in all.
    pub count: u64,
    /// What they took together, seconds.
    pub sum_seconds: f64,
}

impl Timings {
    /// Something took so long.
    pub fn note(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let class = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        class.map_or(&self.0.longer, |class| &self.0.within[class]).fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.sum_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// All that were noted since the start.
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
