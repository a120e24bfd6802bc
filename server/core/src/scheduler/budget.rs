//! The maximum cost of an evaluation, counted in steps instead of time so that every server counts the same.

use std::cell::Cell;

/// Maximum number of steps of one evaluation. A step is about the cost of checking one node for
/// one group, some tens of nanoseconds. An evaluation of 1,000 groups over 10,000 nodes, or of
/// 100,000 allocations, takes about ten million steps.
pub const SCHEDULE_STEPS_MAX: u64 = 100_000_000;

/// Bytes of text that are read in one step.
const STEP_BYTES: usize = 32;

/// Counts the steps of one evaluation. When none are left, checks of nodes stop and the decision is discarded.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    pub(crate) fn new(steps: u64) -> Self {
        Self { left: Cell::new(steps) }
    }

    /// Consumes `steps` steps.
    #[inline]
    pub(crate) fn spend(&self, steps: u64) {
        self.left.set(self.left.get().saturating_sub(steps));
    }

    /// Consumes the steps for reading `bytes` bytes.
    #[inline]
    pub(crate) fn spend_bytes(&self, bytes: usize) {
        self.spend(1 + (bytes / STEP_BYTES) as u64);
    }

    /// Returns how many of `steps` have been consumed.
    #[cfg(test)]
    pub(crate) fn spent_of(&self, steps: u64) -> u64 {
        steps - self.left.get()
    }

    /// Returns whether no steps are left.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}
