//! Compares what a job wants with the allocations that it has: what stays, what stops, what takes the new
//! version in place, and what has to be placed.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::state::{Allocation, ClientStatus, Deployment};

use super::feasible::Feasibility;
use super::input::JobVersions;
use super::job::{ScheduledGroup, ScheduledJob, UpdatePolicy};
use super::view::{ClusterView, NodeCondition, is_client_terminal, is_server_terminal, is_terminal};
use crate::job::JobKind;

/// What is to be done about a job's allocations.
#[derive(Debug, Default)]
pub(crate) struct Reconciled<'a> {
    pub(crate) stops: Vec<Stop<'a>>,
    /// In the order of the job's groups.
    pub(crate) groups: Vec<GroupWork<'a>>,
}

/// An allocation that stops.
#[derive(Debug)]
pub(crate) struct Stop<'a> {
    pub(crate) alloc: &'a Allocation,
    pub(crate) reason: StopReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    NotNeeded,
    Rescheduled,
    Lost,
    Updating,
}

/// What is to be done for a group.
#[derive(Debug, Default)]
pub(crate) struct GroupWork<'a> {
    /// Live allocations that stay, among them those that take the new version in place.
    pub(crate) kept: Vec<&'a Allocation>,
    pub(crate) in_place: Vec<&'a Allocation>,
    /// Allocations that are to be replaced by new ones of their names; they stop if that succeeds.
    pub(crate) destructive: Vec<&'a Allocation>,
    /// Allocations that are to be replaced too, but not before others of the update are healthy.
    pub(crate) waiting: Vec<&'a Allocation>,
    pub(crate) place: Vec<Place<'a>>,
    /// How many allocations are left as they are, beside those that wait.
    pub(crate) ignored: usize,
}

impl GroupWork<'_> {
    /// How many allocations take a new version.
    pub(crate) fn updates(&self) -> usize {
        self.in_place.len() + self.destructive.len() + self.waiting.len()
    }

    /// How many allocations become part of a deployment of the version.
    pub(crate) fn desired_total(&self) -> usize {
        self.updates() + self.place.len()
    }
}

/// An allocation that is missing.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) name_index: u32,
    /// The lost or failed one whose place it takes.
    pub(crate) previous: Option<&'a Allocation>,
}

/// What an allocation is to the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It runs, or is about to.
    Live,
    /// It failed; rescheduling decides whether it is replaced, so it keeps its name.
    Failed,
    /// It failed, and is to be placed anew whatever its policy says.
    Rescheduled,
    /// A batch allocation that did its work: it is never done again.
    Done,
    /// Its node is down or gone.
    Lost,
    /// It is of no account; another may take its name.
    Over,
}

/// What the reconciler looks at.
pub(crate) struct Wanted<'a, 'j> {
    pub(crate) job: &'j ScheduledJob,
    pub(crate) view: &'a ClusterView,
    /// Versions of the job, to compare that of an allocation with.
    pub(crate) versions: &'a JobVersions,
    /// How updates are paced.
    pub(crate) pace: Pace<'a>,
}

/// How many destructive updates one evaluation makes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace<'a> {
    /// All of them.
    AtOnce,
    /// As many as the groups' update policies allow, with this deployment under way.
    Rolling(Option<&'a Deployment>),
}

/// Everything stops: the job is stopped or gone.
pub(crate) fn stop_all<'a>(allocs: &'a [Allocation], view: &ClusterView) -> Reconciled<'a> {
    let stops = allocs.iter().filter(|alloc| !is_client_terminal(alloc)).filter_map(|alloc| {
        let reason = if is_on_lost_node(alloc, view) { StopReason::Lost } else { StopReason::NotNeeded };
        let wanted = reason == StopReason::Lost || !is_server_terminal(alloc);
        wanted.then_some(Stop { alloc, reason })
    });
    Reconciled { stops: stops.collect(), groups: Vec::new() }
}

