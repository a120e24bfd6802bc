//! Hands evaluations out to scheduler workers: highest priority first and then in the order in which they
//! came, one of a job at a time, again when a worker is lost, and not for ever.
//!
//! It lives as long as its server leads and is filled from the evaluations table then. It has no clock:
//! whoever calls says what time it is, and asks `next_deadline` when to call again.

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

/// The queue of evaluations that were handed out as often as allowed. The leader takes them from it, writes
/// them down as failed and acknowledges them.
pub const FAILED_QUEUE: &str = "_failed";

/// How the broker deals with workers that do not answer. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct BrokerOptions {
    /// A worker that has not acknowledged after this long is taken to be lost.
    pub nack_timeout_ns: i64,
    /// An evaluation that comes back for the first time waits this long.
    pub first_nack_delay_ns: i64,
    /// One that comes back for the nth time waits n - 1 times this.
    pub next_nack_delay_ns: i64,
    /// An evaluation is handed out this often at most.
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

/// Proves that an evaluation was handed out to its bearer and has not been taken back since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// An evaluation that was handed out.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The evaluation as it was enqueued.
    pub eval: Evaluation,
    /// What `ack` and `nack` ask for.
    pub token: Token,
}

/// Why an acknowledgement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// It was not handed out, or is finished, or was taken back.
    #[error("evaluation is not outstanding")]
    NotOutstanding,
    /// It was taken back and handed out to another.
    #[error("evaluation token does not match")]
    TokenMismatch,
}

type EvalId = [u8; 16];
/// Higher priority first, then by the order in which they came. (Not by age: evaluations that wait for room
/// are old, and would go before all others each time that they are woken.)
type Rank = (Reverse<i32>, u64, EvalId);

/// Evaluations that wait for a worker, a turn or a time, and those that workers have.
#[derive(Debug, Default)]
pub struct EvalBroker {
    options: BrokerOptions,
    evals: FxHashMap<EvalId, Tracked>,
    /// Those of them that were blocked before they came.
    woken: FxHashSet<EvalId>,
    /// By queue: the scheduler's name, or that of the failed ones.
    ready: BTreeMap<String, BTreeSet<Rank>>,
    jobs: BTreeMap<JobKey, JobTurns>,
    /// By the time that they wait for.
    delayed: BTreeSet<(i64, EvalId)>,
    /// Outstanding ones by the time at which they are taken back.
    deadlines: BTreeSet<(i64, EvalId)>,
    /// Those that are to be decided, by the time since which they are.
    due: BTreeSet<(i64, EvalId)>,
    /// How many are with workers.
    outstanding: usize,
    last_token: u64,
    last_order: u64,
}

#[derive(Debug)]
struct Tracked {
    eval: Evaluation,
    /// Its number in the order in which evaluations came.
    order: u64,
    place: Place,
    /// Since when it is to be decided; none while it waits for its time.
    due_ns: Option<i64>,
    deliveries: u32,
    /// A newer copy that came in while a worker had it: it is to be looked at again afterwards.
    again: Option<Evaluation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    /// For its turn; another one of the job is ahead.
    Waiting,
    /// For a time. One that came back from a worker keeps its job's turn meanwhile.
    Delayed {
        until_ns: i64,
        has_turn: bool,
    },
    /// With a worker. Without a deadline while its plan waits to be applied.
    Outstanding {
        token: Token,
        deadline_ns: Option<i64>,
    },
}

/// Which evaluation of a job has its turn, and which wait for theirs.
#[derive(Debug, Default)]
struct JobTurns {
    turn: Option<EvalId>,
    waiting: BTreeSet<Rank>,
}

impl EvalBroker {
    /// A broker without evaluations.
    pub fn new(options: BrokerOptions) -> EvalBroker {
        EvalBroker { options, ..EvalBroker::default() }
    }

    /// Takes in an evaluation that is pending, or blocked and woken. One with a time to wait for waits. One
    /// that a worker has at present is handed out again after it; one that is here already stays as it is,
    /// but for one that waits and is to wait less.
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

    /// Hands out the best evaluation for one of these schedulers (`FAILED_QUEUE` is one), if there is any.
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

    /// The worker is done with the evaluation. The newest of those that waited for their turn has it now;
    /// the others are returned: a newer one looks at all that they would, so they are to be cancelled
    /// (`evaluations::cancelled_as_outdated`).
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

    /// The worker gives the evaluation back. It is handed out again after a while, or goes to the failed
    /// ones if that was done as often as allowed.
    pub fn nack(&mut self, eval_id: &[u8], token: Token, now_ns: i64) -> Result<(), BrokerError> {
        let id = self.outstanding(eval_id, token)?;
        self.take_back(id, now_ns);
        Ok(())
    }

    /// The evaluation's plan waits to be applied: its worker is not lost, however long that takes.
    pub fn pause_timeout(&mut self, eval_id: &[u8], token: Token) -> Result<(), BrokerError> {
        let id = self.outstanding(eval_id, token)?;
        self.lift_deadline(id);
        Ok(())
    }

    /// The plan is applied: the worker has the whole time again.
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

    /// Forgets an evaluation that was finished some other way (cancelled, deleted). One that a worker has is
    /// left to its acknowledgement.
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
            // Those that wait are not outdated by an evaluation that never ran; the first has its turn.
            let next = self.jobs.get_mut(&key).and_then(|turns| turns.waiting.pop_first());
            self.give_turn(&key, next);
        }
    }

    /// Moves on what waited for a time that has come: delayed evaluations, and lost workers'.
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

    /// The clock was set back to `now_ns`: what was reckoned by it as it was would come much too late.
    /// Workers have the whole time again, and what they gave back is handed out.
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

    /// When `advance` (or `dequeue`) has something to do next, if nothing else happens.
    pub fn next_deadline(&self) -> Option<i64> {
        let firsts = [self.delayed.first(), self.deadlines.first()];
        firsts.into_iter().flatten().map(|(time_ns, _)| *time_ns).min()
    }

    /// How many of the evaluations were blocked before they came.
    pub fn woken(&self) -> usize {
        self.woken.len()
    }

    /// How many evaluations there are, and where.
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

    /// Ready if it is its job's turn, else it waits for that.
    fn queue_up(&mut self, id: EvalId, now_ns: i64) {
        let is_woken = self.woken.contains(&id);
        let Some(tracked) = self.evals.get_mut(&id) else { return };
        // What is woken was decided before; all else is due since it was made, or since the time that it waited for.
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

    /// The job's turn goes to the newest that waits; the others are forgotten and returned.
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
