//! Evaluations that wait for room: woken when a node or an allocation's end could help them, and only
//! then, and handed out as many at a time as the caller asks for.
//!
//! A job that waits for a datacenter without nodes sleeps through whatever happens elsewhere; thousands of
//! them cost nothing.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::state::Evaluation;
use rustc_hash::FxHashMap;

use super::evaluations::TRIGGER_MAX_PLANS;
use crate::state::JobKey;

/// How many classes' last changes are remembered. Where more had any, an evaluation older than those that
/// were forgotten is looked at once more than needed.
const REMEMBERED_CLASSES_MAX: usize = 8192;

type EvalId = [u8; 16];

/// The evaluations that are blocked, one a job at most.
#[derive(Debug, Default)]
pub struct BlockedEvals {
    held: FxHashMap<EvalId, Held>,
    by_job: BTreeMap<JobKey, EvalId>,
    /// By the time at which they were made.
    by_age: BTreeSet<(i64, EvalId)>,
    /// Those that are asleep.
    by_datacenter: BTreeMap<String, BTreeSet<EvalId>>,
    /// Those that are woken and not taken yet: higher priority first, then the one that was woken first.
    woken: BTreeSet<(Reverse<i32>, u64, EvalId)>,
    last_woken: u64,
    /// The state index of the last change that could have helped, by datacenter and class: for
    /// evaluations that were with a worker meanwhile.
    changes: BTreeMap<String, BTreeMap<String, u64>>,
    remembered: usize,
    /// What was forgotten of `changes` is not later than this.
    forgotten_index: u64,
    latest_index: u64,
}

#[derive(Debug)]
struct Held {
    eval: Evaluation,
    datacenters: Vec<String>,
    /// Its number in the order in which evaluations were woken; `None` while it is asleep.
    woken: Option<u64>,
}

/// What `BlockedEvals` tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockedStats {
    /// All that are blocked.
    pub blocked: usize,
    /// When the oldest of them was made.
    pub oldest_ns: Option<i64>,
}

impl BlockedEvals {
    /// None blocked.
    pub fn new() -> BlockedEvals {
        BlockedEvals::default()
    }

    /// Blocks an evaluation that found no room in its job's datacenters; it is awake at once if something
    /// changed since its snapshot. Returns the older one of two of the job, which is blocked no longer and to
    /// be cancelled (`evaluations::cancelled_as_duplicate`).
    pub fn block(&mut self, eval: Evaluation, datacenters: &[String]) -> Option<Evaluation> {
        let has_missed = self.has_missed(&eval, datacenters);
        self.hold(eval, datacenters, has_missed)
    }

    /// As `block`, when a server begins to lead and does not know what changed before: the evaluation is
    /// looked at again if there is a class of nodes (`ClusterView::class_names`) that might do.
    pub fn restore<'a>(
        &mut self,
        eval: Evaluation,
        datacenters: &[String],
        mut classes: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<Evaluation> {
        let might_do = |(class, datacenter): (&str, &str)| {
            datacenters.iter().any(|wanted| wanted == datacenter) && could_help(&eval, class)
        };
        let may_do = classes.any(might_do) || self.has_missed(&eval, datacenters);
        self.hold(eval, datacenters, may_do)
    }

    /// A node of the class became ready or eligible or has more room, by the change at the state index
    /// `index`: wakes the evaluations that this may help.
    pub fn unblock(&mut self, class: &str, datacenter: &str, index: u64) {
        self.remember(class, datacenter, index);
        let Some(ids) = self.by_datacenter.get(datacenter) else { return };
        let helped = |id: &&EvalId| self.held.get(*id).is_some_and(|held| could_help(&held.eval, class));
        let helped: Vec<EvalId> = ids.iter().filter(helped).copied().collect();
        helped.into_iter().for_each(|id| self.wake(id));
    }

    /// Takes out the first of those that are woken, `max` at most, to be enqueued. To be asked again whenever
    /// there may be room for more of them, and after each of the other calls.
    pub fn take_woken(&mut self, max: usize) -> Vec<Evaluation> {
        let first: Vec<EvalId> = self.woken.iter().take(max).map(|(_, _, id)| *id).collect();
        first.into_iter().filter_map(|id| self.release(id)).collect()
    }

    /// Those whose plans were refused as often as allowed: nothing need change for them to succeed, so the
    /// leader takes them up again every minute.
    pub fn unblock_refused_plans(&mut self) {
        let refused =
            |id: &&EvalId| self.held.get(*id).is_some_and(|held| held.eval.triggered_by == TRIGGER_MAX_PLANS);
        let refused: Vec<EvalId> = self.by_job.values().filter(refused).copied().collect();
        refused.into_iter().for_each(|id| self.wake(id));
    }

