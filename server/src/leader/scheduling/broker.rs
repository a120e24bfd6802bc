//! The leader's pending and blocked evaluations: wraps the core's broker with a clock, locking and async
//! waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordu_core::scheduler::{
    BlockedEvals, BlockedStats, BrokerOptions, BrokerStats, ClusterView, Delivery, EvalBroker, evaluations,
};
use ordu_proto::state::Evaluation;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use crate::clock::ServerClock;

/// Maximum wait before the broker is asked again, since the wall clock may be changed.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Smaller backward steps count as clock adjustment.
const SET_BACK_MIN: Duration = Duration::from_secs(1);

/// Caps concurrently retried blocked evaluations. Otherwise a thousand of them, retried each time that
/// resources are freed, would keep all other evaluations from the workers.
const WOKEN_AT_ONCE_MAX: usize = 64;

/// Evaluations that wait for a worker, and evaluations that are blocked until resources are freed.
pub(super) struct Broker {
    shelves: Mutex<Shelves>,
    changed: Notify,
    /// Receives ended evaluations that must be written. Unbounded, but at most one for each evaluation.
    over: UnboundedSender<Evaluation>,
    clock: ServerClock,
}

struct Shelves {
    ready: EvalBroker,
    blocked: BlockedEvals,
    /// The time of the last access.
    looked_ns: i64,
}

impl Broker {
    /// Creates an empty broker, which sends the evaluations that it cancels to `over`.
    pub(super) fn new(over: UnboundedSender<Evaluation>, clock: ServerClock) -> Self {
        let ready = EvalBroker::new(BrokerOptions::default());
        let shelves = Shelves { ready, blocked: BlockedEvals::new(), looked_ns: 0 };
        Self { shelves: Mutex::new(shelves), changed: Notify::new(), over, clock }
    }

    /// Adds pending evaluations.
    pub(super) fn enqueue(&self, evals: impl IntoIterator<Item = Evaluation>) {
        let (mut shelves, now) = self.shelves_now();
        evals.into_iter().for_each(|eval| shelves.ready.enqueue(eval, now));
        drop(shelves);
        self.changed.notify_waiters();
    }

