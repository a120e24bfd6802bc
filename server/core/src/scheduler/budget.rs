//! What one evaluation may cost. It is counted in steps and not in time, so that every server counts alike.

use std::cell::Cell;

/// Steps of one evaluation. A step is about what it takes to look at one node for one group, some tens of
/// nanoseconds. An evaluation of 1,000 groups over 10,000 nodes, or of 100,000 allocations, takes some ten million.
pub const SCHEDULE_STEPS_MAX: u64 = 100_000_000;

/// Bytes of text that one step reads.
const STEP_BYTES: usize = 32;

/// Counts the steps of one evaluation. When they are used up nothing is asked of nodes any more, and what was
/// decided does not count.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    pub(crate) fn new(steps: u64) -> Self {
        Self { left: Cell::new(steps) }
    }

    /// Takes so many steps.
    #[inline]
    pub(crate) fn spend(&self, steps: u64) {
        self.left.set(self.left.get().saturating_sub(steps));
    }

    /// Takes what it costs to read so many bytes.
    #[inline]
    pub(crate) fn spend_bytes(&self, bytes: usize) {
        self.spend(1 + (bytes / STEP_BYTES) as u64);
    }

    /// What has been taken of so many.
    #[cfg(test)]
    pub(crate) fn spent_of(&self, steps: u64) -> u64 {
        steps - self.left.get()
    }

    /// Whether there is nothing left.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}
