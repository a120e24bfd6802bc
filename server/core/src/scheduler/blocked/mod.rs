//! Evaluations that wait for free capacity. They are woken only by changes of nodes or allocations that could help
//! them, and are taken out in batches of a size that the caller chooses.
//!
//! A job that waits for a datacenter without nodes is not woken by changes elsewhere, so
//! thousands of such jobs cost nothing.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::state::Evaluation;
use rustc_hash::FxHashMap;

use super::datacenters;
use super::evaluations::TRIGGER_MAX_PLANS;
use crate::state::JobKey;

/// Maximum number of classes whose last change is remembered. After more changed classes, evaluations that are older
/// than the forgotten changes may be woken once without need.
const REMEMBERED_CLASSES_MAX: usize = 8192;

type EvalId = [u8; 16];

/// The blocked evaluations, at most one per job.
#[derive(Debug, Default)]
pub struct BlockedEvals {
    held: FxHashMap<EvalId, Held>,
    by_job: BTreeMap<JobKey, EvalId>,
    /// All evaluations by creation time.
    by_age: BTreeSet<(i64, EvalId)>,
    /// Evaluations that have not been woken, by datacenter.
    by_datacenter: BTreeMap<String, BTreeSet<EvalId>>,
    /// The same for globs of datacenters.
    by_glob: BTreeMap<String, BTreeSet<EvalId>>,
    /// Woken evaluations that have not been taken yet, by priority and then in the order in which they were woken.
    woken: BTreeSet<(Reverse<i32>, u64, EvalId)>,
    last_woken: u64,
    /// State index of the last change that could have helped, by datacenter and class. Needed for evaluations that a
    /// worker had at that time.
    changes: BTreeMap<String, BTreeMap<String, u64>>,
    remembered: usize,
    /// Upper bound of the indexes of changes that were dropped from `changes`.
    forgotten_index: u64,
    latest_index: u64,
}

#[derive(Debug)]
struct Held {
    eval: Evaluation,
    /// Names and globs.
    datacenters: Vec<String>,
    /// Position in the order of waking; `None` if not woken.
    woken: Option<u64>,
}

/// Statistics of `BlockedEvals`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockedStats {
    /// Number of blocked evaluations.
    pub blocked: usize,
    /// Creation time of the oldest one.
    pub oldest_ns: Option<i64>,
}

impl BlockedEvals {
    /// Builds an empty set.
    pub fn new() -> BlockedEvals {
        BlockedEvals::default()
    }

    /// Adds an evaluation that found no room in its job's datacenters. It is woken at once if a relevant change
    /// happened after its snapshot. If the job already has a blocked evaluation, removes and returns the older of the
    /// two, which must be cancelled (`evaluations::cancelled_as_duplicate`).
    pub fn block(&mut self, eval: Evaluation, datacenters: &[String]) -> Option<Evaluation> {
        let has_missed = self.has_missed(&eval, datacenters);
        self.hold(eval, datacenters, has_missed)
    }

    /// Like `block`, for a server that begins to lead and does not know earlier changes: wakes the evaluation if any
    /// existing class of nodes (`ClusterView::class_names`) could help.
    pub fn restore<'a>(
        &mut self,
        eval: Evaluation,
        datacenters: &[String],
        mut classes: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<Evaluation> {
        let might_do = |(class, datacenter): (&str, &str)| {
            datacenters::contain(datacenters, datacenter) && could_help(&eval, class)
        };
        let may_do = classes.any(might_do) || self.has_missed(&eval, datacenters);
        self.hold(eval, datacenters, may_do)
    }

    /// Wakes the evaluations that a change at state index `index` may help: a node of the class became ready or
    /// eligible, or has more free capacity.
    pub fn unblock(&mut self, class: &str, datacenter: &str, index: u64) {
        self.remember(class, datacenter, index);
        let by_glob = self.by_glob.iter().filter(|(glob, _)| datacenters::names(glob, datacenter));
        let ids = self.by_datacenter.get(datacenter).into_iter().chain(by_glob.map(|(_, ids)| ids)).flatten();
        let helped = |id: &&EvalId| self.held.get(*id).is_some_and(|held| could_help(&held.eval, class));
        let helped: Vec<EvalId> = ids.filter(helped).copied().collect();
        helped.into_iter().for_each(|id| self.wake(id));
    }

