//! Command 16, since 0.1: a job is registered or changed, and evaluated, in one entry.

use ordu_proto::command::JobRegister;
use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::state::{Job, JobSpec};

use super::entry::Entry;
use super::job_version::{Submission, submit};
use super::{Step, refuse};
use crate::job::{check_total, parse_spec, spec_json as spec_json_of};
use crate::state::read;

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
    let mut spec = JobSpec { json: command.spec_json, payload: Vec::new() };
    if let Some(existing) = existing.as_ref().filter(|_| command.preserve_counts) {
        let kept = keep_counts(&spec.json, &read::spec_of(entry.reader(), existing)?.json);
        match kept {
            Ok(kept) => spec.json = kept,
            Err(text) => return Ok(Err(refuse(400, format!("the groups' counts cannot be kept: {text}")))),
        }
    }
    let submission = Submission {
        job,
        spec,
        groups: command.groups.iter().map(|group| &*group.name).collect(),
        eval_id: &command.eval_id,
        triggered_by: "job-register",
    };
    let (_, registered) = submit(entry, existing, submission)?;
    Ok(Ok(Answer::JobRegistered(registered)))
}

/// The specification with the counts that its groups have in the other one.
fn keep_counts(spec_json: &[u8], existing_json: &[u8]) -> Result<Vec<u8>, String> {
    let parsed = |json: &[u8]| parse_spec(json).map_err(|error| error.to_string());
    let (mut spec, existing) = (parsed(spec_json)?, parsed(existing_json)?);
    for group in &mut spec.task_groups {
        if let Some(same) = existing.task_groups.iter().find(|same| same.name == group.name) {
            group.count = same.count;
        }
    }
    check_total(&spec)?;
    Ok(spec_json_of(&spec))
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
