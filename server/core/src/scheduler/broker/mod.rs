//! The evaluation broker: delivers evaluations to scheduler workers by priority and then in order of arrival, one per
//! job at a time. It redelivers an evaluation when its worker is lost, up to a limit.
//!
//! A broker exists while its server leads, and is filled from the evaluations table when leadership begins. It has no
//! clock: callers pass the current time, and `next_deadline` tells them when to call again.

mod stats;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::state::{EvalStatus, Evaluation};
use rustc_hash::{FxHashMap, FxHashSet};

use super::evaluations::is_open;
use crate::state::JobKey;
pub use stats::BrokerStats;

/// Queue of the evaluations that have reached the delivery limit. The leader dequeues them,
/// marks them as failed and acknowledges them.
pub const FAILED_QUEUE: &str = "_failed";

/// Timeouts and limits for workers that do not answer. Times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct BrokerOptions {
    /// Time after which a worker that has not acknowledged is considered lost.
    pub nack_timeout_ns: i64,
    /// Delay before the first redelivery.
    pub first_nack_delay_ns: i64,
    /// Delay before the nth redelivery is n - 1 times this.
    pub next_nack_delay_ns: i64,
    /// Maximum number of deliveries of one evaluation.
    pub delivery_limit: u32,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        BrokerOptions {
            nack_timeout_ns: 60_000_000_000,
            first_nack_delay_ns: 1_000_000_000,
            next_nack_delay_ns: 20_000_000_000,
            delivery_limit: 3,
        }
    }
}

/// Proves that an evaluation was delivered to the bearer and has not been taken back since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// A delivered evaluation.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The evaluation as it was enqueued.
    pub eval: Evaluation,
    /// The token to pass to `ack` and `nack`.
    pub token: Token,
}

/// Reason why an acknowledgement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The evaluation was not delivered, is finished, or was taken back.
    #[error("evaluation is not outstanding")]
    NotOutstanding,
    /// The evaluation was taken back and delivered to another worker.
    #[error("evaluation token does not match")]
    TokenMismatch,
}

type EvalId = [u8; 16];
/// Orders by priority, then by arrival. Not by age: blocked evaluations are old, and would
/// precede all others each time they are woken.
type Rank = (Reverse<i32>, u64, EvalId);

/// Evaluations that wait for a worker, for their job's turn or for a point in time, and those delivered to workers.
#[derive(Debug, Default)]
pub struct EvalBroker {
    options: BrokerOptions,
    evals: FxHashMap<EvalId, Tracked>,
    /// The evaluations that were blocked before they were enqueued.
    woken: FxHashSet<EvalId>,
    /// Ready evaluations by queue: the scheduler's name or [`FAILED_QUEUE`].
    ready: BTreeMap<String, BTreeSet<Rank>>,
    jobs: BTreeMap<JobKey, JobTurns>,
    /// Delayed evaluations by the time they wait for.
    delayed: BTreeSet<(i64, EvalId)>,
    /// Delivered evaluations by the time at which they are taken back.
    deadlines: BTreeSet<(i64, EvalId)>,
    /// Due evaluations by the time since which they have been due.
    due: BTreeSet<(i64, EvalId)>,
    /// Number of delivered evaluations.
    outstanding: usize,
    last_token: u64,
    last_order: u64,
}

#[derive(Debug)]
struct Tracked {
    eval: Evaluation,
    /// Position in the order of arrival.
    order: u64,
    place: Place,
    /// Time since which the evaluation has been due; `None` while it is delayed.
    due_ns: Option<i64>,
    deliveries: u32,
    /// A newer copy that arrived while a worker had the evaluation; enqueued after the acknowledgement.
    again: Option<Evaluation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    /// Waits until another evaluation of the same job is finished.
    Waiting,
    /// Waits for a point in time. A redelivered evaluation keeps its job's turn meanwhile.
    Delayed {
        until_ns: i64,
        has_turn: bool,
    },
    /// Delivered to a worker. Has no deadline while its plan waits to be applied.
    Outstanding {
        token: Token,
        deadline_ns: Option<i64>,
    },
}

/// The evaluation of a job that may be delivered, and those that wait for it.
#[derive(Debug, Default)]
struct JobTurns {
    turn: Option<EvalId>,
    waiting: BTreeSet<Rank>,
}

impl EvalBroker {
    /// Builds a broker without evaluations.
    pub fn new(options: BrokerOptions) -> EvalBroker {
        EvalBroker { options, ..EvalBroker::default() }
    }