    /// Removes and returns up to `max` woken evaluations, to be enqueued. Call it after each call of the other
    /// methods, and whenever there may be room for more.
    pub fn take_woken(&mut self, max: usize) -> Vec<Evaluation> {
        let first: Vec<EvalId> = self.woken.iter().take(max).map(|(_, _, id)| *id).collect();
        first.into_iter().filter_map(|id| self.release(id)).collect()
    }

    /// Wakes the evaluations whose plans were refused too often. They may succeed without any change of the cluster,
    /// so the leader calls this every minute.
    pub fn unblock_refused_plans(&mut self) {
        let refused =
            |id: &&EvalId| self.held.get(*id).is_some_and(|held| held.eval.triggered_by == TRIGGER_MAX_PLANS);
        let refused: Vec<EvalId> = self.by_job.values().filter(refused).copied().collect();
        refused.into_iter().for_each(|id| self.wake(id));
    }

    /// Removes and returns the job's evaluation when the job needs no more capacity: it is placed completely, stopped
    /// or removed. The evaluation must be cancelled if `apply` has not done so.
    pub fn untrack(&mut self, namespace: &str, job_id: &str) -> Option<Evaluation> {
        let id = *self.by_job.get(&JobKey::new(namespace, job_id))?;
        self.release(id)
    }

    /// Returns whether the evaluation is blocked here.
    pub fn contains(&self, eval_id: &[u8]) -> bool {
        EvalId::try_from(eval_id).is_ok_and(|id| self.held.contains_key(&id))
    }

    /// Returns the number of blocked evaluations and the age of the oldest.
    pub fn stats(&self) -> BlockedStats {
        let oldest_ns = self.by_age.first().map(|(made_ns, _)| *made_ns);
        BlockedStats { blocked: self.held.len(), oldest_ns }
    }

    /// Removes and returns the blocked evaluation of the same job, unless it is newer. An older copy of `eval` itself
    /// is removed but not returned.
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
            self.waiting_for(datacenter).entry(datacenter.clone()).or_default().insert(id);
        }
        self.by_job.insert(JobKey::from(&eval), id);
        self.by_age.insert((eval.create_time_ns, id));
        self.held.insert(id, Held { eval, datacenters: datacenters.to_vec(), woken: None });
        if is_awake {
            self.wake(id);
        }
        duplicate
    }

    /// Wakes an evaluation. If it is awake already, it keeps its position.
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
            let waiting = self.waiting_for(datacenter);
            if let Some(ids) = waiting.get_mut(datacenter) {
                ids.remove(&id);
                if ids.is_empty() {
                    waiting.remove(datacenter);
                }
            }
        }
    }

    /// Returns the evaluations that wait for datacenters, or for globs of them, whichever `entry` is.
    fn waiting_for(&mut self, entry: &str) -> &mut BTreeMap<String, BTreeSet<EvalId>> {
        if datacenters::is_glob(entry) { &mut self.by_glob } else { &mut self.by_datacenter }
    }

    /// Returns whether a change that could have helped happened after the evaluation's snapshot.
    fn has_missed(&self, eval: &Evaluation, datacenters: &[String]) -> bool {
        let seen = eval.snapshot_index;
        if self.latest_index <= seen {
            return false;
        }
        let mut changes = self.changes.iter();
        let has_later = |(datacenter, classes): (&String, &BTreeMap<String, u64>)| {
            let mut later = classes.iter().filter(|(_, index)| **index > seen);
            datacenters::contain(datacenters, datacenter) && later.any(|(class, _)| could_help(eval, class))
        };
        seen < self.forgotten_index || changes.any(has_later)
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

/// Returns whether a node of the class could help: the evaluation found the class eligible or has not seen it.
fn could_help(eval: &Evaluation, class: &str) -> bool {
    eval.escaped_computed_class || eval.class_eligibility.get(class).copied().unwrap_or(true)
}

/// Returns whether `eval` has seen an older state of the job than `other`.
fn is_older(eval: &Evaluation, other: &Evaluation) -> bool {
    let age = |eval: &Evaluation| eval.create_index.max(eval.snapshot_index);
    age(eval) < age(other)
}
