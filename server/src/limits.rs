//! Limits that an operator may change while a server runs.

use std::time::Duration;

use ordu_core::limits::HTTP_STALL_MS;
use tokio::sync::watch;

/// What a server bears of its clock, its disk and its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// By how much this server's clock may differ from the median of the members' clocks: with more it is no
    /// leader.
    pub clock_skew_max: Duration,
    /// How long a sync of the raft log may take: with a slower disk it is no leader.
    pub sync_time_max: Duration,
    /// How long a client of the HTTP API may take nothing of what is sent to it.
    pub http_stall_max: Duration,
    /// Bytes that should be free where the data are; not set: 1 GiB, or a twentieth of a small file system.
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

/// The limits in force: who goes by one asks for it at each look. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct LimitsInForce(watch::Sender<Limits>);

impl LimitsInForce {
    /// These, until others are set.
    pub fn new(limits: Limits) -> Self {
        Self(watch::Sender::new(limits))
    }

    /// Those of this moment.
    pub fn get(&self) -> Limits {
        *self.0.borrow()
    }

    /// These from now on.
    pub fn set(&self, limits: Limits) {
        self.0.send_replace(limits);
    }

    /// Follows them.
    pub(crate) fn watch(&self) -> watch::Receiver<Limits> {
        self.0.subscribe()
    }
}
