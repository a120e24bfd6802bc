//! Command 18, since 0.1: a fresh evaluation of a job as it stands.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{JobEvaluate, JobEvaluated};
use ordu_proto::state::{Allocation, ClientStatus, Job};

use super::entry::{Entry, new_eval};
use super::{Step, refuse};
use crate::state::{Corrupt, Id, read};

pub(super) fn apply(entry: &mut Entry<'_, '_>, command: JobEvaluate) -> Step {
    let Some(job) = read::job(entry.reader(), &command.namespace, &command.job_id)? else {
        return Ok(Err(refuse(500, "job not found")));
    };
    if job.periodic {
        return Ok(Err(refuse(500, "can't evaluate periodic job")));
    }
    if job.parameterized {
        return Ok(Err(refuse(500, "can't evaluate parameterized job")));
    }
    let Ok(id) = Id::try_from(command.eval_id.as_slice()) else {
        return Ok(Err(refuse(500, "an evaluation's id has sixteen bytes")));
    };
    if command.force_reschedule {
        place_failed_anew(entry, &job)?;
    }
    entry.put_eval(new_eval(id, &job, "job-register"))?;
    Ok(Ok(Answer::JobEvaluated(JobEvaluated {
        index: entry.index,
        eval_id: command.eval_id,
        eval_create_index: entry.index,
        job_modify_index: job.job_modify_index,
    })))
}

/// Marks the failed allocations of the groups that may be rescheduled at all.
fn place_failed_anew(entry: &mut Entry<'_, '_>, job: &Job) -> Result<(), Corrupt> {
    let spec = read::spec_of(entry.reader(), job)?;
    let facts = read::spec_facts(entry.reader(), job, &spec)?;
    let reschedules = |name: &str| {
        let policy = facts.task_groups.iter().find(|group| group.name == name)?.reschedule_policy.as_ref()?;
        Some(policy.unlimited == Some(true) || policy.attempts.is_some_and(|attempts| attempts > 0))
    };
    for alloc in read::allocs_of_job(entry.reader(), &job.namespace, &job.id)? {
        let is_failed = alloc.client_status() == ClientStatus::Failed
            && alloc.next_allocation.is_empty()
            && alloc.job_create_index == job.create_index;
        if is_failed && !alloc.force_reschedule && reschedules(&alloc.task_group) == Some(true) {
            let marked =
                Allocation { force_reschedule: true, alloc_modify_index: entry.index, ..alloc.clone() };
            entry.put_alloc(Some(alloc), marked)?;
        }
    }
    Ok(())
}
