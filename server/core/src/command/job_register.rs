//! Command 16, since 0.1: a job is registered or changed, and evaluated, in one entry.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{JobRegister, JobRegistered};
use ordu_proto::state::{Job, TaskGroupSummary};

use super::entry::{Entry, new_eval};
use super::{Step, refuse};
use crate::limits::JOB_VERSIONS_KEPT_MAX;
use crate::state::{Id, read};

pub(super) fn apply(entry: &mut Entry<'_, '_>, command: JobRegister) -> Step {
    let Some(job) = command.job else { return Ok(Err(refuse(400, "Job must be specified"))) };
    let existing = read::job(entry.reader(), &job.namespace, &job.id)?;
    if command.enforce_index
        && let Err(text) = enforce(command.enforced_job_modify_index, existing.as_ref())
    {
        return Ok(Err(refuse(500, text)));
    }
    if let Some(existing) = &existing
        && let Err(text) = check_transition(existing, &job)
    {
        return Ok(Err(refuse(500, text)));
    }

    let unchanged = match &existing {
        Some(existing) => {
            existing.stop == job.stop && read::spec_of(entry.reader(), existing)? == command.spec_json
        }
        None => false,
    };
    let job = match existing {
        Some(existing) if unchanged => existing,
        existing => {
            write(entry, existing, job, command.spec_json, command.groups.iter().map(|group| &group.name))?
        }
    };
    let eval_id = Id::try_from(command.eval_id.as_slice()).ok();
    if let Some(id) = eval_id {
        entry.put_eval(new_eval(id, &job, "job-register"))?;
    }
    Ok(Ok(Answer::JobRegistered(JobRegistered {
        index: entry.index,
        eval_id: eval_id.map(Vec::from).unwrap_or_default(),
        eval_create_index: if eval_id.is_some() { entry.index } else { 0 },
        job_modify_index: job.job_modify_index,
    })))
}

fn write<'g>(
    entry: &mut Entry<'_, '_>,
    existing: Option<Job>,
    mut job: Job,
    spec_json: Vec<u8>,
    groups: impl Iterator<Item = &'g String>,
) -> Result<Job, crate::state::Corrupt> {
    match &existing {
        Some(existing) => {
            job.create_index = existing.create_index;
            job.version = existing.version + 1;
            job.status.clone_from(&existing.status);
        }
        None => {
            job.create_index = entry.index;
            job.version = 0;
            job.status = "pending".to_owned();
        }
    }
    job.modify_index = entry.index;
    job.job_modify_index = entry.index;
    job.submit_time_ns = entry.time_ns;
    job.stable = false;
    let create_index = job.create_index;
    let summary = entry.summary(&job.namespace, &job.id)?;
    if summary.purged {
        summary.purged = false;
        summary.groups.clear();
        summary.create_index = create_index;
    }
    for group in groups {
        summary.groups.entry(group.clone()).or_insert_with(TaskGroupSummary::default);
    }
    entry.put_job_version(&job, spec_json, JOB_VERSIONS_KEPT_MAX)?;
    entry.put_job(&job);
    Ok(job)
}

/// The caller says which `JobModifyIndex` it has seen; 0 stands for "there is no such job".
fn enforce(enforced: u64, existing: Option<&Job>) -> Result<(), String> {
    match existing {
        Some(_) if enforced == 0 => Err(format!("Enforcing job modify index {enforced}: job already exists")),
        Some(job) if job.job_modify_index != enforced => Err(format!(
            "Enforcing job modify index {enforced}: job exists with conflicting job modify index: {}",
            job.job_modify_index
        )),
        None if enforced != 0 => Err(format!("Enforcing job modify index {enforced}: job does not exist")),
        _ => Ok(()),
    }
}

/// What a job is cannot change under the same id.
fn check_transition(existing: &Job, job: &Job) -> Result<(), String> {
    if existing.r#type != job.r#type {
        return Err(format!("cannot update job from type {:?} to {:?}", existing.r#type, job.r#type));
    }
    match (existing.periodic, job.periodic) {
        (true, false) => return Err("cannot update periodic job to being non-periodic".to_owned()),
        (false, true) => return Err("cannot update non-periodic job to being periodic".to_owned()),
        _ => {}
    }
    match (existing.parameterized, job.parameterized) {
        (true, false) => Err("cannot update parameterized job to being non-parameterized".to_owned()),
        (false, true) => Err("cannot update non-parameterized job to being parameterized".to_owned()),
        _ => Ok(()),
    }
}
