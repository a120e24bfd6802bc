//! What a server counts while it works, for whoever asks for its metrics; most else is read from its parts when it is
//! asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use ordu_store::log::SyncWatch;
use ordu_store::timings::Timings;

use crate::context::Context;
use crate::leader::Leading;

/// The counts of a server. A cheap handle.
#[derive(Clone, Default)]
pub struct Counts {
    /// When the server was started, nanoseconds since 1970.
    pub started_ns: i64,
    /// What syncs of its raft log take.
    pub syncs: SyncWatch,
    /// Leaders that it has heard of.
    pub leader_changes: Arc<AtomicU64>,
    /// What there is to do while it leads.
    pub leading: Leading,
    /// What became of plans while it led.
    pub plans: PlanCounts,
    /// Connections of its API.
    pub http: ConnectionCounts,
    /// Connections of servers and nodes.
    pub rpc: ConnectionCounts,
}

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanFate {
    /// It took effect whole.
    Applied,
    /// Parts of it were refused.
    Partial,
    /// Nothing of it took effect.
    Refused,
    /// It is not known, or it could not be decided.
    Failed,
}

impl PlanFate {
    /// All of them, in the order in which they are counted.
    pub const ALL: [PlanFate; 4] = [Self::Applied, Self::Partial, Self::Refused, Self::Failed];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What became of plans, and how long their workers waited for it. A cheap handle.
#[derive(Clone, Default)]
pub struct PlanCounts {
    fates: Arc<[AtomicU64; PlanFate::ALL.len()]>,
    took: Timings,
}

impl PlanCounts {
    /// A plan's worker is told what became of it, so long after it was handed in.
    pub fn note(&self, fate: PlanFate, took: Duration) {
        self.fates[fate as usize].fetch_add(1, Ordering::Relaxed);
        self.took.note(took);
    }

    /// How many plans there were with each fate.
    pub fn fates(&self) -> impl Iterator<Item = (PlanFate, u64)> {
        PlanFate::ALL.into_iter().zip(self.fates.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }

    /// How long workers waited.
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

/// How many connections a service has on its listeners. A cheap handle.
#[derive(Clone, Default)]
pub struct ConnectionCounts(Arc<Connections>);

/// A connection that counts for as long as this lives.
pub struct Open(ConnectionCounts);

impl ConnectionCounts {
    /// A listener of the service takes so many at one time.
    pub fn allow(&self, connections_max: usize) {
        self.0.allowed.fetch_add(connections_max, Ordering::Relaxed);
    }

    /// One was taken.
    pub fn opened(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// One that came when all places were taken was told so.
    pub fn refused_one(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// How many may be.
    pub fn allowed(&self) -> usize {
        self.0.allowed.load(Ordering::Relaxed)
    }

    /// How many were told that all places are taken.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts the leaders that this server hears of, for as long as raft runs. One that is elected again counts again.
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
