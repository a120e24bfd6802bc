//! Evaluations that schedulers and the leader write in addition to the one being decided: blocked, follow-up,
//! cancelled and failed ones, with Nomad's descriptions.

use ordu_proto::state::{EvalStatus, Evaluation};

use super::budget::SCHEDULE_STEPS_MAX;
use super::constraint::uuid_text;
use super::feasible::Eligibility;
use crate::job::JobKind;
use crate::limits::{PLAN_WHOLE_BYTES_MAX, PLAN_WHOLE_CHANGES_MAX};

/// `triggered_by` of an evaluation that waits for free capacity.
pub const TRIGGER_QUEUED_ALLOCS: &str = "queued-allocs";
/// `triggered_by` of an evaluation that is blocked because its plans were refused too often.
pub const TRIGGER_MAX_PLANS: &str = "max-plan-attempts";
/// `triggered_by` of the follow-up of an evaluation that reached the delivery limit.
pub const TRIGGER_FAILED_FOLLOW_UP: &str = "failed-follow-up";

/// Returns whether an evaluation with this status still has to be decided.
pub fn is_open(status: EvalStatus) -> bool {
    matches!(status, EvalStatus::Pending | EvalStatus::Blocked)
}

/// Returns how many plans of one evaluation may be refused in part, without progress, before the scheduler gives up.
pub fn plan_attempts_max(kind: Option<JobKind>) -> u32 {
    if kind == Some(JobKind::Batch) { 2 } else { 5 }
}

/// Counts the plan attempts of one evaluation.
#[derive(Clone, Copy, Debug)]
pub struct PlanAttempts {
    made: u32,
    max: u32,
}

impl PlanAttempts {
    /// Starts counting for an evaluation of this job type.
    pub fn new(kind: Option<JobKind>) -> PlanAttempts {
        PlanAttempts { made: 0, max: plan_attempts_max(kind) }
    }

    /// Records a partly refused plan and returns whether another attempt is allowed. A plan that changed anything
    /// (`progress`) restarts the count.
    pub fn may_retry(&mut self, progress: bool) -> bool {
        if progress {
            self.made = 0;
        }
        self.made += 1;
        self.made < self.max
    }

    /// Returns the number of allowed attempts.
    pub fn max(&self) -> u32 {
        self.max
    }
}

/// Returns a blocked evaluation for what `eval` could not place.
pub fn blocked_for_room(eval: &Evaluation, eligibility: &Eligibility, id: [u8; 16]) -> Evaluation {
    let mut blocked = successor(eval, id, TRIGGER_QUEUED_ALLOCS);
    blocked.status = EvalStatus::Blocked.into();
    blocked.status_description = "created to place remaining allocations".to_owned();
    blocked.class_eligibility.clone_from(&eligibility.classes);
    blocked.escaped_computed_class = eligibility.escaped;
    blocked
}

/// Ends an evaluation whose plans were refused too often: returns the failed evaluation, and a blocked one that is
/// tried again when something changes (or after a minute, see `BlockedEvals::unblock_refused_plans`).
pub fn attempts_exhausted(
    eval: &Evaluation,
    eligibility: &Eligibility,
    attempts_max: u32,
    id: [u8; 16],
) -> (Evaluation, Evaluation) {
    let mut blocked = blocked_for_room(eval, eligibility, id);
    TRIGGER_MAX_PLANS.clone_into(&mut blocked.triggered_by);
    blocked.status_description = "created due to placement conflicts".to_owned();
    let mut failed = eval.clone();
    failed.status = EvalStatus::Failed.into();
    failed.status_description = format!("maximum attempts reached ({attempts_max})");
    failed.blocked_eval.clone_from(&blocked.id);
    (failed, blocked)
}

/// Fails an evaluation whose plan must take effect completely and is too large for that.
pub fn whole_plan_too_large(eval: &Evaluation, bytes: usize, changes: usize) -> Evaluation {
    let mut failed = eval.clone();
    undone(&mut failed);
    failed.status_description = format!(
        "the plan of a job that is placed all at once may have {PLAN_WHOLE_BYTES_MAX} bytes and change \
         {PLAN_WHOLE_CHANGES_MAX} allocations, and has {bytes} and changes {changes}: give the job fewer \
         allocations, or set AllAtOnce to false"
    );
    failed
}

