//! Whether anything uses a connection, and since when nothing does.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// The use of one connection. A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Usage(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    users: usize,
    /// When the last of them ended, or the connection began.
    unused_since: Instant,
}

/// Marks a connection as used until it is dropped.
pub(crate) struct InUse(Usage);

impl Default for Usage {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { users: 0, unused_since: Instant::now() })))
    }
}

impl Usage {
    /// Begins to use the connection.
    pub(crate) fn begin(&self) -> InUse {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).users += 1;
        InUse(self.clone())
    }

    /// Returns since when nothing uses the connection; `None` if something does.
    pub(crate) fn unused_since(&self) -> Option<Instant> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.users == 0).then_some(state.unused_since)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.users -= 1;
        state.unused_since = Instant::now();
    }
}