impl<'j> Wanted<'_, 'j> {
    pub(crate) fn reconcile<'a>(
        &self,
        allocs: &'a [Allocation],
        feasibility: &mut Feasibility<'j>,
    ) -> Reconciled<'a> {
        let mut reconciled = Reconciled::default();
        let mut by_group: BTreeMap<&str, Vec<(&Allocation, Fate)>> = BTreeMap::new();
        for alloc in allocs {
            let fate = self.fate(alloc);
            if fate == Fate::Lost {
                reconciled.stops.push(Stop { alloc, reason: StopReason::Lost });
            }
            by_group.entry(&alloc.task_group).or_default().push((alloc, fate));
        }
        for (index, group) in self.job.groups.iter().enumerate() {
            let allocs = by_group.remove(group.name.as_str()).unwrap_or_default();
            let work = self.group(index, group, &allocs, feasibility, &mut reconciled.stops);
            reconciled.groups.push(work);
        }
        // What is left belongs to groups that the job does not have any more.
        let unwanted = by_group.into_values().flatten().filter(|(_, fate)| *fate == Fate::Live);
        reconciled.stops.extend(unwanted.map(|(alloc, _)| Stop { alloc, reason: StopReason::NotNeeded }));
        reconciled
    }

    fn is_batch(&self) -> bool {
        self.job.kind == Some(JobKind::Batch)
    }

    fn is_of_older_version(&self, alloc: &Allocation) -> bool {
        let (created, version) = (self.job.create_index, self.job.version);
        alloc.job_create_index < created || (alloc.job_create_index == created && alloc.job_version < version)
    }

    fn fate(&self, alloc: &Allocation) -> Fate {
        let is_batch = self.is_batch();
        // A batch job that was changed runs again.
        if is_batch && self.is_of_older_version(alloc) && is_client_terminal(alloc) {
            return Fate::Over;
        }
        if is_batch && ran_successfully(alloc) {
            return Fate::Done;
        }
        let lost = is_on_lost_node(alloc, self.view);
        if is_server_terminal(alloc) {
            // Its node will never say that it stopped.
            return if lost { Fate::Lost } else { Fate::Over };
        }
        match alloc.client_status() {
            ClientStatus::Failed if !alloc.next_allocation.is_empty() => Fate::Over,
            ClientStatus::Failed if alloc.force_reschedule => Fate::Rescheduled,
            ClientStatus::Failed => Fate::Failed,
            ClientStatus::Complete | ClientStatus::Lost => Fate::Over,
            _ if lost => Fate::Lost,
            _ => Fate::Live,
        }
    }

    fn group<'a>(
        &self,
        index: usize,
        group: &ScheduledGroup,
        allocs: &[(&'a Allocation, Fate)],
        feasibility: &mut Feasibility<'j>,
        stops: &mut Vec<Stop<'a>>,
    ) -> GroupWork<'a> {
        let mut counted: Vec<(&Allocation, Fate)> = allocs
            .iter()
            .copied()
            .filter(|(_, fate)| matches!(fate, Fate::Live | Fate::Failed | Fate::Done))
            .collect();
        counted.sort_by_cached_key(|(alloc, fate)| keeping_order(alloc, *fate));
        let surplus = self.split_surplus(&mut counted, group.count as usize);
        let (live, ended): (Vec<_>, Vec<_>) = surplus.into_iter().partition(|(_, fate)| *fate == Fate::Live);
        stops.extend(live.into_iter().map(|(alloc, _)| Stop { alloc, reason: StopReason::NotNeeded }));
        let mut work = GroupWork::default();
        let names: BTreeSet<u32> = counted.iter().map(|(alloc, _)| alloc.name_index).collect();
        let missing = group.count as usize - counted.len();
        let left = counted.len() + ended.len();
        for (alloc, fate) in counted {
            self.sort_in(index, group, (alloc, fate), feasibility, &mut work);
        }
        let free = (0..=u32::MAX).filter(|index| !names.contains(index));
        let previous = latest_missing(allocs);
        work.place = free
            .take(missing)
            .map(|name_index| Place { name_index, previous: previous.get(&name_index).copied() })
            .collect();
        work.ignored = left - work.updates() + self.ended_of_older_versions(allocs);
        if let (Pace::Rolling(deployment), Some(policy)) = (self.pace, &group.update) {
            let limit = rolling_limit(policy, &group.name, allocs, deployment);
            // What is placed comes first.
            let now = limit.saturating_sub(work.place.len()).min(work.destructive.len());
            work.waiting = work.destructive.split_off(now);
        }
        work
    }

    /// What an older version of a batch job has ended; a service's is of no account.
    fn ended_of_older_versions(&self, allocs: &[(&Allocation, Fate)]) -> usize {
        let is_ended = |(alloc, fate): &&(&Allocation, Fate)| {
            *fate != Fate::Done && self.is_of_older_version(alloc) && is_terminal(alloc)
        };
        if self.is_batch() { allocs.iter().filter(is_ended).count() } else { 0 }
    }

    /// Takes those out that are more than the group wants: failed services first (nothing is lost with
    /// them), then second bearers of a name, then the highest names.
    fn split_surplus<'a>(
        &self,
        counted: &mut Vec<(&'a Allocation, Fate)>,
        count: usize,
    ) -> Vec<(&'a Allocation, Fate)> {
        let mut surplus = Vec::new();
        let excess = counted.len().saturating_sub(count);
        if excess == 0 {
            return surplus;
        }
        let is_batch = self.is_batch();
        let mut names = BTreeSet::new();
        let doubles: Vec<bool> = counted.iter().map(|(alloc, _)| !names.insert(alloc.name_index)).collect();
        let goes_early =
            |position: usize, fate: Fate| (fate == Fate::Failed && !is_batch) || doubles[position];
        let order = (0..counted.len()).rev();
        let early = order.clone().filter(|&position| goes_early(position, counted[position].1));
        let late = order.filter(|&position| !goes_early(position, counted[position].1));
        let leaving: BTreeSet<usize> = early.chain(late).take(excess).collect();
        let all = std::mem::take(counted);
        for (position, entry) in all.into_iter().enumerate() {
            if leaving.contains(&position) { surplus.push(entry) } else { counted.push(entry) }
        }
        surplus
    }

    /// Whether the allocation stays as it is, takes the new version in place, or is replaced.
    fn sort_in<'a>(
        &self,
        index: usize,
        group: &ScheduledGroup,
        (alloc, fate): (&'a Allocation, Fate),
        feasibility: &mut Feasibility<'j>,
        work: &mut GroupWork<'a>,
    ) {
        let is_current =
            (alloc.job_create_index, alloc.job_version) == (self.job.create_index, self.job.version);
        let is_service_failure = fate == Fate::Failed && !self.is_batch();
        if fate == Fate::Done || (fate == Fate::Failed && (is_current || !is_service_failure)) {
            return;
        }
        if is_current {
            work.kept.push(alloc);
            return;
        }
        let is_of_job = alloc.job_create_index == self.job.create_index;
        let old = self.versions.get(&alloc.job_version).filter(|_| is_of_job);
        let same_shape =
            old.is_some_and(|old| old.group(&group.name).is_some_and(|(_, old)| old.shape == group.shape));
        if fate == Fate::Failed {
            // A failed service gets another chance with a version that starts it anew.
            if !same_shape {
                work.destructive.push(alloc);
            }
            return;
        }
        let slot = self.view.slot(&alloc.node_id);
        if same_shape && slot.is_some_and(|slot| feasibility.may_stay(index, self.view, slot)) {
            work.kept.push(alloc);
            work.in_place.push(alloc);
        } else {
            work.destructive.push(alloc);
        }
    }
}