    /// Adds an evaluation that is pending, or that was blocked and woken. If it has a time to wait for, it is delayed
    /// until then. If a worker has it, the new copy is delivered afterwards. If it is in the broker already, nothing
    /// changes, except that a delayed one takes an earlier time.
    pub fn enqueue(&mut self, eval: Evaluation, now_ns: i64) {
        let Ok(id) = EvalId::try_from(eval.id.as_slice()) else { return };
        if !is_open(eval.status()) {
            return;
        }
        let is_woken = eval.status() == EvalStatus::Blocked;
        let until_ns = match eval.wait_until_ns {
            0 if eval.wait_ns > 0 => now_ns.saturating_add(eval.wait_ns),
            until_ns => until_ns,
        };
        if let Some(tracked) = self.evals.get_mut(&id) {
            match tracked.place {
                Place::Outstanding { .. } => {
                    tracked.again = Some(eval);
                    self.woken.extend(is_woken.then_some(id));
                }
                Place::Delayed { until_ns: before_ns, has_turn: false } if until_ns < before_ns => {
                    tracked.eval = eval;
                    tracked.place = Place::Delayed { until_ns, has_turn: false };
                    self.delayed.remove(&(before_ns, id));
                    self.delayed.insert((until_ns, id));
                    self.advance(now_ns);
                }
                _ => {}
            }
            return;
        }
        self.woken.extend(is_woken.then_some(id));
        let place = Place::Delayed { until_ns, has_turn: false };
        self.last_order += 1;
        let order = self.last_order;
        self.evals.insert(id, Tracked { eval, order, place, due_ns: None, deliveries: 0, again: None });
        if until_ns > now_ns {
            self.delayed.insert((until_ns, id));
        } else {
            self.queue_up(id, now_ns);
        }
    }

    /// Delivers the first evaluation for one of these schedulers (or [`FAILED_QUEUE`]), if any.
    pub fn dequeue(&mut self, schedulers: &[&str], now_ns: i64) -> Option<Delivery> {
        self.advance(now_ns);
        let firsts = schedulers.iter().filter_map(|&name| {
            let rank = self.ready.get(name)?.first()?;
            Some((*rank, name))
        });
        let (rank, queue) = firsts.min()?;
        self.ready.get_mut(queue)?.remove(&rank);
        let id = rank.2;
        self.last_token += 1;
        let token = Token(self.last_token);
        let deadline_ns = now_ns.saturating_add(self.options.nack_timeout_ns);
        let tracked = self.evals.get_mut(&id)?;
        tracked.deliveries += 1;
        tracked.place = Place::Outstanding { token, deadline_ns: Some(deadline_ns) };
        self.outstanding += 1;
        self.deadlines.insert((deadline_ns, id));
        Some(Delivery { eval: tracked.eval.clone(), token })
    }

    /// Finishes an evaluation. The newest waiting evaluation of the job gets the turn. The others are returned and
    /// must be cancelled (`evaluations::cancelled_as_outdated`): the newer one covers all their changes.
    pub fn ack(&mut self, eval_id: &[u8], token: Token, now_ns: i64) -> Result<Vec<Evaluation>, BrokerError> {
        let id = self.outstanding(eval_id, token)?;
        self.lift_deadline(id);
        let Some(tracked) = self.remove(id) else { return Err(BrokerError::NotOutstanding) };
        self.outstanding -= 1;
        let key = JobKey::from(&tracked.eval);
        let outdated = self.pass_turn(&key, id);
        if let Some(again) = tracked.again {
            self.enqueue(again, now_ns);
        }
        Ok(outdated)
    }

    /// Returns an evaluation to the broker. It is redelivered after a delay, or moves to the failed queue if it has
    /// reached the delivery limit.
    pub fn nack(&mut self, eval_id: &[u8], token: Token, now_ns: i64) -> Result<(), BrokerError> {
        let id = self.outstanding(eval_id, token)?;
        self.take_back(id, now_ns);
        Ok(())
    }

    /// Suspends the worker's deadline while the evaluation's plan waits to be applied.
    pub fn pause_timeout(&mut self, eval_id: &[u8], token: Token) -> Result<(), BrokerError> {
        let id = self.outstanding(eval_id, token)?;
        self.lift_deadline(id);
        Ok(())
    }

    /// Restarts the worker's deadline after the plan has been applied.
    pub fn resume_timeout(&mut self, eval_id: &[u8], token: Token, now_ns: i64) -> Result<(), BrokerError> {
        let id = self.outstanding(eval_id, token)?;
        self.lift_deadline(id);
        let deadline = now_ns.saturating_add(self.options.nack_timeout_ns);
        if let Some(tracked) = self.evals.get_mut(&id) {
            tracked.place = Place::Outstanding { token, deadline_ns: Some(deadline) };
            self.deadlines.insert((deadline, id));
        }
        Ok(())
    }