    /// Waits for an evaluation for one of `schedulers`, and returns the best.
    pub(super) async fn dequeue(&self, schedulers: &[&str]) -> Delivery {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let (delivery, deadline, now) = {
                let (mut shelves, now) = self.shelves_now();
                (shelves.ready.dequeue(schedulers, now), shelves.ready.next_deadline(), now)
            };
            if let Some(delivery) = delivery {
                return delivery;
            }
            let wait_ns = deadline.map_or(u64::MAX, |at| u64::try_from(at.saturating_sub(now)).unwrap_or(0));
            // Wakes at a change or at the next deadline.
            let wait = Duration::from_nanos(wait_ns).clamp(Duration::from_millis(1), WAIT_MAX);
            let _ = timeout(wait, changed).await;
        }
    }

    /// Marks the evaluation as decided and written. Cancels evaluations that it makes obsolete.
    pub(super) fn ack(&self, delivery: &Delivery) {
        let (outdated, now) = {
            let (mut shelves, now) = self.shelves_now();
            let outdated = shelves.ready.ack(&delivery.eval.id, delivery.token, now);
            shelves.next_woken(now);
            (outdated, now)
        };
        self.changed.notify_waiters();
        match outdated {
            Ok(outdated) => {
                outdated.iter().for_each(|eval| self.cancel(evaluations::cancelled_as_outdated(eval, now)))
            }
            Err(error) => tracing::debug!("a decided evaluation was not the worker's any more: {error}"),
        }
    }

    /// Returns an evaluation that could not be decided, so that another worker tries it.
    pub(super) fn nack(&self, delivery: &Delivery) {
        // An error means that the delivery timed out and another worker has the evaluation.
        let (mut shelves, now) = self.shelves_now();
        let _ = shelves.ready.nack(&delivery.eval.id, delivery.token, now);
        drop(shelves);
        self.changed.notify_waiters();
    }

    /// Pauses the delivery timeout while the plan waits. Returns whether the worker still owns the
    /// evaluation.
    pub(super) fn pause(&self, delivery: &Delivery) -> bool {
        self.shelves().ready.pause_timeout(&delivery.eval.id, delivery.token).is_ok()
    }

    /// Restarts the delivery timeout after the plan was applied.
    pub(super) fn resume(&self, delivery: &Delivery) {
        // Cannot fail: while the timeout was paused, no other worker could get the evaluation.
        let (mut shelves, now) = self.shelves_now();
        let _ = shelves.ready.resume_timeout(&delivery.eval.id, delivery.token, now);
    }

    /// Blocks an evaluation that found no resources in the datacenters of its job.
    pub(super) fn block(&self, eval: Evaluation, datacenters: &[String]) {
        let duplicate = self.with_blocked(|blocked| blocked.block(eval, datacenters));
        self.give_way(duplicate);
    }

    /// As [`Self::block`], for an evaluation that was blocked before this server led.
    pub(super) fn restore(&self, eval: Evaluation, datacenters: &[String], view: &ClusterView) {
        let duplicate = self.with_blocked(|blocked| blocked.restore(eval, datacenters, view.class_names()));
        self.give_way(duplicate);
    }

    fn give_way(&self, duplicate: Option<Evaluation>) {
        if let Some(duplicate) = duplicate {
            self.cancel(evaluations::cancelled_as_duplicate(&duplicate, self.clock.now_ns()));
        }
    }

    /// Wakes evaluations that may fit on nodes of this class, which have more free resources since state
    /// index `index`.
    pub(super) fn unblock(&self, class: &str, datacenter: &str, index: u64) {
        self.with_blocked(|blocked| blocked.unblock(class, datacenter, index));
    }

    /// Wakes evaluations whose plans were refused too often.
    pub(super) fn unblock_refused_plans(&self) {
        self.with_blocked(BlockedEvals::unblock_refused_plans);
    }

    /// Changes the blocked evaluations, then queues those that are awake.
    fn with_blocked<T>(&self, take_in: impl FnOnce(&mut BlockedEvals) -> T) -> T {
        let (mut shelves, now) = self.shelves_now();
        let answer = take_in(&mut shelves.blocked);
        let has_more = shelves.next_woken(now);
        drop(shelves);
        if has_more {
            self.changed.notify_waiters();
        }
        answer
    }

    /// Records that the evaluation is complete, failed or cancelled. If it placed everything, cancels the
    /// blocked evaluation of its job.
    pub(super) fn finished(&self, eval: &Evaluation, is_success: bool) {
        let superseded = {
            let (mut shelves, now) = self.shelves_now();
            shelves.ready.forget(&eval.id);
            let is_held = shelves.blocked.contains(&eval.id);
            let superseded = (is_success || is_held)
                .then(|| shelves.blocked.untrack(&eval.namespace, &eval.job_id))
                .flatten();
            // Each evaluation that ends makes room for a woken one.
            if shelves.next_woken(now) {
                self.changed.notify_waiters();
            }
            superseded
        };
        if let Some(superseded) = superseded.filter(|superseded| superseded.id != eval.id) {
            self.cancel(evaluations::cancelled_by_success(&superseded, eval, self.clock.now_ns()));
        }
    }

    /// Returns the counts, and the current time by which evaluations wait.
    pub(super) fn stats(&self) -> (BrokerStats, BlockedStats, i64) {
        let (shelves, now_ns) = self.shelves_now();
        (shelves.ready.stats(), shelves.blocked.stats(), now_ns)
    }

    fn cancel(&self, eval: Evaluation) {
        // Without a receiver the term is over; the next leader finds the evaluation in the table.
        let _ = self.over.send(eval);
    }

    fn shelves_now(&self) -> (MutexGuard<'_, Shelves>, i64) {
        let mut shelves = self.shelves();
        let now_ns = self.clock.now_ns();
        shelves.look_at(now_ns);
        (shelves, now_ns)
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    /// Records the time. If the clock was set back, adjusts the times for which evaluations wait.
    fn look_at(&mut self, now_ns: i64) {
        let set_back_ns = i64::try_from(SET_BACK_MIN.as_nanos()).unwrap_or(i64::MAX);
        if now_ns < self.looked_ns.saturating_sub(set_back_ns) {
            self.ready.clock_was_set_back(now_ns);
        }
        self.looked_ns = now_ns;
    }

    /// Moves woken evaluations to the ready queue, up to the cap. Returns whether it moved any. Must be
    /// called after every change that may wake an evaluation or remove a woken one.
    fn next_woken(&mut self, now_ns: i64) -> bool {
        let room = WOKEN_AT_ONCE_MAX.saturating_sub(self.ready.woken());
        let woken = self.blocked.take_woken(room);
        let has_more = !woken.is_empty();
        woken.into_iter().for_each(|eval| self.ready.enqueue(eval, now_ns));
        has_more
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use ordu_proto::state::EvalStatus;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::limits::LimitsInForce;

    fn eval(number: u8, job: &str, status: EvalStatus) -> Evaluation {
        let mut eval = Evaluation {
            id: vec![number; 16],
            namespace: "default".to_owned(),
            job_id: job.to_owned(),
            priority: 50,
            r#type: "service".to_owned(),
            create_index: number.into(),
            snapshot_index: number.into(),
            ..Evaluation::default()
        };
        eval.set_status(status);
        eval
    }

    fn broker() -> (Broker, UnboundedReceiver<Evaluation>) {
        let (over, cancelled) = unbounded_channel();
        (Broker::new(over, ServerClock::new(LimitsInForce::default())), cancelled)
    }

    const DATACENTERS: &[String] = &[];

    #[tokio::test]
    async fn who_waits_for_an_evaluation_gets_it_when_it_comes() {
        let (broker, _over) = broker();
        let mut wait = std::pin::pin!(broker.dequeue(&["service"]));
        assert!(wait.as_mut().now_or_never().is_none());
        broker.enqueue([eval(1, "a", EvalStatus::Pending)]);
        assert_eq!(wait.await.eval.id, [1; 16]);
    }

    #[tokio::test]
    async fn a_blocked_evaluation_waits_for_room_and_is_cancelled_by_success() {
        let (broker, mut over) = broker();
        let datacenters = ["dc1".to_owned()];
        broker.block(eval(1, "a", EvalStatus::Blocked), &datacenters);
        broker.block(eval(2, "b", EvalStatus::Blocked), &datacenters);
        broker.finished(&eval(3, "b", EvalStatus::Complete), true);
        let cancelled = over.recv().await.unwrap();
        assert_eq!((&cancelled.id, cancelled.status()), (&vec![2; 16], EvalStatus::Canceled));
        assert!(cancelled.status_description.ends_with("successful"), "{}", cancelled.status_description);
        broker.unblock("class", "dc1", 9);
        assert_eq!(broker.dequeue(&["service"]).await.eval.id, [1; 16]);
    }

    #[tokio::test]
    async fn blocked_evaluations_that_look_again_and_again_do_not_keep_a_new_one_waiting() {
        const JOBS: u64 = 1_000;
        let (broker, _over) = broker();
        let datacenters = ["dc1".to_owned()];
        let blocked = |number: u64, snapshot_index: u64| {
            let id = u128::from(number).to_be_bytes().to_vec();
            let eval = eval(0, &number.to_string(), EvalStatus::Blocked);
            Evaluation { id, create_index: number, snapshot_index, ..eval }
        };
        (0..JOBS).for_each(|number| broker.block(blocked(number, JOBS), &datacenters));
        let mut index = JOBS + 1;
        broker.unblock("class", "dc1", index);
        let stopped = Evaluation { create_index: index, ..eval(7, "stopped", EvalStatus::Pending) };
        let mut looked = std::collections::BTreeSet::new();
        for turn in 0.. {
            if turn == WOKEN_AT_ONCE_MAX {
                broker.enqueue([stopped.clone()]);
            }
            let delivery = broker.dequeue(&["service"]).await;
            broker.ack(&delivery);
            if delivery.eval.id == stopped.id {
                assert!(turn <= 2 * WOKEN_AT_ONCE_MAX, "it waited for {turn} others");
                break;
            }
            // It finds no resources, and before it blocks again, some are freed.
            looked.insert(delivery.eval.job_id.clone());
            broker.block(Evaluation { snapshot_index: index, ..delivery.eval }, &datacenters);
            index += 1;
            broker.unblock("class", "dc1", index);
        }
        // Every blocked evaluation gets its turn.
        while looked.len() < JOBS as usize {
            let delivery = broker.dequeue(&["service"]).now_or_never().expect("a wake-up is lost");
            broker.ack(&delivery);
            assert!(looked.insert(delivery.eval.job_id.clone()) || looked.len() == JOBS as usize);
            broker.block(Evaluation { snapshot_index: index, ..delivery.eval }, &datacenters);
            index += 1;
            broker.unblock("class", "dc1", index);
        }
    }

    #[tokio::test]
    async fn the_older_of_two_blocked_evaluations_of_a_job_is_cancelled() {
        let (broker, mut over) = broker();
        broker.block(eval(1, "a", EvalStatus::Blocked), DATACENTERS);
        broker.block(eval(2, "a", EvalStatus::Blocked), DATACENTERS);
        assert_eq!(over.recv().await.unwrap().id, [1; 16]);
        assert_eq!(1, broker.stats().1.blocked);
    }

    #[tokio::test]
    async fn waiting_evaluations_of_a_job_but_the_newest_are_cancelled_by_an_acknowledgement() {
        let (broker, mut over) = broker();
        broker.enqueue((1..=3).map(|number| eval(number, "a", EvalStatus::Pending)));
        let first = broker.dequeue(&["service"]).await;
        assert!(broker.pause(&first));
        broker.resume(&first);
        broker.ack(&first);
        assert_eq!(over.recv().await.unwrap().id, [2; 16]);
        assert_eq!(broker.dequeue(&["service"]).await.eval.id, [3; 16]);
        assert!(!broker.pause(&first), "it is not the worker's any more");
    }
}
