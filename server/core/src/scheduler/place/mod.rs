//! Finds a node for every allocation that is missing, best first, and writes the plan's rows.

mod metric;
mod occupancy;
mod ports;
mod ranking;
mod score;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ordu_proto::command::Plan;
use ordu_proto::state::{
    AllocMetric, AllocatedResources, Allocation, ClientStatus, Deployment, DesiredStatus,
};

pub(crate) use occupancy::Occupancy;
use ranking::{Choice, Ranking, Sight};

use super::deployment;
use super::feasible::Feasibility;
use super::job::{ScheduledGroup, ScheduledJob};
use super::reconcile::{GroupWork, Stop, StopReason};
use super::schedule::plan_stop;
use super::view::{ClusterView, Slot, Usage, mix, node_key};
use crate::job::JobKind;

/// For so many placements of a group and evaluation a metric tells of the five best nodes; for the others
/// only of the one chosen. A group of thousands would else write the same five nodes thousands of times.
const FULLY_TOLD_PLACEMENTS: usize = 16;

/// Draws ids.
pub type Ids<'a> = dyn FnMut() -> [u8; 16] + 'a;

/// Places the groups of one evaluation, one after the other, in a view of its own.
pub(crate) struct Placer<'p, 'j> {
    pub(crate) job: &'j ScheduledJob,
    pub(crate) eval_id: &'p [u8],
    /// The deployment that what is placed becomes part of.
    pub(crate) deployment: Option<&'p Deployment>,
    pub(crate) view: &'p mut ClusterView,
    pub(crate) feasibility: &'p mut Feasibility<'j>,
    pub(crate) occupancy: Occupancy<'j>,
    pub(crate) plan: &'p mut Plan,
    /// Groups that could not be placed whole.
    pub(crate) failed: BTreeMap<String, AllocMetric>,
    /// Allocations that are still to be placed, by group.
    pub(crate) queued: BTreeMap<String, i64>,
}

/// What is the same for all allocations of a group in one evaluation.
struct Group<'j> {
    index: usize,
    spec: &'j ScheduledGroup,
    tie_seed: u64,
    placed: usize,
}

/// An allocation to come.
struct Wish<'a> {
    name_index: u32,
    previous: Option<&'a Allocation>,
    /// The previous one stops when this one is placed.
    stops_previous: bool,
}

