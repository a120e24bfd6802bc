//! Command 17, since 0.1: a job is stopped (a new version of it), or removed whole.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{JobDeregister, JobDeregistered};
use ordu_proto::state::Job;

use super::Step;
use super::entry::{Entry, UNKNOWN_JOB_PRIORITY, new_eval};
use super::job_version::next_version;
use crate::job::JobKind;
use crate::limits::JOB_VERSIONS_KEPT_MAX;
use crate::state::{Id, read};

pub(super) fn apply(entry: &mut Entry<'_, '_>, command: JobDeregister) -> Step {
    let existing = read::job(entry.reader(), &command.namespace, &command.job_id)?;
    // An unknown job is evaluated all the same: allocations of a purged job may still have to stop, and
    // clients rely on an answer that names an evaluation.
    let job = existing.clone().unwrap_or_else(|| Job {
        namespace: command.namespace.clone(),
        id: command.job_id.clone(),
        priority: UNKNOWN_JOB_PRIORITY,
        r#type: JobKind::Service.as_str().to_owned(),
        ..Job::default()
    });
    let job_modify_index = match &existing {
        // Stopped before: nothing is written.
        Some(existing) if existing.stop && !command.purge => existing.job_modify_index,
        Some(_) => entry.index,
        None => entry.index,
    };
    let evaluated = !(job.periodic || job.parameterized);
    if let Some(existing) = existing {
        if command.purge {
            entry.remove_job(&existing)?;
        } else if !existing.stop {
            stop(entry, existing)?;
        }
    }
    let id = Id::try_from(command.eval_id.as_slice()).ok().filter(|_| evaluated);
    if let Some(id) = id {
        let mut eval = new_eval(id, &job, "job-deregister");
        eval.job_modify_index = job_modify_index;
        entry.put_eval(eval)?;
    }
    Ok(Ok(Answer::JobDeregistered(JobDeregistered {
        index: entry.index,
        eval_id: id.map(Vec::from).unwrap_or_default(),
        // Told even where nothing is evaluated.
        eval_create_index: entry.index,
        job_modify_index,
    })))
}

fn stop(entry: &mut Entry<'_, '_>, mut job: Job) -> Result<(), crate::state::Corrupt> {
    let spec = read::spec_of(entry.reader(), &job)?;
    job.version = next_version(entry.reader(), &job)?;
    job.stop = true;
    job.stable = false;
    job.modify_index = entry.index;
    job.job_modify_index = entry.index;
    job.submit_time_ns = entry.time_ns;
    // Its summary decides the status; load it so that the entry's end looks at this job.
    entry.summary(&job.namespace, &job.id)?;
    entry.put_job_version(&job, spec, JOB_VERSIONS_KEPT_MAX)?;
    entry.put_job(&job);
    Ok(())
}
