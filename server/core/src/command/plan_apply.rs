//! Command 20, since 0.1: applies plans. A plan's changes on one node take effect only if all of them still fit there.

use std::collections::BTreeSet;

use ordu_proto::command::{
    DeploymentUpdate, Plan, PlanApplied, PlanApply, PlanResult, PlanStop, PlanUpdate, Refusal,
};
use ordu_proto::state::{Allocation, ClientStatus, Deployment, RescheduleEvent};

use super::check;
use super::declared::Command;
use super::entry::Entry;
use super::job_state::is_client_terminal;
use super::level::FIRST_LEVEL;
use super::outcome::AnswerMessage;
use super::plan_deployments::PlanDeployments;
use super::{Step, refuse};
use crate::limits::RESCHEDULE_EVENTS_KEPT_MAX;
use crate::scheduler::{PlanCheck, touched_allocs};
use crate::state::{Corrupt, Reader, read};

impl Command for PlanApply {
    type Answer = PlanApplied;
    const NUMBER: u32 = 20;
    const LEVEL: u32 = FIRST_LEVEL;

    fn check(&self) -> Result<(), Refusal> {
        self.plans.iter().try_for_each(check::plan)
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<PlanApplied> {
        let mut check = PlanCheck::new(entry.view);
        let mut results = Vec::with_capacity(self.plans.len());
        for plan in self.plans {
            if plan.place.iter().any(|alloc| alloc.id.len() != 16) {
                return Ok(Err(refuse(500, "an allocation's id has sixteen bytes")));
            }
            if plan.deployment.as_ref().is_some_and(|deployment| deployment.id.len() != 16) {
                return Ok(Err(refuse(500, "a deployment's id has sixteen bytes")));
            }
            results.push(match check_and_apply(entry, &mut check, plan) {
                Ok(result) => result,
                // Nothing of this plan has been written, and the other plans are applied.
                Err(corrupt) if corrupt.is_row() => {
                    PlanResult { unreadable: corrupt.to_string(), ..PlanResult::default() }
                }
                Err(corrupt) => return Err(corrupt),
            });
        }
        Ok(Ok(PlanApplied { index: entry.index, results }))
    }
}

impl AnswerMessage for PlanApplied {
    const NUMBER: u32 = 5;
}

/// Applies the part of a plan that fits. Reads every row it needs before it counts or writes anything.
fn check_and_apply(
    entry: &mut Entry<'_, '_>,
    check: &mut PlanCheck<'_>,
    mut plan: Plan,
) -> Result<PlanResult, Corrupt> {
    take_out_placed(entry.reader(), &mut plan)?;
    if let Some(refused) = nodes_of_void(entry.reader(), &plan)? {
        return Ok(PlanResult { refused_nodes: refused.into_iter().collect(), ..PlanResult::default() });
    }
    let reader = entry.reader();
    let touched = touched_allocs(&plan, &mut |id| read::alloc(reader, id))?;
    let mut previous = Vec::new();
    for alloc in plan.place.iter().filter(|alloc| !alloc.previous_allocation.is_empty()) {
        // The plan stops most previous allocations, so `touched` has them already.
        if !touched.contains_key(&alloc.previous_allocation) {
            previous.extend(read::alloc(reader, &alloc.previous_allocation)?);
        }
    }
    let allocs = touched.values().chain(&previous).chain(&plan.place);
    let jobs: BTreeSet<(&str, &str)> = allocs.map(|alloc| (&*alloc.namespace, &*alloc.job_id)).collect();
    for (namespace, job_id) in jobs {
        read::job_summary(reader, namespace, job_id)?;
    }
    let mut deployments = PlanDeployments::default();
    deployments.load(entry, &plan)?;
    let refused = check.check(&plan, &mut |id| touched.get(id).cloned());
    apply_plan(entry, plan, &refused, deployments)
}

/// Removes placements that already exist because the plan was proposed twice.
fn take_out_placed(reader: &dyn Reader, plan: &mut Plan) -> Result<(), Corrupt> {
    let mut seen = BTreeSet::new();
    for alloc in std::mem::take(&mut plan.place) {
        if seen.insert(alloc.id.clone()) && read::alloc(reader, &alloc.id)?.is_none() {
            plan.place.push(alloc);
        }
    }
    Ok(())
}

/// Returns the nodes of the plan if one of its job specifications was deleted after the plan was made (the job was
/// purged or changed many times): such an allocation would have no specification. Returns `None` if all exist.
fn nodes_of_void(reader: &dyn Reader, plan: &Plan) -> Result<Option<BTreeSet<Vec<u8>>>, Corrupt> {
    let mut nodes = BTreeSet::new();
    let mut specs = BTreeSet::new();
    for alloc in &plan.place {
        nodes.insert(alloc.node_id.clone());
        specs.insert((
            alloc.namespace.clone(),
            alloc.job_id.clone(),
            alloc.job_create_index,
            alloc.job_version,
        ));
    }
    for update in &plan.update {
        let Some(alloc) = read::alloc(reader, &update.alloc_id)? else { continue };
        nodes.insert(alloc.node_id);
        specs.insert((alloc.namespace, alloc.job_id, alloc.job_create_index, update.job_version));
    }
    for (namespace, job_id, create_index, version) in specs {
        if read::job_spec(reader, &namespace, &job_id, create_index, version)?.is_none() {
            return Ok(Some(nodes));
        }
    }
    Ok(None)
}

/// Writes the part of a plan that fits: everything on nodes that are not `refused`.
fn apply_plan(
    entry: &mut Entry<'_, '_>,
    plan: Plan,
    refused: &BTreeSet<Vec<u8>>,
    deployments: PlanDeployments,
) -> Result<PlanResult, Corrupt> {
    let mut effect = Effect { entry, refused, deployments, placed: 0, changed: 0 };
    // A deployment begins even if its placements are refused, because they are retried as part of it. An
    // all-at-once plan with a refused node has no effect at all.
    if refused.is_empty() || !plan.all_at_once {
        effect.change_deployments(plan.deployment, &plan.deployment_updates)?;
    }
    plan.stop.iter().try_for_each(|stop| effect.stop(stop))?;
    plan.update.into_iter().try_for_each(|update| effect.update(update))?;
    plan.place.into_iter().try_for_each(|alloc| effect.place(alloc))?;
    Ok(effect.finish())
}

/// A checked plan while it is written.
struct Effect<'e, 't, 'b> {
    entry: &'e mut Entry<'t, 'b>,
    /// Nodes whose part of the plan does not fit: none of it is written, neither stops nor placements.
    refused: &'e BTreeSet<Vec<u8>>,
    deployments: PlanDeployments,
    placed: u64,
    changed: u64,
}

