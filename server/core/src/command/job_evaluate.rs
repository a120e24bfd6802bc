//! Command 18, since 0.1: a fresh evaluation of a job as it stands.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{JobEvaluate, JobEvaluated};

use super::entry::{Entry, new_eval};
use super::{Step, refuse};
use crate::state::{Id, read};

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
    entry.put_eval(new_eval(id, &job, "job-register"))?;
    Ok(Ok(Answer::JobEvaluated(JobEvaluated {
        index: entry.index,
        eval_id: command.eval_id,
        eval_create_index: entry.index,
        job_modify_index: job.job_modify_index,
    })))
}
