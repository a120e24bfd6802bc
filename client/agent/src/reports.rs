//! Allocation updates for the servers: keeps the latest update of each allocation until a server acknowledges that
//! it is committed, across sessions.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ordu_proto::command::AllocClientState;
use ordu_proto::state::ClientStatus;
use prost::Message;
use tokio::sync::Notify;
use uuid::Uuid;

/// The unacknowledged updates of all allocations.
#[derive(Default)]
pub(crate) struct Reports {
    pending: Mutex<BTreeMap<Uuid, Pending>>,
    pushed: Notify,
}

struct Pending {
    state: AllocClientState,
    /// Whether the state has changed since it was last sent.
    changed: bool,
    in_flight: Option<InFlight>,
}

struct InFlight {
    sequence: u64,
    since: Instant,
}

impl Reports {
    /// Queues the newest state of an allocation. `state` is called under the lock, so that an older state cannot
    /// replace a newer one.
    pub(crate) fn push(&self, alloc: Uuid, state: impl FnOnce() -> AllocClientState) {
        self.settle(alloc, || Some(state()));
    }

    /// Queues the state that `news` returns. None means that the server knows the current state: drops the queued one.
    pub(crate) fn settle(&self, alloc: Uuid, news: impl FnOnce() -> Option<AllocClientState>) {
        let mut pending = self.lock();
        let Some(state) = news() else {
            pending.remove(&alloc);
            return;
        };
        match pending.get_mut(&alloc) {
            Some(known) => {
                known.changed = true;
                known.state = state;
            }
            None => {
                pending.insert(alloc, Pending { state, changed: true, in_flight: None });
            }
        }
        drop(pending);
        self.pushed.notify_one();
    }

    /// Waits until something was pushed since the last wait.
    pub(crate) async fn pushed(&self) {
        self.pushed.notified().await;
    }

    /// Returns whether any update can be sent. An allocation has at most one update in flight; otherwise the older
    /// one might be committed last.
    pub(crate) fn any_to_send(&self) -> bool {
        self.lock().values().any(|pending| pending.changed && pending.in_flight.is_none())
    }

    /// Returns whether any of these updates is about a task that runs or has ended.
    pub(crate) fn any_urgent(&self) -> bool {
        let is_urgent = |pending: &Pending| pending.state.client_status() != ClientStatus::Pending;
        self.lock()
            .values()
            .any(|pending| pending.changed && pending.in_flight.is_none() && is_urgent(pending))
    }

    /// Takes the updates to send under this sequence number: at most `count_max`, and at most `bytes_max` bytes
    /// unless the first one alone is larger.
    pub(crate) fn take(&self, sequence: u64, count_max: usize, bytes_max: usize) -> Vec<AllocClientState> {
        let mut all = self.lock();
        let ready = all.values_mut().filter(|pending| pending.changed && pending.in_flight.is_none());
        let mut taken = Vec::new();
        let mut bytes = 0;
        for pending in ready.take(count_max) {
            bytes += pending.state.encoded_len();
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            pending.changed = false;
            pending.in_flight = Some(InFlight { sequence, since: Instant::now() });
            taken.push(pending.state.clone());
        }
        taken
    }

    /// Removes the updates that were sent under this sequence number: they are committed.
    pub(crate) fn acknowledge(&self, sequence: u64) {
        let is_it =
            |pending: &Pending| pending.in_flight.as_ref().is_some_and(|sent| sent.sequence == sequence);
        let mut all = self.lock();
        all.retain(|_, pending| pending.changed || !is_it(pending));
        all.values_mut().filter(|pending| is_it(pending)).for_each(|pending| pending.in_flight = None);
        drop(all);
        self.pushed.notify_one();
    }

    /// Marks updates for resending that have been in flight for at least `age`. Zero means all, because
    /// their session is over.
    pub(crate) fn give_up(&self, age: Duration) {
        for pending in self.lock().values_mut() {
            if pending.in_flight.as_ref().is_some_and(|sent| sent.since.elapsed() >= age) {
                pending.in_flight = None;
                pending.changed = true;
            }
        }
        self.pushed.notify_one();
    }