impl Effect<'_, '_, '_> {
    fn change_deployments(
        &mut self,
        begun: Option<Deployment>,
        updates: &[DeploymentUpdate],
    ) -> Result<(), Corrupt> {
        updates.iter().try_for_each(|update| self.deployments.update(self.entry, update))?;
        begun.map_or(Ok(()), |deployment| self.deployments.begin(self.entry, deployment))
    }

    fn stop(&mut self, stop: &PlanStop) -> Result<(), Corrupt> {
        let Some(old) = self.existing(&stop.alloc_id)? else { return Ok(()) };
        let mut new = old.clone();
        new.set_desired_status(stop.desired_status());
        new.desired_description.clone_from(&stop.desired_description);
        // A final status that the node reported while the plan was under way takes precedence.
        if stop.client_status != 0 && !is_client_terminal(old.client_status()) {
            new.set_client_status(stop.client_status());
        }
        if !stop.followup_eval_id.is_empty() {
            new.followup_eval_id.clone_from(&stop.followup_eval_id);
        }
        self.write_change(old, new)
    }

    fn update(&mut self, update: PlanUpdate) -> Result<(), Corrupt> {
        let Some(old) = self.existing(&update.alloc_id)? else { return Ok(()) };
        let mut new = old.clone();
        new.job_version = update.job_version;
        new.eval_id = update.eval_id;
        if !update.deployment_id.is_empty() && update.deployment_id != old.deployment_id {
            self.deployments.place(self.entry, &update.deployment_id, &old.task_group)?;
            new.deployment_id = update.deployment_id;
        }
        if update.resources.is_some() {
            new.resources = update.resources;
        }
        self.write_change(old, new)
    }

    fn place(&mut self, mut alloc: Allocation) -> Result<(), Corrupt> {
        if self.refused.contains(&alloc.node_id) {
            return Ok(());
        }
        self.link_to_previous(&mut alloc)?;
        self.deployments.place(self.entry, &alloc.deployment_id, &alloc.task_group)?;
        alloc.alloc_modify_index = self.entry.index;
        self.entry.put_alloc(None, alloc)?;
        self.placed += 1;
        Ok(())
    }

    /// Makes the allocation that `alloc` replaces, if any, name it as its successor.
    fn link_to_previous(&mut self, alloc: &mut Allocation) -> Result<(), Corrupt> {
        if alloc.previous_allocation.is_empty() {
            return Ok(());
        }
        let previous = read::alloc(self.entry.reader(), &alloc.previous_allocation)?;
        let Some(previous) = previous else { return Ok(()) };
        if previous.client_status() == ClientStatus::Failed {
            alloc.reschedule_events = reschedule_events(&previous, self.entry.time_ns);
        }
        let mut replaced = previous.clone();
        replaced.next_allocation.clone_from(&alloc.id);
        self.entry.put_alloc(Some(previous), replaced)
    }

    /// Returns an existing allocation unless its node is refused.
    fn existing(&self, id: &[u8]) -> Result<Option<Allocation>, Corrupt> {
        let alloc = read::alloc(self.entry.reader(), id)?;
        Ok(alloc.filter(|alloc| !self.refused.contains(&alloc.node_id)))
    }

    fn write_change(&mut self, old: Allocation, mut new: Allocation) -> Result<(), Corrupt> {
        new.alloc_modify_index = self.entry.index;
        self.entry.put_alloc(Some(old), new)?;
        self.changed += 1;
        Ok(())
    }

    fn finish(self) -> PlanResult {
        let Self { entry, refused, deployments, placed, changed } = self;
        deployments.finish(entry);
        let refused_nodes = refused.iter().cloned().collect();
        PlanResult { refused_nodes, placed, changed, ..PlanResult::default() }
    }
}

/// Returns the reschedule history for the replacement of a failed allocation.
fn reschedule_events(previous: &Allocation, time_ns: i64) -> Vec<RescheduleEvent> {
    let event = RescheduleEvent {
        time_ns,
        previous_alloc_id: previous.id.clone(),
        previous_node_id: previous.node_id.clone(),
        delay_ns: 0,
    };
    let mut events = previous.reschedule_events.clone();
    events.push(event);
    let surplus = events.len().saturating_sub(RESCHEDULE_EVENTS_KEPT_MAX);
    events.split_off(surplus)
}
