//! One evaluation, decided: from a job, its allocations and a view to a plan and the evaluation's end.

use ordu_proto::command::{Plan, PlanStop, PlanUpdate};
use ordu_proto::state::{Allocation, ClientStatus, DesiredStatus, EvalStatus, Evaluation, Job};

use super::evaluations;
use super::feasible::{Eligibility, Feasibility};
use super::job::ScheduledJob;
use super::place::{Ids, Occupancy, Placer};
use super::reconcile::{Reconciled, Stop, StopReason, VersionLookup, Wanted, stop_all};
use super::view::{ClusterView, Usage, ViewSnapshot};

/// What an evaluation is decided on. All of it is from one moment, `snapshot_index`.
pub struct ScheduleInput<'a> {
    /// The evaluation, as the broker handed it out.
    pub eval: &'a Evaluation,
    /// The job's row; `None` where the job is purged.
    pub job_row: Option<&'a Job>,
    /// The job's version that the row stands for, read; `None` where the job is purged.
    pub job: Option<&'a ScheduledJob>,
    /// Finds older versions of the job by (create index, version).
    pub versions: &'a VersionLookup<'a>,
    /// All allocations of the job, terminal ones and those of earlier jobs of its name among them.
    pub allocs: &'a [Allocation],
    /// The cluster. The plan's stops and placements are in it afterwards, so that a worker may decide the
    /// next evaluation on it as if this plan had been applied.
    pub view: &'a mut ViewSnapshot,
    /// The state index that all of this is from.
    pub snapshot_index: u64,
    /// The time, nanoseconds since 1970.
    pub now_ns: i64,
}

/// How an evaluation ended, if its plan is applied whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is complete; what could not be placed waits in `Decision.blocked`.
    Complete,
    /// It was a blocked evaluation and stays one: there is still not room for all.
    Blocked,
    /// It cannot be decided; its description says why.
    Failed,
}

/// What the scheduler decided.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What is to be changed; perhaps nothing (see `plan_is_empty`).
    pub plan: Plan,
    /// The evaluation as it ends if the plan is applied whole.
    pub eval: Evaluation,
    /// A new evaluation that waits for room for what could not be placed.
    pub blocked: Option<Evaluation>,
    /// How it ends.
    pub ending: Ending,
    /// What was found out about classes of nodes.
    pub eligibility: Eligibility,
}

impl Decision {
    /// Whether there is nothing to apply.
    pub fn plan_is_empty(&self) -> bool {
        self.plan.place.is_empty() && self.plan.stop.is_empty() && self.plan.update.is_empty()
    }
}

/// Decides an evaluation. Equal inputs and equal ids give equal decisions, on every server.
///
/// When the plan is refused in part, the caller takes a newer view and newer rows and decides again, as
/// often as `PlanAttempts` allows; then `evaluations::attempts_exhausted` ends it.
pub fn schedule(input: ScheduleInput<'_>, ids: &mut Ids<'_>) -> Decision {
    let ScheduleInput { eval, job_row, job, versions, allocs, view, snapshot_index, now_ns } = input;
    let mut eval = Evaluation { snapshot_index, modify_time_ns: now_ns, ..eval.clone() };
    let mut plan = Plan {
        eval_id: eval.id.clone(),
        namespace: eval.namespace.clone(),
        job_id: eval.job_id.clone(),
        priority: eval.priority,
        snapshot_index,
        ..Plan::default()
    };
    if !matches!(eval.r#type.as_str(), "service" | "batch") {
        eval.status = EvalStatus::Failed.into();
        eval.status_description = format!("there is no scheduler for jobs of type {:?}", eval.r#type);
        return Decision {
            plan,
            eval,
            blocked: None,
            ending: Ending::Failed,
            eligibility: Eligibility::default(),
        };
    }
    eval.queued_allocations.clear();
    eval.failed_groups.clear();
    let runs = |row: &Job| !row.stop && !row.periodic && !row.parameterized;
    let eligibility = match job.filter(|_| job_row.is_some_and(runs)) {
        None => {
            write_stops(&stop_all(allocs, view), view, &mut plan);
            Eligibility::default()
        }
        Some(job) => decide(job, versions, allocs, view, &mut plan, &mut eval, ids),
    };
    end(plan, eval, eligibility, ids)
}

/// Reconciles and places; the evaluation takes the counts.
fn decide(
    job: &ScheduledJob,
    versions: &VersionLookup<'_>,
    allocs: &[Allocation],
    view: &mut ClusterView,
    plan: &mut Plan,
    eval: &mut Evaluation,
    ids: &mut Ids<'_>,
) -> Eligibility {
    plan.all_at_once = job.all_at_once;
    let mut feasibility = Feasibility::new(job, view);
    let reconciled = Wanted { job, view, versions }.reconcile(allocs, &mut feasibility);
    // What stops makes room for what is placed.
    write_stops(&reconciled, view, plan);
    for alloc in reconciled.groups.iter().flat_map(|work| &work.in_place) {
        plan.update.push(PlanUpdate {
            alloc_id: alloc.id.clone(),
            job_version: job.version,
            eval_id: eval.id.clone(),
            // An update in place never changes what the allocation takes.
            resources: None,
        });
    }
    let occupancy = Occupancy::new(job);
    let mut placer = Placer {
        job,
        eval_id: &eval.id,
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
    feasibility.eligibility(view)
}

fn end(plan: Plan, mut eval: Evaluation, eligibility: Eligibility, ids: &mut Ids<'_>) -> Decision {
    if eval.failed_groups.is_empty() {
        eval.status = EvalStatus::Complete.into();
        eval.status_description.clear();
        return Decision { plan, eval, blocked: None, ending: Ending::Complete, eligibility };
    }
    if eval.status() == EvalStatus::Blocked {
        eval.class_eligibility.clone_from(&eligibility.classes);
        eval.escaped_computed_class = eligibility.escaped;
        return Decision { plan, eval, blocked: None, ending: Ending::Blocked, eligibility };
    }
    let blocked = evaluations::blocked_for_room(&eval, &eligibility, ids());
    eval.status = EvalStatus::Complete.into();
    eval.status_description.clear();
    eval.blocked_eval.clone_from(&blocked.id);
    Decision { plan, eval, blocked: Some(blocked), ending: Ending::Complete, eligibility }
}

fn write_stops(reconciled: &Reconciled<'_>, view: &mut ClusterView, plan: &mut Plan) {
    for stop in &reconciled.stops {
        if let (Some(usage), Some(slot)) = (Usage::of_live(stop.alloc), view.slot(&stop.alloc.node_id)) {
            view.give_back(slot, &usage);
        }
        plan.stop.push(plan_stop(stop));
    }
}

/// The plan's words for a stop, those that Nomad's clients know.
pub(crate) fn plan_stop(stop: &Stop<'_>) -> PlanStop {
    let (description, client_status) = match stop.reason {
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
mod tests;
