//! Derives a job's status and summary from its evaluations and allocations.

use ordu_proto::state::{
    Allocation, ClientStatus, EvalStatus, Evaluation, Job, JobSummary, TaskGroupSummary,
};

use crate::job::JobKind;
pub(super) use crate::scheduler::{is_last_word as is_client_terminal, is_terminal};

/// Returns a job's status by the rules of Nomad 1.0. Periodic, parameterized and system jobs are running until they are
/// stopped. Other jobs are running while an allocation is live, else pending while an evaluation is open, else dead.
pub(super) fn status(job: &Job, summary: &JobSummary) -> &'static str {
    if job.stop {
        return "dead";
    }
    if job.periodic || job.parameterized || JobKind::parse(&job.r#type) == Some(JobKind::System) {
        return "running";
    }
    if summary.live_allocations > 0 {
        "running"
    } else if summary.open_evaluations > 0 {
        "pending"
    } else {
        "dead"
    }
}

/// Applies a change of an allocation to the summary's counts. `Complete` and `Failed` never decrease.
pub(super) fn count_alloc(summary: &mut JobSummary, old: Option<&Allocation>, new: &Allocation) {
    let was_live = old.is_some_and(|old| !is_terminal(old));
    summary.live_allocations += i64::from(!is_terminal(new)) - i64::from(was_live);
    // Ignore allocations of a former job with the same id.
    if summary.create_index != new.job_create_index {
        return;
    }
    let Some(group) = summary.groups.get_mut(&new.task_group) else { return };
    let before = old.map(Allocation::client_status);
    let now = new.client_status();
    if before == Some(now) {
        return;
    }
    if let Some(before) = before
        && let Some(count) = count_of(group, before)
        && matches!(before, ClientStatus::Pending | ClientStatus::Running | ClientStatus::Lost)
    {
        *count = (*count - 1).max(0);
    }
    if let Some(count) = count_of(group, now) {
        *count += 1;
    }
    if before.is_none() {
        group.queued = (group.queued - 1).max(0);
    }
}

/// Applies a child's change of status to its parent's counts (`None`: the child does not exist).
pub(super) fn count_child(parent: &mut JobSummary, before: Option<&str>, now: Option<&str>) {
    for (status, change) in [(before, -1), (now, 1)] {
        let count = match status {
            Some("pending") => &mut parent.children_pending,
            Some("running") => &mut parent.children_running,
            Some("dead") => &mut parent.children_dead,
            _ => continue,
        };
        // A recreated parent has not counted the children of its predecessor, so a count could become negative.
        *count = (*count + change).max(0);
    }
}

/// Applies an evaluation's queued counts. A cancelled evaluation is ignored: it has not looked at the job.
pub(super) fn count_queued(summary: &mut JobSummary, eval: &Evaluation) {
    if eval.status() == EvalStatus::Canceled {
        return;
    }
    for (name, queued) in &eval.queued_allocations {
        if let Some(group) = summary.groups.get_mut(name) {
            group.queued = (*queued).max(0);
        }
    }
}

fn count_of(group: &mut TaskGroupSummary, status: ClientStatus) -> Option<&mut i64> {
    match status {
        ClientStatus::Pending => Some(&mut group.starting),
        ClientStatus::Running => Some(&mut group.running),
        ClientStatus::Complete => Some(&mut group.complete),
        ClientStatus::Failed => Some(&mut group.failed),
        ClientStatus::Lost => Some(&mut group.lost),
        ClientStatus::Unspecified => None,
    }
}

/// Whether a summary counts nothing any more: its job is purged, and has left nothing behind. `counts_orphans`: whether
/// children that are left behind count.
pub(super) fn is_over(summary: &JobSummary, counts_orphans: bool) -> bool {
    let JobSummary { children_pending, children_running, children_dead, .. } = summary;
    let children = children_pending + children_running + children_dead;
    summary.purged
        && summary.live_allocations == 0
        && summary.open_evaluations == 0
        && (children == 0 || !counts_orphans)
}

/// Returns the part of a summary that clients see, or `None` if they see no summary.
pub(super) fn shown(summary: &JobSummary) -> Option<JobSummary> {
    (!summary.purged).then(|| JobSummary {
        modify_index: 0,
        live_allocations: 0,
        open_evaluations: 0,
        ..summary.clone()
    })
}
