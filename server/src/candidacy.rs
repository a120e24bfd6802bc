//! Tracks the reasons why this server should not lead (objections). A server with objections does not stand
//! for election while another server can lead, and hands over leadership.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::context::Context;

/// A reason why a server should not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Objection {
    /// Its clock is wrong, or has not been compared yet.
    Clock,
    /// Its disk is too slow.
    Disk,
    /// Its disk has too little free space.
    Room,
}

/// This server's objections, each with the servers that could lead instead. A cheap handle.
#[derive(Clone)]
pub struct Candidacy(watch::Sender<BTreeMap<Objection, Vec<u64>>>);

impl Default for Candidacy {
    /// Starts with an objection to the clock: a starting server does not know yet whether its clock is right.
    fn default() -> Self {
        Self(watch::Sender::new([(Objection::Clock, Vec::new())].into()))
    }
}

impl Candidacy {
    /// Records an objection. `instead` lists the ids of the servers that the objection does not apply to.
    pub(crate) fn object(&self, objection: Objection, instead: Vec<u64>) {
        self.0.send_if_modified(|all| all.insert(objection, instead.clone()).as_ref() != Some(&instead));
    }

    /// Removes an objection.
    pub(crate) fn lift(&self, objection: Objection) {
        self.0.send_if_modified(|all| all.remove(&objection).is_some());
    }

    fn is_open(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Returns the servers that none of the objections applies to.
    fn instead(&self) -> Vec<u64> {
        let all = self.0.borrow();
        let mut lists = all.values();
        let first = lists.next().cloned().unwrap_or_default();
        lists.fold(first, |both, list| both.into_iter().filter(|id| list.contains(id)).collect())
    }
}

/// Interval between checks for a leader.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// After this long without a leader (at rack-scale timing) a server stands for election despite objections:
/// the others evidently cannot lead, and a bad leader is better than none.
const LEADERLESS_MAX: Duration = Duration::from_secs(3);
/// Pause before this server tries again to hand over leadership.
const OFFER_PAUSE: Duration = Duration::from_secs(5);

/// Keeps a server with objections from leading, for as long as raft runs. Raft starts with elections
/// disabled; this task enables them.
pub(crate) async fn keep(context: Context) -> Result<(), String> {
    let Context { options, candidacy, cluster, .. } = &context;
    let leaderless_max = options.raft.scaled(LEADERLESS_MAX, 4);
    let mut changes = candidacy.0.subscribe();
    let mut offered: Option<Instant> = None;
    loop {
        changes.mark_unchanged();
        let stands = candidacy.is_open() || cluster.leaderless_for() > leaderless_max;
        cluster.raft().runtime_config().elect(stands);
        let instead = candidacy.instead();
        if !instead.is_empty()
            && cluster.is_leader()
            && offered.is_none_or(|offered| offered.elapsed() > OFFER_PAUSE)
        {
            offered = Some(Instant::now());
            let why: Vec<String> = candidacy.0.borrow().keys().map(|it| format!("{it:?}")).collect();
            tracing::warn!(objections = why.join(", "), "this server hands leadership over");
            crate::leader::hand_over(cluster, |voter| instead.contains(&voter)).await;
        }
        // Wakes at a change of the objections or after the interval.
        let _ = timeout(LOOK_INTERVAL, changes.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leadership_goes_to_those_against_whom_nothing_speaks() {
        let candidacy = Candidacy::default();
        assert!(!candidacy.is_open() && candidacy.instead().is_empty(), "clocks are not compared yet");
        candidacy.object(Objection::Clock, vec![1, 2, 3]);
        candidacy.object(Objection::Disk, vec![2, 3, 4]);
        assert_eq!(vec![2, 3], candidacy.instead());
        candidacy.lift(Objection::Clock);
        assert_eq!(vec![2, 3, 4], candidacy.instead());
        candidacy.lift(Objection::Disk);
        assert!(candidacy.is_open() && candidacy.instead().is_empty());
    }
}
