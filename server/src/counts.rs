//! Counters for metrics. Most other metrics are read from the server's parts on request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use ordu_store::log::SyncWatch;
use ordu_store::timings::Timings;

use crate::context::Context;
use crate::leader::Leading;

/// The counters of a server. A cheap handle.
#[derive(Clone, Default)]
pub struct Counts {
    /// When the server started, in nanoseconds since 1970.
    pub started_ns: i64,
    /// Durations of raft log syncs.
    pub syncs: SyncWatch,
    /// Number of leader changes seen.
    pub leader_changes: Arc<AtomicU64>,
    /// Pending work while this server leads.
    pub leading: Leading,
    /// Outcomes of plans while this server led.
    pub plans: PlanCounts,
    /// HTTP API connections.
    pub http: ConnectionCounts,
    /// Connections of servers and nodes.
    pub rpc: ConnectionCounts,
}

/// Outcome of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanFate {
    /// The whole plan took effect.
    Applied,
    /// Parts of it were refused.
    Partial,
    /// All of it was refused.
    Refused,
    /// The outcome is unknown, or the plan could not be evaluated.
    Failed,
}

impl PlanFate {
    /// All outcomes, in the order of their counters.
    pub const ALL: [PlanFate; 4] = [Self::Applied, Self::Partial, Self::Refused, Self::Failed];

    /// Returns its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Outcomes of plans, and how long workers waited for them. A cheap handle.
#[derive(Clone, Default)]
pub struct PlanCounts {
    fates: Arc<[AtomicU64; PlanFate::ALL.len()]>,
    took: Timings,
}

impl PlanCounts {
    /// Counts a plan with outcome `fate`, whose worker waited for `took`.
    pub fn note(&self, fate: PlanFate, took: Duration) {
        self.fates[fate as usize].fetch_add(1, Ordering::Relaxed);
        self.took.note(took);
    }

    /// Returns the number of plans with each outcome.
    pub fn fates(&self) -> impl Iterator<Item = (PlanFate, u64)> {
        PlanFate::ALL.into_iter().zip(self.fates.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Returns how long workers waited.
    pub fn took(&self) -> &Timings {
        &self.took
    }
}

#[derive(Default)]
struct Connections {
    open: AtomicUsize,
    allowed: AtomicUsize,
    refused: AtomicU64,
}

/// Connection counts of a service over all its listeners. A cheap handle.
#[derive(Clone, Default)]
pub struct ConnectionCounts(Arc<Connections>);

/// Guard that counts a connection as open until dropped.
pub struct Open(ConnectionCounts);

impl ConnectionCounts {
    /// Adds a listener's maximum number of connections.
    pub fn allow(&self, connections_max: usize) {
        self.0.allowed.fetch_add(connections_max, Ordering::Relaxed);
    }

    /// Counts a connection as open.
    pub fn opened(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Counts a connection that was refused because all slots were taken.
    pub fn refused_one(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Returns the maximum number of open connections.
    pub fn allowed(&self) -> usize {
        self.0.allowed.load(Ordering::Relaxed)
    }

    /// Returns the number of refused connections.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts the leader changes that this server sees, for as long as raft runs. A re-election of the same
/// server counts.
pub(crate) async fn leader_changes(context: Context) -> Result<(), String> {
    let mut metrics = context.cluster.raft().server_metrics();
    let mut known = None;
    loop {
        let now = {
            let metrics = metrics.borrow_watched();
            metrics.current_leader.map(|leader| (metrics.vote.leader_id.term, leader))
        };
        if now.is_some() && now != known {
            known = now;
            context.counts.leader_changes.fetch_add(1, Ordering::Relaxed);
        }
        if metrics.changed().await.is_err() {
            return Err("raft has stopped, this server leaves service".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_until_it_ends() {
        let counts = ConnectionCounts::default();
        counts.allow(2);
        counts.allow(3);
        let (first, second) = (counts.opened(), counts.opened());
        drop(first);
        counts.refused_one();
        assert_eq!((1, 5, 1), (counts.open(), counts.allowed(), counts.refused()));
        drop(second);
        assert_eq!(0, counts.open());
    }

    #[test]
    fn plans_are_counted_by_what_became_of_them() {
        let counts = PlanCounts::default();
        for fate in PlanFate::ALL {
            (0..=fate as usize).for_each(|_| counts.note(fate, Duration::from_millis(1)));
        }
        let counted: Vec<(PlanFate, u64)> = counts.fates().collect();
        assert_eq!(PlanFate::ALL.into_iter().zip(1..).collect::<Vec<_>>(), counted);
        assert_eq!(10, counts.took().told().count);
    }
}
