//! How far the log is synced, shared with those who must not run ahead of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::LogId;

/// The end of what is synced. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Option<LogId>>>);

impl Progress {
    fn synced(&self) -> MutexGuard<'_, Option<LogId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of what is synced; none of an empty log.
    pub fn get(&self) -> Option<LogId> {
        *self.synced()
    }

    /// Everything up to `last` is synced.
    pub(super) fn raise(&self, last: LogId) {
        let mut synced = self.synced();
        *synced = (*synced).max(Some(last));
    }

    /// The log ends here now, wherever it ended before.
    pub(super) fn set(&self, last: Option<LogId>) {
        *self.synced() = last;
    }
}
