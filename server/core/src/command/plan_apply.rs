//! Command 20, since 0.1: plans are applied, each node's part only where it still fits.

use std::collections::BTreeSet;

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Plan, PlanApplied, PlanApply, PlanResult};

use super::Step;
use super::entry::Entry;
use crate::scheduler::{ClusterView, PlanCheck};
use crate::state::{Corrupt, read};

pub(super) fn apply(entry: &mut Entry<'_, '_>, view: &ClusterView, command: PlanApply) -> Step {
    let mut check = PlanCheck::new(view);
    let mut results = Vec::with_capacity(command.plans.len());
    for plan in command.plans {
        let refused: BTreeSet<Vec<u8>> = {
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
            refused
        };
        results.push(apply_plan(entry, plan, &refused)?);
    }
    Ok(Ok(Answer::PlanApplied(PlanApplied { index: entry.index, results })))
}

fn apply_plan(entry: &mut Entry<'_, '_>, plan: Plan, refused: &BTreeSet<Vec<u8>>) -> Result<PlanResult, Corrupt> {
    for stop in plan.stop {
        let Some(old) = read::alloc(entry.reader(), &stop.alloc_id)? else { continue };
        let mut new = old.clone();
        new.set_desired_status(stop.desired_status());
        new.desired_description.clone_from(&stop.desired_description);
        if stop.client_status != 0 {
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
