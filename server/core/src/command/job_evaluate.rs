//! Command 18, since 0.1: creates a new evaluation of a job as it is.

use ordu_proto::command::{JobEvaluate, JobEvaluated, Refusal};
use ordu_proto::state::{Allocation, ClientStatus, Job};

use super::check;
use super::declared::Command;
use super::entry::{Entry, new_eval};
use super::level::FIRST_LEVEL;
use super::outcome::AnswerMessage;
use super::{Step, refuse};
use crate::state::{Corrupt, Id, read};

impl Command for JobEvaluate {
    type Answer = JobEvaluated;
    const NUMBER: u32 = 18;
    const LEVEL: u32 = FIRST_LEVEL;
    const IS_NEW_WORK: bool = true;

    fn check(&self) -> Result<(), Refusal> {
        check::names([&self.namespace, &self.job_id])
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<JobEvaluated> {
        let Some(job) = read::job(entry.reader(), &self.namespace, &self.job_id)? else {
            return Ok(Err(refuse(500, "job not found")));
        };
        if job.periodic {
            return Ok(Err(refuse(500, "can't evaluate periodic job")));
        }
        if job.parameterized {
            return Ok(Err(refuse(500, "can't evaluate parameterized job")));
        }
        let Ok(id) = Id::try_from(self.eval_id.as_slice()) else {
            return Ok(Err(refuse(500, "an evaluation's id has sixteen bytes")));
        };
        if self.force_reschedule {
            place_failed_anew(entry, &job)?;
        }
        entry.put_eval(new_eval(id, &job, "job-register"))?;
        Ok(Ok(JobEvaluated {
            index: entry.index,
            eval_id: self.eval_id,
            eval_create_index: entry.index,
            job_modify_index: job.job_modify_index,
        }))
    }
}

impl AnswerMessage for JobEvaluated {
    const NUMBER: u32 = 4;
}

/// Marks failed allocations for rescheduling, in groups whose policy allows rescheduling at all.
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
