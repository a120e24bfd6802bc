//! Command 20, since 0.1: plans are applied, each node's part only where it still fits.

use std::collections::BTreeSet;

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Plan, PlanApplied, PlanApply, PlanResult};

use super::entry::Entry;
use super::job_state::is_client_terminal;
use super::{Step, refuse};
use crate::scheduler::{ClusterView, PlanCheck};
use crate::state::{Corrupt, Reader, read};

pub(super) fn apply(entry: &mut Entry<'_, '_>, view: &ClusterView, command: PlanApply) -> Step {
    let mut check = PlanCheck::new(view);
    let mut results = Vec::with_capacity(command.plans.len());
    for mut plan in command.plans {
        if plan.place.iter().any(|alloc| alloc.id.len() != 16) {
            return Ok(Err(refuse(500, "an allocation's id has sixteen bytes")));
        }
        take_out_placed(entry.reader(), &mut plan)?;
        if let Some(refused) = nodes_of_void(entry.reader(), &plan)? {
            results.push(PlanResult { refused_nodes: refused.into_iter().collect(), placed: 0 });
            continue;
        }
        let reader = entry.reader();
        let mut failed = None;
        let refused = check.check(&plan, &mut |id| match read::alloc(reader, id) {
            Ok(alloc) => alloc,
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        results.push(apply_plan(entry, plan, &refused)?);
    }
    Ok(Ok(Answer::PlanApplied(PlanApplied { index: entry.index, results })))
}

/// Placements that are there already, because a plan was proposed twice, are not counted twice.
fn take_out_placed(reader: &dyn Reader, plan: &mut Plan) -> Result<(), Corrupt> {
    let mut seen = BTreeSet::new();
    for alloc in std::mem::take(&mut plan.place) {
        if seen.insert(alloc.id.clone()) && read::alloc(reader, &alloc.id)?.is_none() {
            plan.place.push(alloc);
        }
    }
    Ok(())
}

/// The nodes of a plan that runs by a specification which is gone since it was made (the job was purged, or
/// changed many times): no one could look up what such an allocation is. `None`: all of them are there.
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

fn apply_plan(
    entry: &mut Entry<'_, '_>,
    plan: Plan,
    refused: &BTreeSet<Vec<u8>>,
) -> Result<PlanResult, Corrupt> {
    for stop in plan.stop {
        let Some(old) = read::alloc(entry.reader(), &stop.alloc_id)? else { continue };
        // A node's part is all or nothing: what was to take the place of this one does not come.
        if refused.contains(&old.node_id) {
            continue;
        }
        let mut new = old.clone();
        new.set_desired_status(stop.desired_status());
        new.desired_description.clone_from(&stop.desired_description);
        // What the node said last stands, where it came while the plan was under way.
        if stop.client_status != 0 && !is_client_terminal(old.client_status()) {
            new.set_client_status(stop.client_status());
        }
        if !stop.followup_eval_id.is_empty() {
            new.followup_eval_id.clone_from(&stop.followup_eval_id);
        }
        new.alloc_modify_index = entry.index;
        entry.put_alloc(Some(old), new)?;
    }
    for update in plan.update {
        let Some(old) = read::alloc(entry.reader(), &update.alloc_id)? else { continue };
        if refused.contains(&old.node_id) {
            continue;
        }
        let mut new = old.clone();
        new.job_version = update.job_version;
        new.eval_id = update.eval_id;
        if update.resources.is_some() {
            new.resources = update.resources;
        }
        new.alloc_modify_index = entry.index;
        entry.put_alloc(Some(old), new)?;
    }
    let mut placed = 0;
    for mut alloc in plan.place {
        if refused.contains(&alloc.node_id) {
            continue;
        }
        if !alloc.previous_allocation.is_empty()
            && let Some(previous) = read::alloc(entry.reader(), &alloc.previous_allocation)?
        {
            let mut replaced = previous.clone();
            replaced.next_allocation.clone_from(&alloc.id);
            entry.put_alloc(Some(previous), replaced)?;
        }
        alloc.alloc_modify_index = entry.index;
        entry.put_alloc(None, alloc)?;
        placed += 1;
    }
    Ok(PlanResult { refused_nodes: refused.iter().cloned().collect(), placed })
}