    /// The job needs no more room: it was placed whole, stopped or removed. Returns its evaluation, which is
    /// to be cancelled if `apply` has not done so.
    pub fn untrack(&mut self, namespace: &str, job_id: &str) -> Option<Evaluation> {
        let id = *self.by_job.get(&JobKey::new(namespace, job_id))?;
        self.release(id)
    }

    /// Whether the evaluation is blocked here.
    pub fn contains(&self, eval_id: &[u8]) -> bool {
        EvalId::try_from(eval_id).is_ok_and(|id| self.held.contains_key(&id))
    }

    /// How many are blocked, and for how long.
    pub fn stats(&self) -> BlockedStats {
        let oldest_ns = self.by_age.first().map(|(made_ns, _)| *made_ns);
        BlockedStats { blocked: self.held.len(), oldest_ns }
    }

    /// Takes out the evaluation of the same job that is blocked now, unless that one is newer. (An older
    /// state of the same evaluation is no duplicate of it.)
    fn displace(&mut self, id: EvalId, eval: &Evaluation) -> Result<Option<Evaluation>, ()> {
        let Some(&other) = self.by_job.get(&JobKey::from(eval)) else { return Ok(None) };
        if other != id && self.held.get(&other).is_some_and(|held| is_older(eval, &held.eval)) {
            return Err(());
        }
        Ok(self.release(other).filter(|_| other != id))
    }

    fn hold(&mut self, eval: Evaluation, datacenters: &[String], is_awake: bool) -> Option<Evaluation> {
        let id = EvalId::try_from(eval.id.as_slice()).ok()?;
        let Ok(duplicate) = self.displace(id, &eval) else { return Some(eval) };
        for datacenter in datacenters {
            self.by_datacenter.entry(datacenter.clone()).or_default().insert(id);
        }
        self.by_job.insert(JobKey::from(&eval), id);
        self.by_age.insert((eval.create_time_ns, id));
        self.held.insert(id, Held { eval, datacenters: datacenters.to_vec(), woken: None });
        if is_awake {
            self.wake(id);
        }
        duplicate
    }

    /// What is awake already keeps its turn.
    fn wake(&mut self, id: EvalId) {
        let Some(held) = self.held.get_mut(&id).filter(|held| held.woken.is_none()) else { return };
        self.last_woken += 1;
        held.woken = Some(self.last_woken);
        self.woken.insert((Reverse(held.eval.priority), self.last_woken, id));
        let datacenters = held.datacenters.clone();
        self.forget_datacenters(id, &datacenters);
    }

    fn release(&mut self, id: EvalId) -> Option<Evaluation> {
        let Held { eval, datacenters, woken } = self.held.remove(&id)?;
        match woken {
            Some(order) => drop(self.woken.remove(&(Reverse(eval.priority), order, id))),
            None => self.forget_datacenters(id, &datacenters),
        }
        self.by_job.remove(&JobKey::from(&eval));
        self.by_age.remove(&(eval.create_time_ns, id));
        Some(eval)
    }

    fn forget_datacenters(&mut self, id: EvalId, datacenters: &[String]) {
        for datacenter in datacenters {
            if let Some(ids) = self.by_datacenter.get_mut(datacenter) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_datacenter.remove(datacenter);
                }
            }
        }
    }

    /// Whether something that could have helped changed after the evaluation's snapshot was taken.
    fn has_missed(&self, eval: &Evaluation, datacenters: &[String]) -> bool {
        let seen = eval.snapshot_index;
        if self.latest_index <= seen {
            return false;
        }
        let changes = datacenters.iter().filter_map(|datacenter| self.changes.get(datacenter)).flatten();
        let mut later = changes.filter(|(_, index)| **index > seen);
        seen < self.forgotten_index || later.any(|(class, _)| could_help(eval, class))
    }

    fn remember(&mut self, class: &str, datacenter: &str, index: u64) {
        self.latest_index = self.latest_index.max(index);
        let of_datacenter = self.changes.entry(datacenter.to_owned()).or_default();
        if let Some(known) = of_datacenter.get_mut(class) {
            *known = (*known).max(index);
            return;
        }
        of_datacenter.insert(class.to_owned(), index);
        self.remembered += 1;
        if self.remembered > REMEMBERED_CLASSES_MAX {
            self.forgotten_index = self.latest_index;
            self.changes.clear();
            self.remembered = 0;
        }
    }
}

/// Whether a node of the class might have room for what the evaluation waits for: it met the class and
/// found it fit, or it did not meet it.
fn could_help(eval: &Evaluation, class: &str) -> bool {
    eval.escaped_computed_class || eval.class_eligibility.get(class).copied().unwrap_or(true)
}

/// Whether `eval` looked at an older state of the job than `other`.
fn is_older(eval: &Evaluation, other: &Evaluation) -> bool {
    let age = |eval: &Evaluation| eval.create_index.max(eval.snapshot_index);
    age(eval) < age(other)
}