/// How many allocations of the group may be replaced now: as many as the policy allows at a time, less
/// those of the deployment under way that are not healthy yet.
fn rolling_limit(
    policy: &UpdatePolicy,
    group: &str,
    allocs: &[(&Allocation, Fate)],
    deployment: Option<&Deployment>,
) -> usize {
    let Some(deployment) = deployment else { return policy.parallel_max };
    let placed =
        allocs.iter().filter(|(alloc, fate)| *fate == Fate::Live && alloc.deployment_id == deployment.id);
    let healthy = deployment.groups.get(group).map_or(0, |state| state.healthy_allocs);
    let unhealthy = placed.count().saturating_sub(usize::try_from(healthy).unwrap_or(0));
    policy.parallel_max.saturating_sub(unhealthy)
}

/// By name; among bearers of one name the one that is done, then live ones, then the older.
fn keeping_order(alloc: &Allocation, fate: Fate) -> (u32, u8, u64, Vec<u8>) {
    let rank = match fate {
        Fate::Done => 0,
        Fate::Live => 1,
        _ => 2,
    };
    (alloc.name_index, rank, alloc.create_index, alloc.id.clone())
}

/// By name, the latest bearer that is lost or to be placed anew, and that nothing has replaced yet.
fn latest_missing<'a>(allocs: &[(&'a Allocation, Fate)]) -> BTreeMap<u32, &'a Allocation> {
    let mut latest: BTreeMap<u32, &Allocation> = BTreeMap::new();
    for (alloc, fate) in allocs {
        let is_missing =
            matches!(fate, Fate::Lost | Fate::Rescheduled) || alloc.client_status() == ClientStatus::Lost;
        let age = |alloc: &'a Allocation| (alloc.create_index, &alloc.id);
        if is_missing
            && alloc.next_allocation.is_empty()
            && latest.get(&alloc.name_index).is_none_or(|known| age(known) < age(alloc))
        {
            latest.insert(alloc.name_index, alloc);
        }
    }
    latest
}

/// Whether the allocation has not ended by its own account, and its node is down or gone.
fn is_on_lost_node(alloc: &Allocation, view: &ClusterView) -> bool {
    let condition = view.condition(&alloc.node_id);
    !is_client_terminal(alloc) && matches!(condition, NodeCondition::Unknown | NodeCondition::Down)
}

/// Whether all tasks ended well. (Tasks say so before the allocation as a whole does.)
fn ran_successfully(alloc: &Allocation) -> bool {
    if alloc.task_states.is_empty() {
        return alloc.client_status() == ClientStatus::Complete;
    }
    alloc.task_states.values().all(|task| task.state == "dead" && !task.failed)
}

#[cfg(test)]
mod tests;