/// Fails an evaluation that has exceeded its budget (see `SCHEDULE_STEPS_MAX`). It is not
/// retried, because it would cost as much again.
pub(crate) fn too_much_work(eval: &Evaluation) -> Evaluation {
    let mut failed = eval.clone();
    undone(&mut failed);
    failed.status_description = format!(
        "to decide it takes more than the {SCHEDULE_STEPS_MAX} steps that an evaluation may take: give the job \
         shorter or fewer constraints and affinities, fewer groups, or make several jobs of it"
    );
    failed
}

/// Marks the evaluation as failed and clears its results, because nothing of its plan is applied.
fn undone(failed: &mut Evaluation) {
    failed.status = EvalStatus::Failed.into();
    failed.failed_groups.clear();
    failed.queued_allocations.clear();
    failed.blocked_eval.clear();
    failed.deployment_id.clear();
}

/// Ends an evaluation that reached the delivery limit without being finished: returns the
/// failed evaluation, and a follow-up that is due after `wait_ns` (Nomad waits one minute plus
/// up to five more at random). Times are in nanoseconds.
pub fn delivery_limit_reached(
    eval: &Evaluation,
    delivery_limit: u32,
    wait_ns: i64,
    now_ns: i64,
    id: [u8; 16],
) -> (Evaluation, Evaluation) {
    let mut follow_up = successor(eval, id, TRIGGER_FAILED_FOLLOW_UP);
    follow_up.status = EvalStatus::Pending.into();
    follow_up.wait_ns = wait_ns;
    follow_up.wait_until_ns = now_ns.saturating_add(wait_ns);
    (follow_up.create_time_ns, follow_up.modify_time_ns) = (now_ns, now_ns);
    let mut failed = eval.clone();
    failed.status = EvalStatus::Failed.into();
    failed.status_description = format!("evaluation reached delivery limit ({delivery_limit})");
    failed.modify_time_ns = now_ns;
    failed.next_eval.clone_from(&follow_up.id);
    (failed, follow_up)
}

/// Cancels a blocked evaluation in favour of another one of its job.
pub fn cancelled_as_duplicate(eval: &Evaluation, now_ns: i64) -> Evaluation {
    cancelled(eval, format!("existing blocked evaluation exists for job {:?}", eval.job_id), now_ns)
}

/// Cancels a blocked evaluation whose work another one has completed.
pub fn cancelled_by_success(eval: &Evaluation, successful: &Evaluation, now_ns: i64) -> Evaluation {
    cancelled(eval, format!("evaluation \"{}\" successful", uuid_text(&successful.id)), now_ns)
}

/// Cancels an evaluation that waited for its turn until a newer one of its job arrived.
pub fn cancelled_as_outdated(eval: &Evaluation, now_ns: i64) -> Evaluation {
    cancelled(eval, "canceled after more recent eval was processed".to_owned(), now_ns)
}

fn cancelled(eval: &Evaluation, description: String, now_ns: i64) -> Evaluation {
    let status = EvalStatus::Canceled.into();
    Evaluation { status, status_description: description, modify_time_ns: now_ns, ..eval.clone() }
}

