//! How far the log is synced, shared with code that must not run ahead of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::LogId;

/// The last synced log id. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Option<LogId>>>);

impl Progress {
    fn synced(&self) -> MutexGuard<'_, Option<LogId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the last synced log id; none if the log is empty.
    pub fn get(&self) -> Option<LogId> {
        *self.synced()
    }

    /// Notes that all entries up to `last` are synced; never lowers the value.
    pub(super) fn raise(&self, last: LogId) {
        let mut synced = self.synced();
        *synced = (*synced).max(Some(last));
    }

    /// Sets the value even if it is lower than before, for example when the log is truncated.
    pub(super) fn set(&self, last: Option<LogId>) {
        *self.synced() = last;
    }
}
