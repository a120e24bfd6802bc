//! Limits that an operator may change while a server runs.

use std::time::Duration;

use ordu_core::limits::HTTP_STALL_MS;
use tokio::sync::watch;

/// What a server tolerates of its clock, disk and clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum difference between this server's clock and the median of the members' clocks. Beyond it the
    /// server should not lead.
    pub clock_skew_max: Duration,
    /// Maximum duration of a raft log sync. With a slower disk the server should not lead.
    pub sync_time_max: Duration,
    /// How long an HTTP client may accept no data before its connection is closed.
    pub http_stall_max: Duration,
    /// Free bytes that the data directory's file system should have; by default 1 GiB or a twentieth of it,
    /// whichever is less.
    pub disk_free_bytes_min: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clock_skew_max: Duration::from_secs(5),
            sync_time_max: Duration::from_secs(2),
            http_stall_max: Duration::from_millis(HTTP_STALL_MS),
            disk_free_bytes_min: None,
        }
    }
}

/// The limits in force; users read them anew each time. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct LimitsInForce(watch::Sender<Limits>);

impl LimitsInForce {
    /// Starts with `limits`.
    pub fn new(limits: Limits) -> Self {
        Self(watch::Sender::new(limits))
    }

    /// Returns the current limits.
    pub fn get(&self) -> Limits {
        *self.0.borrow()
    }

    /// Replaces the limits.
    pub fn set(&self, limits: Limits) {
        self.0.send_replace(limits);
    }

    /// Returns a receiver of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Limits> {
        self.0.subscribe()
    }
}
