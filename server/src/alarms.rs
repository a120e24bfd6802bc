//! What is wrong here and does not end this server: told in the log when it begins and ends, and in health and
//! metrics for as long as it lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A kind of trouble. There is one of a kind at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// The address that others reach this server at is none of this machine's any more.
    AddressGone,
    /// This server's clock is not the others'.
    ClockSkew,
    /// Servers that applied the same entries hold different states, and no majority says who is right.
    Diverged,
    /// The servers are too far from each other for raft's timing.
    FarServers,
    /// This server's disk has too little room.
    LowDisk,
    /// This server's log lacks entries that it had before.
    LogWentBack,
    /// Rows that cannot be decoded are left out of whatever reads them.
    RowsSetAside,
    /// The raft log's disk takes too long.
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

    /// Its name in metrics.
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

    /// Whether a server in this trouble should not be asked anything: health answers 500.
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

    /// Something is wrong; `text` is a sentence for the operator. Logged when it begins.
    pub fn raise(&self, alarm: Alarm, text: impl Into<String>) {
        let text = text.into();
        let mut raised = self.raised();
        if !raised.contains_key(&alarm) {
            tracing::error!(alarm = alarm.name(), "{text}");
        }
        raised.insert(alarm, text);
    }

    /// It is well again. Logged if it was not.
    pub fn clear(&self, alarm: Alarm) {
        if self.raised().remove(&alarm).is_some() {
            tracing::info!(alarm = alarm.name(), "this is well again");
        }
    }

    /// Whether something is wrong of this kind.
    pub fn is_raised(&self, alarm: Alarm) -> bool {
        self.raised().contains_key(&alarm)
    }

    /// What is wrong now.
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