impl<'j> Placer<'_, 'j> {
    /// Counts the allocations that stay, of all groups, before the first is placed.
    pub(crate) fn count_present(&mut self, groups: &[GroupWork<'_>]) {
        for (index, work) in groups.iter().enumerate() {
            for alloc in work.kept.iter().chain(&work.destructive).chain(&work.waiting) {
                if let Some(slot) = self.live_slot(alloc) {
                    self.occupancy.add(self.view, index, slot);
                }
            }
        }
    }

    /// Places what the group misses. Replacements come first: each brings the room of the one it replaces.
    pub(crate) fn place_group(&mut self, index: usize, work: &GroupWork<'_>, ids: &mut Ids<'_>) {
        let job = self.job;
        let spec = &job.groups[index];
        let wanted = work.destructive.len() + work.place.len();
        self.queued.insert(spec.name.clone(), wanted as i64);
        if wanted == 0 || self.feasibility.budget.is_spent() {
            return;
        }
        let mut group =
            Group { index, spec, tie_seed: node_key(self.eval_id).map_or(0, |id| mix(&id)), placed: 0 };
        let mut ranking = Ranking::new(spec, index, group.tie_seed, &mut self.sight());
        for previous in &work.destructive {
            let wish =
                Wish { name_index: previous.name_index, previous: Some(previous), stops_previous: true };
            self.replace(&mut group, &mut ranking, &wish, ids);
        }
        for place in &work.place {
            let stops_previous = place.previous.is_some_and(|previous| previous.force_reschedule);
            let wish = Wish { name_index: place.name_index, previous: place.previous, stops_previous };
            if !self.place(&mut group, &mut ranking, &wish, ids) {
                // Nothing has changed for those that follow; they would only fail the same way.
                let left = wanted as i64 - group.placed as i64;
                let failed = self.failed.entry(spec.name.clone()).or_default();
                failed.coalesced_failures = left - 1;
                break;
            }
        }
        self.queued.insert(spec.name.clone(), wanted as i64 - group.placed as i64);
    }

    /// Stops the previous allocation and places its successor, or lets it run if there is no place.
    fn replace(
        &mut self,
        group: &mut Group<'j>,
        ranking: &mut Ranking<'j>,
        wish: &Wish<'_>,
        ids: &mut Ids<'_>,
    ) {
        let Some(previous) = wish.previous else { return };
        if self.feasibility.budget.is_spent() {
            return;
        }
        let freed = self.live_slot(previous).map(|slot| (slot, Usage::of(previous.resources.as_ref())));
        if let Some((slot, usage)) = &freed {
            self.view.give_back(*slot, usage);
            self.occupancy.remove(self.view, group.index, *slot);
            self.look_again(ranking, *slot);
        }
        if self.place(group, ranking, wish, ids) {
            return;
        }
        if let Some((slot, usage)) = &freed {
            self.view.take(*slot, usage);
            self.occupancy.add(self.view, group.index, *slot);
            self.look_again(ranking, *slot);
        }
    }

    /// One node's room changed. Where properties are shared between nodes, others may have opened too.
    fn look_again(&mut self, ranking: &mut Ranking<'j>, slot: Slot) {
        ranking.revisit_sharing(&mut self.sight(), slot);
    }

    /// Places one allocation; if there is no place for it, the group's failure tells why.
    fn place(
        &mut self,
        group: &mut Group<'j>,
        ranking: &mut Ranking<'j>,
        wish: &Wish<'_>,
        ids: &mut Ids<'_>,
    ) -> bool {
        // A node where the previous attempt failed is not the first choice for the next.
        let failed = wish.previous.filter(|previous| previous.client_status() == ClientStatus::Failed);
        let penalised: Vec<Slot> =
            failed.and_then(|previous| self.view.slot(&previous.node_id)).into_iter().collect();
        let told = group.placed < FULLY_TOLD_PLACEMENTS;
        let id = ids();
        let (choice, resources) = loop {
            let Some(choice) = ranking.choose(&self.sight(), &penalised, told) else {
                let metric = ranking.metric(&self.sight(), &[]);
                let failures =
                    self.failed.get(&group.spec.name).map_or(0, |failed| failed.coalesced_failures + 1);
                let metric = AllocMetric { coalesced_failures: failures, ..metric };
                self.failed.insert(group.spec.name.clone(), metric);
                return false;
            };
            match ports::assign(self.view, choice.slot, group.spec, mix(&id)) {
                Ok(resources) => break (choice, resources),
                // The ranking sees no more than that there are ports enough. The node is out, so the
                // search goes on with the next one and ends.
                Err(shortage) => ranking.exhaust(self.view, choice.slot, shortage),
            }
        };
        self.write(group, ranking, wish, &choice, resources, id);
        ranking.revisit(&mut self.sight(), choice.slot);
        group.placed += 1;
        true
    }

    fn write(
        &mut self,
        group: &Group<'j>,
        ranking: &Ranking<'j>,
        wish: &Wish<'_>,
        choice: &Choice,
        resources: AllocatedResources,
        id: [u8; 16],
    ) {
        let metrics = ranking.metric(&self.sight(), &choice.told);
        let job = self.job;
        let node = self.view.node_facts(choice.slot).cloned();
        let (node_id, node_name) = node.map(|node| (node.id.to_vec(), node.name.clone())).unwrap_or_default();
        self.view.take(choice.slot, &Usage::of(Some(&resources)));
        self.occupancy.add(self.view, group.index, choice.slot);
        if let (Some(previous), true) = (wish.previous, wish.stops_previous) {
            let reason =
                if previous.force_reschedule { StopReason::Rescheduled } else { StopReason::Updating };
            self.plan.stop.push(plan_stop(&Stop { alloc: previous, reason }));
        }
        self.plan.place.push(Allocation {
            id: id.to_vec(),
            namespace: job.namespace.clone(),
            job_id: job.id.clone(),
            job_create_index: job.create_index,
            job_version: job.version,
            job_type: job.kind.map_or("", JobKind::as_str).to_owned(),
            task_group: group.spec.name.clone(),
            name_index: wish.name_index,
            eval_id: self.eval_id.to_vec(),
            node_id,
            node_name,
            desired_status: DesiredStatus::Run.into(),
            client_status: ClientStatus::Pending.into(),
            resources: Some(resources),
            metrics: Some(metrics),
            deployment_id: deployment::id_for(self.deployment, &group.spec.name),
            previous_allocation: wish.previous.map(|previous| previous.id.clone()).unwrap_or_default(),
            ..Allocation::default()
        });
    }

    fn live_slot(&self, alloc: &Allocation) -> Option<Slot> {
        Usage::of_live(alloc).and_then(|_| self.view.slot(&alloc.node_id))
    }

    fn sight(&mut self) -> Sight<'_, 'j> {
        Sight {
            view: self.view,
            feasibility: self.feasibility,
            occupancy: &self.occupancy,
            datacenters: &self.job.datacenters,
        }
    }
}
