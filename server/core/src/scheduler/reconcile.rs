//! Compares a job's specification with its allocations: decides which ones stay, stop, or are updated in place, and
//! which ones have to be placed.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::state::{Allocation, ClientStatus, Deployment};

use super::feasible::Feasibility;
use super::input::JobVersions;
use super::job::{ScheduledGroup, ScheduledJob, UpdatePolicy};
use super::view::{ClusterView, NodeCondition, is_client_terminal, is_server_terminal, is_terminal};
use crate::job::JobKind;

/// The changes to a job's allocations.
#[derive(Debug, Default)]
pub(crate) struct Reconciled<'a> {
    pub(crate) stops: Vec<Stop<'a>>,
    /// In the order of the job's groups.
    pub(crate) groups: Vec<GroupWork<'a>>,
}

/// An allocation to stop.
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

/// The changes to a group.
#[derive(Debug, Default)]
pub(crate) struct GroupWork<'a> {
    /// Live allocations that stay, including those updated in place.
    pub(crate) kept: Vec<&'a Allocation>,
    pub(crate) in_place: Vec<&'a Allocation>,
    /// Allocations to replace by new ones with the same name. They stop only if the replacement is placed.
    pub(crate) destructive: Vec<&'a Allocation>,
    /// Allocations to replace later, after others of the update are healthy.
    pub(crate) waiting: Vec<&'a Allocation>,
    pub(crate) place: Vec<Place<'a>>,
    /// Number of unchanged allocations, except `waiting`.
    pub(crate) ignored: usize,
}

impl GroupWork<'_> {
    /// Returns how many allocations get a new version.
    pub(crate) fn updates(&self) -> usize {
        self.in_place.len() + self.destructive.len() + self.waiting.len()
    }

    /// Returns how many allocations become part of a deployment of the version.
    pub(crate) fn desired_total(&self) -> usize {
        self.updates() + self.place.len()
    }
}

/// A missing allocation.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) name_index: u32,
    /// The lost or failed allocation that it replaces.
    pub(crate) previous: Option<&'a Allocation>,
}

/// Classification of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Running or about to run.
    Live,
    /// Failed. Keeps its name, because the reschedule policy decides whether it is replaced.
    Failed,
    /// Failed, and to be replaced regardless of the policy.
    Rescheduled,
    /// Completed batch allocation, which is never run again.
    Done,
    /// On a node that is down or gone.
    Lost,
    /// Ended and irrelevant; another allocation may take its name.
    Over,
}

/// The reconciler's input.
pub(crate) struct Wanted<'a, 'j> {
    pub(crate) job: &'j ScheduledJob,
    pub(crate) view: &'a ClusterView,
    /// Versions of the job, to compare those of allocations with.
    pub(crate) versions: &'a JobVersions,
    /// How fast updates proceed.
    pub(crate) pace: Pace<'a>,
}

/// How many destructive updates one evaluation makes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace<'a> {
    /// All at once.
    AtOnce,
    /// As many as the groups' update policies allow, given the active deployment.
    Rolling(Option<&'a Deployment>),
}

/// Stops all allocations of a job that is stopped or purged.
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
        // The remaining allocations belong to groups that the job no longer has.
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
        // A changed batch job runs again.
        if is_batch && self.is_of_older_version(alloc) && is_client_terminal(alloc) {
            return Fate::Over;
        }
        if is_batch && ran_successfully(alloc) {
            return Fate::Done;
        }
        let lost = is_on_lost_node(alloc, self.view);
        if is_server_terminal(alloc) {
            // A lost node will never report that the allocation stopped.
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
            // Placements count against the limit first.
            let now = limit.saturating_sub(work.place.len()).min(work.destructive.len());
            work.waiting = work.destructive.split_off(now);
        }
        work
    }

    /// Counts terminal allocations of older versions of a batch job. Those of a service are ignored.
    fn ended_of_older_versions(&self, allocs: &[(&Allocation, Fate)]) -> usize {
        let is_ended = |(alloc, fate): &&(&Allocation, Fate)| {
            *fate != Fate::Done && self.is_of_older_version(alloc) && is_terminal(alloc)
        };
        if self.is_batch() { allocs.iter().filter(is_ended).count() } else { 0 }
    }

    /// Removes and returns the allocations beyond the group's count: first failed ones of a service (nothing is lost
    /// with them) and duplicates of a name, then those with the highest name indexes.
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

    /// Decides whether the allocation stays as it is, is updated in place, or is replaced.
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
            // Give a failed service allocation another chance if the new version replaces it.
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

/// Returns how many allocations of the group may be replaced now: the policy's limit minus the allocations of the
/// active deployment that are not healthy yet.
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

/// Sort key: by name index; allocations with the same name by completed, live, others, then by age.
fn keeping_order(alloc: &Allocation, fate: Fate) -> (u32, u8, u64, Vec<u8>) {
    let rank = match fate {
        Fate::Done => 0,
        Fate::Live => 1,
        _ => 2,
    };
    (alloc.name_index, rank, alloc.create_index, alloc.id.clone())
}

/// Returns, for each name index, the latest allocation that is lost or to be rescheduled and has no replacement yet.
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

/// Returns whether the allocation has not ended by itself and its node is down or gone.
fn is_on_lost_node(alloc: &Allocation, view: &ClusterView) -> bool {
    let condition = view.condition(&alloc.node_id);
    !is_client_terminal(alloc) && matches!(condition, NodeCondition::Unknown | NodeCondition::Down)
}

/// Returns whether all tasks ended successfully. (Tasks report this before the allocation's status changes.)
fn ran_successfully(alloc: &Allocation) -> bool {
    if alloc.task_states.is_empty() {
        return alloc.client_status() == ClientStatus::Complete;
    }
    alloc.task_states.values().all(|task| task.state == "dead" && !task.failed)
}

#[cfg(test)]
mod tests;
