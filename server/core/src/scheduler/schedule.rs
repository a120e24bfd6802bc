//! Decides one evaluation: turns a job, its allocations and a view into a plan and the final evaluation.

use std::collections::BTreeMap;

use ordu_proto::api::job::DesiredUpdates;
use ordu_proto::command::{Plan, PlanStop, PlanUpdate};
use ordu_proto::state::{ClientStatus, DesiredStatus, EvalStatus, Evaluation, Job};

use super::annotate::desired_updates;
use super::deployment::{self, Rollout};
use super::evaluations;
use super::feasible::{Eligibility, Feasibility};
use super::input::ScheduleInput;
use super::job::ScheduledJob;
use super::place::{Ids, Occupancy, Placer};
use super::reconcile::{Pace, Reconciled, Stop, StopReason, Wanted, stop_all};
use super::view::{ClusterView, Usage};
use crate::job::JobKind;

/// How an evaluation ends if its plan is applied completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The evaluation is complete; `Decision.blocked` waits for what could not be placed.
    Complete,
    /// The evaluation was blocked and stays blocked: there is still not room for all allocations.
    Blocked,
    /// The evaluation cannot be decided; its description tells the reason.
    Failed,
    /// The evaluation failed because it exceeded its budget; its description says so.
    OverBudget,
}

/// The scheduler's decision on an evaluation.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The changes to make, possibly none (see `plan_is_empty`).
    pub plan: Plan,
    /// The evaluation as it ends if the plan is applied completely.
    pub eval: Evaluation,
    /// A new evaluation that waits for room for what could not be placed.
    pub blocked: Option<Evaluation>,
    /// How the evaluation ends.
    pub ending: Ending,
    /// Feasibility results per node class.
    pub eligibility: Eligibility,
    /// Counts of changes for each group.
    pub desired_updates: BTreeMap<String, DesiredUpdates>,
}

impl Decision {
    /// Returns whether there is nothing to apply.
    pub fn plan_is_empty(&self) -> bool {
        plan_is_empty(&self.plan)
    }

    /// Returns whether nothing needs to be written: the evaluation stays blocked, for the reasons that its stored row
    /// (`written`) already lists.
    pub fn stays_as_written(&self, written: &Evaluation) -> bool {
        self.ending == Ending::Blocked
            && self.plan_is_empty()
            && self.eval.failed_groups == written.failed_groups
            && self.eval.queued_allocations == written.queued_allocations
    }
}

/// Returns whether a plan changes neither allocations nor deployments.
pub fn plan_is_empty(plan: &Plan) -> bool {
    plan.place.is_empty()
        && plan.stop.is_empty()
        && plan.update.is_empty()
        && plan.deployment.is_none()
        && plan.deployment_updates.is_empty()
}

/// Results of an evaluation besides its plan.
#[derive(Default)]
struct Findings {
    eligibility: Eligibility,
    desired_updates: BTreeMap<String, DesiredUpdates>,
    /// Whether the evaluation's budget was used up before everything was checked.
    is_over_budget: bool,
}