    /// Removes an evaluation that was finished in another way (cancelled, deleted). If a worker
    /// has it, it stays until it is acknowledged.
    pub fn forget(&mut self, eval_id: &[u8]) {
        let Ok(id) = EvalId::try_from(eval_id) else { return };
        let Some(tracked) = self.evals.get(&id) else { return };
        let (key, rank, place) = (JobKey::from(&tracked.eval), rank_of(id, tracked), tracked.place);
        match place {
            Place::Outstanding { .. } => return,
            Place::Ready => self.remove_ready(&rank),
            Place::Waiting => {
                if let Some(turns) = self.jobs.get_mut(&key) {
                    turns.waiting.remove(&rank);
                }
            }
            Place::Delayed { until_ns, .. } => drop(self.delayed.remove(&(until_ns, id))),
        }
        self.remove(id);
        let has_turn = self.jobs.get(&key).is_some_and(|turns| turns.turn == Some(id));
        if has_turn {
            // The removed evaluation never ran, so the waiting ones are not outdated: the first of them gets the turn.
            let next = self.jobs.get_mut(&key).and_then(|turns| turns.waiting.pop_first());
            self.give_turn(&key, next);
        }
    }

    /// Processes expired times: takes back evaluations from lost workers and enqueues delayed ones.
    pub fn advance(&mut self, now_ns: i64) {
        while let Some(&(deadline_ns, id)) = self.deadlines.first()
            && deadline_ns <= now_ns
        {
            self.take_back(id, now_ns);
        }
        while let Some(&(until_ns, id)) = self.delayed.first()
            && until_ns <= now_ns
        {
            self.delayed.pop_first();
            let has_turn = self.evals.get(&id).map(|tracked| tracked.place);
            match has_turn {
                Some(Place::Delayed { has_turn: true, .. }) => self.make_ready(id),
                _ => self.queue_up(id, now_ns),
            }
        }
    }

    /// Adjusts to a clock that was set back to `now_ns`, because deadlines and delays based on the old time would
    /// expire much too late. Restarts all deadlines and makes redeliveries ready at once.
    pub fn clock_was_set_back(&mut self, now_ns: i64) {
        let deadline_ns = now_ns.saturating_add(self.options.nack_timeout_ns);
        for (_, id) in std::mem::take(&mut self.deadlines) {
            if let Some(tracked) = self.evals.get_mut(&id)
                && let Place::Outstanding { token, .. } = tracked.place
            {
                tracked.place = Place::Outstanding { token, deadline_ns: Some(deadline_ns) };
                self.deadlines.insert((deadline_ns, id));
            }
        }
        let has_turn = |id: &EvalId| {
            let place = self.evals.get(id).map(|tracked| tracked.place);
            matches!(place, Some(Place::Delayed { has_turn: true, .. }))
        };
        let given_back: Vec<(i64, EvalId)> =
            self.delayed.iter().filter(|(_, id)| has_turn(id)).copied().collect();
        for at in given_back {
            self.delayed.remove(&at);
            self.make_ready(at.1);
        }
    }

    /// Returns the next time at which `advance` (or `dequeue`) has something to do, if nothing else happens.
    pub fn next_deadline(&self) -> Option<i64> {
        let firsts = [self.delayed.first(), self.deadlines.first()];
        firsts.into_iter().flatten().map(|(time_ns, _)| *time_ns).min()
    }

    /// Returns how many of the evaluations were blocked before they were enqueued.
    pub fn woken(&self) -> usize {
        self.woken.len()
    }

    /// Returns the broker's statistics.
    pub fn stats(&self) -> BrokerStats {
        let ready = self.ready.values().map(BTreeSet::len).sum();
        let (outstanding, delayed) = (self.outstanding, self.delayed.len());
        let woken = self.woken.iter().filter_map(|id| self.evals.get(id));
        BrokerStats {
            ready,
            outstanding,
            waiting: self.evals.len().saturating_sub(ready + outstanding + delayed),
            delayed,
            failed: self.ready.get(FAILED_QUEUE).map_or(0, BTreeSet::len),
            woken: self.woken.len(),
            oldest_woken_ns: woken.map(|tracked| tracked.eval.create_time_ns).min(),
            oldest_due_ns: self.due.first().map(|(due_ns, _)| *due_ns),
        }
    }

    fn remove(&mut self, id: EvalId) -> Option<Tracked> {
        self.woken.remove(&id);
        let tracked = self.evals.remove(&id)?;
        if let Some(due_ns) = tracked.due_ns {
            self.due.remove(&(due_ns, id));
        }
        Some(tracked)
    }

