//! What the broker tells of itself.

use std::collections::BTreeMap;

use super::{FAILED_QUEUE, Place};

/// How many evaluations the broker has, and where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Those that a worker could have now.
    pub ready: usize,
    /// Those that workers have.
    pub outstanding: usize,
    /// Those that wait for another one of their job.
    pub waiting: usize,
    /// Those that wait for a time.
    pub delayed: usize,
    /// Those of the ready ones that were handed out as often as allowed.
    pub failed: usize,
    /// By scheduler.
    pub by_scheduler: BTreeMap<String, QueueStats>,
}

/// Of one scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Those that a worker could have now.
    pub ready: usize,
    /// Those that workers have.
    pub outstanding: usize,
}

impl BrokerStats {
    pub(super) fn count(&mut self, place: Place, queue: &str) {
        match place {
            Place::Ready => {
                self.ready += 1;
                self.failed += usize::from(queue == FAILED_QUEUE);
                self.by_scheduler.entry(queue.to_owned()).or_default().ready += 1;
            }
            Place::Outstanding { .. } => {
                self.outstanding += 1;
                self.by_scheduler.entry(queue.to_owned()).or_default().outstanding += 1;
            }
            Place::Waiting => self.waiting += 1,
            Place::Delayed { .. } => self.delayed += 1,
        }
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.ready + self.outstanding + self.waiting + self.delayed
    }
}
