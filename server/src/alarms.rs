//! Alarms: problems that do not stop this server. Each is logged when it begins and ends, and shown in health
//! and metrics while it lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A kind of problem. At most one alarm of each kind is raised at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// The address that other servers use to reach this server is no longer on any interface of this machine.
    AddressGone,
    /// This server's clock differs from the other servers' clocks.
    ClockSkew,
    /// Servers that applied the same entries hold different states, and no majority tells which is right.
    Diverged,
    /// Round trips between servers are too long for raft's timing.
    FarServers,
    /// Too little free space on this server's disk.
    LowDisk,
    /// This server's log lacks entries that it had before.
    LogWentBack,
    /// Rows that cannot be decoded are skipped by readers.
    RowsSetAside,
    /// Syncs of the raft log take too long.
    SlowDisk,
}

impl Alarm {
    /// All kinds.
    pub const ALL: [Alarm; 8] = [
        Alarm::AddressGone,
        Alarm::ClockSkew,
        Alarm::Diverged,
        Alarm::FarServers,
        Alarm::LogWentBack,
        Alarm::LowDisk,
        Alarm::RowsSetAside,
        Alarm::SlowDisk,
    ];

    /// Returns the alarm's name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Alarm::AddressGone => "address_gone",
            Alarm::ClockSkew => "clock_skew",
            Alarm::Diverged => "diverged",
            Alarm::FarServers => "far_servers",
            Alarm::LogWentBack => "log_went_back",
            Alarm::LowDisk => "low_disk",
            Alarm::RowsSetAside => "rows_set_aside",
            Alarm::SlowDisk => "slow_disk",
        }
    }

    /// Whether clients should avoid a server with this alarm: health then answers 500.
    pub const fn is_unfit(self) -> bool {
        matches!(self, Alarm::Diverged | Alarm::LogWentBack)
    }
}

/// The alarms of a server. A cheap handle.
#[derive(Clone, Default)]
pub struct Alarms(Arc<Mutex<BTreeMap<Alarm, String>>>);

impl Alarms {
    fn raised(&self) -> MutexGuard<'_, BTreeMap<Alarm, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises the alarm, or replaces its text; `text` is a sentence for the operator. Logs only when the
    /// alarm is new.
    pub fn raise(&self, alarm: Alarm, text: impl Into<String>) {
        let text = text.into();
        let mut raised = self.raised();
        if !raised.contains_key(&alarm) {
            tracing::error!(alarm = alarm.name(), "{text}");
        }
        raised.insert(alarm, text);
    }

    /// Clears the alarm. Logs if it was raised.
    pub fn clear(&self, alarm: Alarm) {
        if self.raised().remove(&alarm).is_some() {
            tracing::info!(alarm = alarm.name(), "this is well again");
        }
    }

    /// Whether the alarm is raised.
    pub fn is_raised(&self, alarm: Alarm) -> bool {
        self.raised().contains_key(&alarm)
    }

    /// Returns all raised alarms with their texts.
    pub fn all(&self) -> Vec<(Alarm, String)> {
        self.raised().iter().map(|(alarm, text)| (*alarm, text.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_lasts_until_it_is_cleared_and_tells_its_latest_text() {
        let alarms = Alarms::default();
        alarms.raise(Alarm::ClockSkew, "first");
        alarms.raise(Alarm::ClockSkew, "second");
        alarms.raise(Alarm::Diverged, "other");
        assert_eq!(
            [(Alarm::ClockSkew, "second".to_owned()), (Alarm::Diverged, "other".to_owned())],
            *alarms.all()
        );
        alarms.clear(Alarm::ClockSkew);
        assert!(!alarms.is_raised(Alarm::ClockSkew) && alarms.is_raised(Alarm::Diverged));
    }
}