    fn outstanding(&self, eval_id: &[u8], token: Token) -> Result<EvalId, BrokerError> {
        let id = EvalId::try_from(eval_id).map_err(|_| BrokerError::NotOutstanding)?;
        match self.evals.get(&id).map(|tracked| tracked.place) {
            Some(Place::Outstanding { token: current, .. }) if current == token => Ok(id),
            Some(Place::Outstanding { .. }) => Err(BrokerError::TokenMismatch),
            _ => Err(BrokerError::NotOutstanding),
        }
    }

    fn lift_deadline(&mut self, id: EvalId) {
        if let Some(tracked) = self.evals.get_mut(&id)
            && let Place::Outstanding { token, deadline_ns: Some(deadline_ns) } = tracked.place
        {
            self.deadlines.remove(&(deadline_ns, id));
            tracked.place = Place::Outstanding { token, deadline_ns: None };
        }
    }

    fn take_back(&mut self, id: EvalId, now_ns: i64) {
        self.lift_deadline(id);
        let Some(tracked) = self.evals.get_mut(&id) else { return };
        self.outstanding -= 1;
        if let Some(newer) = tracked.again.take() {
            tracked.eval = newer;
        }
        if tracked.deliveries >= self.options.delivery_limit {
            return self.make_ready(id);
        }
        let delay_ns = match tracked.deliveries {
            0 | 1 => self.options.first_nack_delay_ns,
            n => self.options.next_nack_delay_ns.saturating_mul(i64::from(n) - 1),
        };
        let until_ns = now_ns.saturating_add(delay_ns);
        tracked.place = Place::Delayed { until_ns, has_turn: true };
        self.delayed.insert((until_ns, id));
    }

    /// Makes the evaluation ready if its job's turn is free, else lets it wait.
    fn queue_up(&mut self, id: EvalId, now_ns: i64) {
        let is_woken = self.woken.contains(&id);
        let Some(tracked) = self.evals.get_mut(&id) else { return };
        // A woken evaluation was already decided once, so it is due now. Any other is due since
        // its creation or the end of its delay.
        let waited_for_ns = match tracked.place {
            Place::Delayed { until_ns, .. } => until_ns,
            _ => 0,
        };
        let due_ns =
            if is_woken { now_ns } else { tracked.eval.create_time_ns.max(waited_for_ns).min(now_ns) };
        tracked.due_ns = Some(due_ns);
        self.due.insert((due_ns, id));
        let turns = self.jobs.entry(JobKey::from(&tracked.eval)).or_default();
        if turns.turn.is_some() {
            tracked.place = Place::Waiting;
            turns.waiting.insert(rank_of(id, tracked));
        } else {
            turns.turn = Some(id);
            self.make_ready(id);
        }
    }

    fn make_ready(&mut self, id: EvalId) {
        let Some(tracked) = self.evals.get_mut(&id) else { return };
        tracked.place = Place::Ready;
        let rank = rank_of(id, tracked);
        let queue = self.evals.get(&id).map(|tracked| self.queue_of(tracked).to_owned()).unwrap_or_default();
        self.ready.entry(queue).or_default().insert(rank);
    }

    fn queue_of<'a>(&self, tracked: &'a Tracked) -> &'a str {
        let is_failed = tracked.deliveries >= self.options.delivery_limit;
        if is_failed && tracked.place == Place::Ready { FAILED_QUEUE } else { &tracked.eval.r#type }
    }

    fn remove_ready(&mut self, rank: &Rank) {
        for queue in self.ready.values_mut() {
            queue.remove(rank);
        }
    }

    /// Passes the job's turn to the newest waiting evaluation. Removes and returns the others.
    fn pass_turn(&mut self, key: &JobKey, from: EvalId) -> Vec<Evaluation> {
        let Some(turns) = self.jobs.get_mut(key) else { return Vec::new() };
        if turns.turn != Some(from) {
            return Vec::new();
        }
        let mut waiting = std::mem::take(&mut turns.waiting);
        let age = |(_, _, id): &Rank| (self.evals.get(id).map(|tracked| tracked.eval.create_index), *id);
        let newest = waiting.iter().copied().max_by_key(age);
        if let Some(newest) = &newest {
            waiting.remove(newest);
        }
        let outdated =
            waiting.into_iter().filter_map(|(_, _, id)| self.remove(id)).map(|it| it.eval).collect();
        self.give_turn(key, newest);
        outdated
    }

    fn give_turn(&mut self, key: &JobKey, next: Option<Rank>) {
        match (self.jobs.get_mut(key), next) {
            (Some(turns), Some((_, _, id))) => {
                turns.turn = Some(id);
                self.make_ready(id);
            }
            _ => drop(self.jobs.remove(key)),
        }
    }
}

fn rank_of(id: EvalId, tracked: &Tracked) -> Rank {
    (Reverse(tracked.eval.priority), tracked.order, id)
}