    /// Drops the updates of an allocation that the servers no longer know.
    pub(crate) fn forget(&self, alloc: Uuid) {
        self.lock().remove(&alloc);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Pending>> {
        // Every holder leaves the map consistent, even if it panics.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 1024;

    fn state(text: &str) -> AllocClientState {
        AllocClientState { client_description: text.into(), ..AllocClientState::default() }
    }

    fn texts(states: &[AllocClientState]) -> Vec<&str> {
        states.iter().map(|state| state.client_description.as_str()).collect()
    }

    #[test]
    fn only_the_latest_of_an_allocation_is_sent_and_only_once_while_in_flight() {
        let (reports, alloc) = (Reports::default(), Uuid::from_u128(1));
        reports.push(alloc, || state("old"));
        reports.push(alloc, || state("new"));
        assert_eq!(texts(&reports.take(1, 10, BYTES)), ["new"]);
        reports.push(alloc, || state("newer"));
        assert!(!reports.any_to_send() && reports.take(2, 10, BYTES).is_empty());
        reports.acknowledge(1);
        assert_eq!(texts(&reports.take(3, 10, BYTES)), ["newer"]);
        reports.acknowledge(3);
        assert!(!reports.any_to_send());
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again() {
        let (reports, alloc) = (Reports::default(), Uuid::from_u128(1));
        reports.push(alloc, || state("a"));
        reports.take(1, 10, BYTES);
        reports.give_up(Duration::from_secs(3600));
        assert!(!reports.any_to_send());
        reports.give_up(Duration::ZERO);
        assert_eq!(texts(&reports.take(2, 10, BYTES)), ["a"]);
        reports.acknowledge(1);
        reports.give_up(Duration::ZERO);
        assert_eq!(
            texts(&reports.take(3, 10, BYTES)),
            ["a"],
            "an acknowledgement of an earlier session is not one of this"
        );
    }

    #[test]
    fn a_message_is_bounded_and_the_rest_follows() {
        let reports = Reports::default();
        for number in 0..5 {
            reports.push(Uuid::from_u128(number), || state("x"));
        }
        assert_eq!([1, 2, 3].map(|sequence| reports.take(sequence, 2, BYTES).len()), [2, 2, 1]);
    }

    #[test]
    fn the_bytes_of_a_message_are_bounded_and_what_is_larger_goes_alone() {
        let reports = Reports::default();
        for (number, length) in [(0, 40), (1, 40), (2, 400), (3, 40)] {
            reports.push(Uuid::from_u128(number), || state(&"x".repeat(length)));
        }
        let lengths = |sequence| {
            let taken = reports.take(sequence, 10, 100);
            taken.iter().map(|state| state.client_description.len()).collect::<Vec<_>>()
        };
        assert_eq!([1, 2, 3, 4].map(lengths), [vec![40, 40], vec![400], vec![40], vec![]]);
    }

    #[test]
    fn forgotten_allocations_are_not_sent() {
        let (reports, alloc) = (Reports::default(), Uuid::from_u128(1));
        reports.push(alloc, || state("a"));
        reports.forget(alloc);
        assert!(!reports.any_to_send());
    }

    #[test]
    fn a_state_that_comes_while_a_server_is_compared_with_is_sent() {
        let (reports, alloc) = (Reports::default(), Uuid::from_u128(1));
        let board = Mutex::new("old");
        std::thread::scope(|scope| {
            reports.settle(alloc, || {
                // The task changes state and pushes it while the comparison finds the old state to be known.
                let known = state(&board.lock().unwrap());
                scope.spawn(|| {
                    *board.lock().unwrap() = "new";
                    reports.push(alloc, || state(&board.lock().unwrap()));
                });
                (known.client_description != "old").then_some(known)
            });
        });
        assert_eq!(texts(&reports.take(1, 10, BYTES)), ["new"]);
    }

    #[test]
    fn what_a_server_knows_is_not_sent_and_what_it_has_otherwise_is() {
        let (reports, alloc) = (Reports::default(), Uuid::from_u128(1));
        reports.push(alloc, || state("known"));
        reports.settle(alloc, || None);
        assert!(!reports.any_to_send());
        reports.settle(alloc, || Some(state("unknown")));
        assert_eq!(texts(&reports.take(1, 10, BYTES)), ["unknown"]);
    }
}
