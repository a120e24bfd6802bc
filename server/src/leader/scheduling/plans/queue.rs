//! Queue of plans for the applier, by priority, then in order of submission.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordu_proto::command::Plan;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::in_flight::PlanNumber;
use super::{InFlight, PlanOutcome, entry};
use crate::batching::{Batch, BatchBounds, Batched, Queue};

/// A waiting plan. There are at most as many as evaluations in hand.
pub(in super::super) struct Waiting {
    pub(super) plan: Plan,
    pub(super) number: PlanNumber,
    pub(super) bytes: usize,
    pub(super) submitted: Instant,
    pub(super) outcome: oneshot::Sender<Result<PlanOutcome, String>>,
}

/// The queue between workers and the applier.
pub(in super::super) struct PlanQueue {
    in_flight: Arc<InFlight>,
    waiting: Mutex<BinaryHeap<Waiting>>,
    arrived: Notify,
}

/// A submitted plan.
pub(in super::super) struct Submitted(oneshot::Receiver<Result<PlanOutcome, String>>);

impl Submitted {
    /// Waits for the plan's outcome.
    ///
    /// # Errors
    /// A sentence, if the outcome is unknown.
    pub(in super::super) async fn outcome(self) -> Result<PlanOutcome, String> {
        self.0.await.unwrap_or_else(|_| Err("the plan applier has ended".to_owned()))
    }
}

impl PlanQueue {
    /// Creates an empty queue.
    pub(in super::super) fn new(in_flight: Arc<InFlight>) -> Self {
        Self { in_flight, waiting: Mutex::default(), arrived: Notify::new() }
    }

    /// Queues a plan; from now on it is in flight.
    pub(in super::super) fn submit(&self, plan: Plan) -> Submitted {
        let (outcome, receiver) = oneshot::channel();
        let number = self.in_flight.begin(&plan);
        let bytes = entry::weight(&plan);
        self.waiting().push(Waiting { plan, number, bytes, submitted: Instant::now(), outcome });
        self.arrived.notify_one();
        Submitted(receiver)
    }

    /// Takes the best plans, if there are any.
    fn take(&self, bounds: &BatchBounds) -> Option<Vec<Waiting>> {
        let mut waiting = self.waiting();
        let mut batch: Batch<Waiting> = Batch::default();
        while let Some(next) = waiting.peek_mut()
            && batch.has_room_for(&next, bounds)
        {
            batch.add(PeekMut::pop(next));
        }
        batch.filled()
    }

    /// Returns the number of waiting plans.
    pub(in super::super) fn len(&self) -> usize {
        self.waiting().len()
    }

    fn waiting(&self) -> MutexGuard<'_, BinaryHeap<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue for Arc<PlanQueue> {
    type Item = Waiting;

    async fn next_batch(&mut self, bounds: &BatchBounds) -> Option<Vec<Waiting>> {
        loop {
            let batch = self.take(bounds);
            if batch.is_some() {
                return batch;
            }
            self.arrived.notified().await;
        }
    }
}

impl Batched for Waiting {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Waiting {
    fn rank(&self) -> (i32, Reverse<PlanNumber>) {
        (self.plan.priority, Reverse(self.number))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_taken_by_priority_and_age_within_the_bounds() {
        let queue = PlanQueue::new(Arc::default());
        for (job, priority) in [("a", 50), ("b", 90), ("c", 50), ("d", 10)] {
            queue.submit(Plan { job_id: job.to_owned(), priority, ..Plan::default() });
        }
        let jobs = |bytes_max: usize| {
            let batch = queue.take(&BatchBounds { items_max: 2, bytes_max, in_flight_max: 1 });
            batch.into_iter().flatten().map(|it| it.plan.job_id).collect::<Vec<_>>()
        };
        assert_eq!(jobs(1000), ["b", "a"]);
        assert_eq!(jobs(0), ["c"], "one is taken whatever its size");
        assert_eq!(jobs(1000), ["d"]);
        assert_eq!(0, queue.len());
    }
}
