//! Chooses the best node for each missing allocation and writes the plan's rows.

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

/// Number of placements per group and evaluation whose metrics list the five best nodes; later ones list only the
/// chosen node. Otherwise a group of thousands would store the same five nodes thousands of times.
const FULLY_TOLD_PLACEMENTS: usize = 16;

/// Generates ids.
pub type Ids<'a> = dyn FnMut() -> [u8; 16] + 'a;

/// Places the groups of one evaluation one after the other in its own view.
pub(crate) struct Placer<'p, 'j> {
    pub(crate) job: &'j ScheduledJob,
    pub(crate) eval_id: &'p [u8],
    /// The deployment that the placements become part of.
    pub(crate) deployment: Option<&'p Deployment>,
    pub(crate) view: &'p mut ClusterView,
    pub(crate) feasibility: &'p mut Feasibility<'j>,
    pub(crate) occupancy: Occupancy<'j>,
    pub(crate) plan: &'p mut Plan,
    /// Metrics of the groups that could not be placed completely.
    pub(crate) failed: BTreeMap<String, AllocMetric>,
    /// Number of allocations still to be placed, by group.
    pub(crate) queued: BTreeMap<String, i64>,
}

/// State of one group during one evaluation.
struct Group<'j> {
    index: usize,
    spec: &'j ScheduledGroup,
    tie_seed: u64,
    placed: usize,
}

/// An allocation to place.
struct Wish<'a> {
    name_index: u32,
    previous: Option<&'a Allocation>,
    /// Whether the previous allocation stops when this one is placed.
    stops_previous: bool,
}

impl<'j> Placer<'_, 'j> {
    /// Counts the existing allocations of all groups before the first placement.
    pub(crate) fn count_present(&mut self, groups: &[GroupWork<'_>]) {
        for (index, work) in groups.iter().enumerate() {
            for alloc in work.kept.iter().chain(&work.destructive).chain(&work.waiting) {
                if let Some(slot) = self.live_slot(alloc) {
                    self.occupancy.add(self.view, index, slot);
                }
            }
        }
    }

    /// Places the group's missing allocations. Replacements come first, because each frees the
    /// capacity of its predecessor.
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
                // All further placements of the group would fail for the same reason.
                let left = wanted as i64 - group.placed as i64;
                let failed = self.failed.entry(spec.name.clone()).or_default();
                failed.coalesced_failures = left - 1;
                break;
            }
        }
        self.queued.insert(spec.name.clone(), wanted as i64 - group.placed as i64);
    }

    /// Stops the previous allocation and places its successor; keeps the previous one if no node fits.
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

    /// Updates the ranking after a node's free capacity changed. With `distinct_property` rules
    /// other nodes may change too.
    fn look_again(&mut self, ranking: &mut Ranking<'j>, slot: Slot) {
        ranking.revisit_sharing(&mut self.sight(), slot);
    }

    /// Places one allocation. If no node fits, records the reason in the group's metric.
    fn place(
        &mut self,
        group: &mut Group<'j>,
        ranking: &mut Ranking<'j>,
        wish: &Wish<'_>,
        ids: &mut Ids<'_>,
    ) -> bool {
        // A node where the previous attempt failed gets a penalty.
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
                // The ranking only checks that enough ports are free. `exhaust` removes the node, so the search ends.
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