/// Returns a new evaluation of the same job that follows `eval`.
fn successor(eval: &Evaluation, id: [u8; 16], triggered_by: &str) -> Evaluation {
    Evaluation {
        id: id.to_vec(),
        namespace: eval.namespace.clone(),
        job_id: eval.job_id.clone(),
        priority: eval.priority,
        r#type: eval.r#type.clone(),
        triggered_by: triggered_by.to_owned(),
        previous_eval: eval.id.clone(),
        job_modify_index: eval.job_modify_index,
        snapshot_index: eval.snapshot_index,
        create_time_ns: eval.modify_time_ns,
        modify_time_ns: eval.modify_time_ns,
        ..Evaluation::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval() -> Evaluation {
        Evaluation {
            id: vec![0xab; 16],
            namespace: "default".into(),
            job_id: "web".into(),
            priority: 70,
            r#type: "service".into(),
            triggered_by: "job-register".into(),
            status: EvalStatus::Pending.into(),
            job_modify_index: 8,
            snapshot_index: 9,
            modify_time_ns: 100,
            ..Evaluation::default()
        }
    }

    #[test]
    fn plans_may_be_refused_so_often_and_progress_starts_the_count_anew() {
        for (kind, max) in [(JobKind::Service, 5), (JobKind::Batch, 2)] {
            let new = || PlanAttempts::new(Some(kind));
            let mut attempts = new();
            let refusals = (1..).take_while(|_| attempts.may_retry(false)).count() + 1;
            assert_eq!(refusals, max, "{kind:?}");
            assert_eq!(new().max() as usize, max);
            let mut attempts = new();
            assert!((0..100).all(|_| attempts.may_retry(true)), "{kind:?}");
        }
    }

    #[test]
    fn exhausted_attempts_fail_and_leave_a_blocked_evaluation() {
        let eligibility = Eligibility { classes: [("c".into(), true)].into(), escaped: false };
        let (failed, blocked) = attempts_exhausted(&eval(), &eligibility, 5, [1; 16]);
        assert_eq!(
            (failed.status(), failed.status_description.as_str()),
            (EvalStatus::Failed, "maximum attempts reached (5)")
        );
        assert_eq!((&failed.blocked_eval, &blocked.previous_eval), (&blocked.id, &failed.id));
        assert_eq!(
            (blocked.status(), blocked.triggered_by.as_str()),
            (EvalStatus::Blocked, "max-plan-attempts")
        );
        assert_eq!(blocked.status_description, "created due to placement conflicts");
        assert_eq!(blocked.class_eligibility, eligibility.classes);
        assert_eq!((blocked.priority, blocked.job_modify_index, blocked.snapshot_index), (70, 8, 9));
    }

    #[test]
    fn an_evaluation_delivered_too_often_is_taken_up_later() {
        let (failed, follow_up) = delivery_limit_reached(&eval(), 3, 60, 1000, [1; 16]);
        assert_eq!(failed.status_description, "evaluation reached delivery limit (3)");
        assert_eq!((failed.status(), &failed.next_eval), (EvalStatus::Failed, &follow_up.id));
        assert_eq!(
            (follow_up.status(), follow_up.triggered_by.as_str()),
            (EvalStatus::Pending, "failed-follow-up")
        );
        assert_eq!((follow_up.wait_ns, follow_up.wait_until_ns, follow_up.create_time_ns), (60, 1060, 1000));
    }

    #[test]
    fn a_plan_that_is_too_large_to_take_effect_whole_fails_its_evaluation() {
        let decided = Evaluation {
            status: EvalStatus::Complete.into(),
            blocked_eval: vec![1; 16],
            queued_allocations: [("g".into(), 0)].into(),
            ..eval()
        };
        let failed = whole_plan_too_large(&decided, 20, 10);
        assert_eq!(failed.status(), EvalStatus::Failed);
        assert!(
            failed.status_description.contains("has 20 and changes 10:"),
            "{}",
            failed.status_description
        );
        assert!(failed.blocked_eval.is_empty() && failed.queued_allocations.is_empty());
    }

    #[test]
    fn cancelled_evaluations_say_what_they_gave_way_to() {
        let successful = Evaluation { id: vec![0x11; 16], ..eval() };
        let cases = [
            (cancelled_as_duplicate(&eval(), 7), "existing blocked evaluation exists for job \"web\""),
            (
                cancelled_by_success(&eval(), &successful, 7),
                "evaluation \"11111111-1111-1111-1111-111111111111\" successful",
            ),
            (cancelled_as_outdated(&eval(), 7), "canceled after more recent eval was processed"),
        ];
        for (cancelled, description) in cases {
            assert_eq!(
                (cancelled.status(), cancelled.status_description.as_str()),
                (EvalStatus::Canceled, description)
            );
            assert_eq!(cancelled.modify_time_ns, 7);
        }
    }
}