/// Decides an evaluation. Equal inputs and equal ids give equal decisions on every server.
///
/// If the plan is partly refused, the caller reads newer state and decides again, as often as `PlanAttempts` allows.
/// After that, `evaluations::attempts_exhausted` ends the evaluation.
pub fn schedule(mut input: ScheduleInput<'_>, ids: &mut Ids<'_>) -> Decision {
    let ScheduleInput { snapshot_index, now_ns, .. } = input;
    let mut eval = Evaluation { snapshot_index, modify_time_ns: now_ns, ..input.eval.clone() };
    let mut plan = empty_plan(&eval);
    let kind = JobKind::parse(&eval.r#type);
    if !matches!(kind, Some(JobKind::Service | JobKind::Batch)) {
        eval.status = EvalStatus::Failed.into();
        eval.status_description = format!("there is no scheduler for jobs of type {:?}", eval.r#type);
        return decision(plan, eval, None, Ending::Failed, Findings::default());
    }
    eval.queued_allocations.clear();
    eval.failed_groups.clear();
    let wanted = input.wanted();
    let latest = input.deployment.filter(|_| kind == Some(JobKind::Service));
    let rollout = Rollout::new(latest, wanted.map(|(_, job)| job));
    plan.deployment_updates.extend(rollout.ended(wanted.is_none()));
    let findings = match wanted {
        None => {
            let reconciled = stop_all(input.allocs, input.view);
            write_stops(&reconciled, input.view, &mut plan);
            let desired_updates = desired_updates(input.job, &reconciled);
            Findings { desired_updates, ..Findings::default() }
        }
        Some((row, job)) => decide(&mut input, (row, job), &rollout, &mut plan, &mut eval, ids),
    };
    if findings.is_over_budget {
        let plan = empty_plan(&eval);
        return decision(
            plan,
            evaluations::too_much_work(&eval),
            None,
            Ending::OverBudget,
            Findings::default(),
        );
    }
    let deployment = plan.deployment.as_ref().or(latest);
    let deployment_id = deployment.map(|deployment| deployment.id.clone()).unwrap_or_default();
    end(plan, eval, deployment_id, findings, ids)
}

/// Returns a plan without changes.
fn empty_plan(eval: &Evaluation) -> Plan {
    Plan {
        eval_id: eval.id.clone(),
        namespace: eval.namespace.clone(),
        job_id: eval.job_id.clone(),
        priority: eval.priority,
        snapshot_index: eval.snapshot_index,
        ..Plan::default()
    }
}

/// Reconciles and places the job's groups. Writes the counts to the evaluation.
fn decide(
    input: &mut ScheduleInput<'_>,
    (row, job): (&Job, &ScheduledJob),
    rollout: &Rollout<'_>,
    plan: &mut Plan,
    eval: &mut Evaluation,
    ids: &mut Ids<'_>,
) -> Findings {
    let (allocs, view) = (input.allocs, &mut *input.view);
    plan.all_at_once = job.all_at_once;
    let mut feasibility = Feasibility::new(job, view);
    let pace = if input.dry_run { Pace::Rolling(rollout.current()) } else { Pace::AtOnce };
    let reconciled = Wanted { job, view, versions: input.versions, pace }.reconcile(allocs, &mut feasibility);
    plan.deployment = rollout.begin(row, job, &reconciled.groups, allocs, ids);
    let deployment = plan.deployment.clone();
    let deployment = deployment.as_ref().or_else(|| rollout.current());
    // Apply the stops first: they free capacity for the placements.
    write_stops(&reconciled, view, plan);
    for alloc in reconciled.groups.iter().flat_map(|work| &work.in_place) {
        plan.update.push(PlanUpdate {
            alloc_id: alloc.id.clone(),
            job_version: job.version,
            eval_id: eval.id.clone(),
            // An update in place never changes the allocation's resources.
            resources: None,
            deployment_id: deployment::id_for(deployment, &alloc.task_group),
        });
    }
    let occupancy = Occupancy::new(job);
    let mut placer = Placer {
        job,
        eval_id: &eval.id,
        deployment,
        view,
        feasibility: &mut feasibility,
        occupancy,
        plan,
        failed: Default::default(),
        queued: Default::default(),
    };
    placer.count_present(&reconciled.groups);
    for (index, work) in reconciled.groups.iter().enumerate() {
        placer.place_group(index, work, ids);
    }
    let Placer { failed, queued, .. } = placer;
    (eval.failed_groups, eval.queued_allocations) = (failed, queued);
    Findings {
        eligibility: feasibility.eligibility(view),
        desired_updates: desired_updates(Some(job), &reconciled),
        is_over_budget: feasibility.budget.is_spent(),
    }
}

/// Ends the evaluation. A complete one names the latest deployment of its job; one that stays blocked does not.
fn end(
    plan: Plan,
    mut eval: Evaluation,
    deployment_id: Vec<u8>,
    findings: Findings,
    ids: &mut Ids<'_>,
) -> Decision {
    let has_failed = !eval.failed_groups.is_empty();
    if has_failed && eval.status() == EvalStatus::Blocked {
        eval.class_eligibility.clone_from(&findings.eligibility.classes);
        eval.escaped_computed_class = findings.eligibility.escaped;
        return decision(plan, eval, None, Ending::Blocked, findings);
    }
    let blocked = has_failed.then(|| evaluations::blocked_for_room(&eval, &findings.eligibility, ids()));
    eval.status = EvalStatus::Complete.into();
    eval.status_description.clear();
    eval.deployment_id = deployment_id;
    if let Some(blocked) = &blocked {
        eval.blocked_eval.clone_from(&blocked.id);
    }
    decision(plan, eval, blocked, Ending::Complete, findings)
}

fn decision(
    plan: Plan,
    eval: Evaluation,
    blocked: Option<Evaluation>,
    ending: Ending,
    findings: Findings,
) -> Decision {
    let Findings { eligibility, desired_updates, .. } = findings;
    Decision { plan, eval, blocked, ending, eligibility, desired_updates }
}

fn write_stops(reconciled: &Reconciled<'_>, view: &mut ClusterView, plan: &mut Plan) {
    for stop in &reconciled.stops {
        if let (Some(usage), Some(slot)) = (Usage::of_live(stop.alloc), view.slot(&stop.alloc.node_id)) {
            view.give_back(slot, &usage);
        }
        plan.stop.push(plan_stop(stop));
    }
}

/// Builds the plan's row for a stop, with Nomad's descriptions.
pub(crate) fn plan_stop(stop: &Stop<'_>) -> PlanStop {
    let (description, client_status) = match stop.reason {
        StopReason::Rescheduled => ("alloc was rescheduled because it failed", ClientStatus::Unspecified),
        StopReason::NotNeeded => ("alloc not needed due to job update", ClientStatus::Unspecified),
        StopReason::Updating => ("alloc is being updated due to job update", ClientStatus::Unspecified),
        StopReason::Lost => ("alloc is lost since its node is down", ClientStatus::Lost),
    };
    PlanStop {
        alloc_id: stop.alloc.id.clone(),
        desired_status: DesiredStatus::Stop.into(),
        desired_description: description.to_owned(),
        client_status: client_status.into(),
        followup_eval_id: Vec::new(),
    }
}

#[cfg(test)]
mod dry_runs;
#[cfg(test)]
mod rollouts;
#[cfg(test)]
mod tests;
