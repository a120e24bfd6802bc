//! Command 16, since 0.1: registers or changes a job and evaluates it, in one entry.

use std::collections::BTreeMap;

use ordu_proto::command::{JobRegister, JobRegistered, Refusal};
use ordu_proto::state::{Job, JobSpec};

use super::check;
use super::declared::Command;
use super::entry::Entry;
use super::job_version::{Submission, submit};
use super::level::{FIRST_LEVEL, SECOND_LEVEL};
use super::outcome::AnswerMessage;
use super::{Step, refuse};
use crate::job::{SpecEdit, SpecFacts, check_total};
use crate::state::read;

/// Count of a group without a given count.
const DEFAULT_COUNT: i64 = 1;

impl Command for JobRegister {
    type Answer = JobRegistered;
    const NUMBER: u32 = 16;
    const LEVEL: u32 = FIRST_LEVEL;
    const IS_NEW_WORK: bool = true;

    fn level_needed(&self) -> u32 {
        if self.eval_priority == 0 { Self::LEVEL } else { SECOND_LEVEL }
    }

    fn check(&self) -> Result<(), Refusal> {
        self.job.as_ref().map_or(Ok(()), check::job)
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<JobRegistered> {
        let Some(job) = self.job else { return Ok(Err(refuse(400, "Job must be specified"))) };
        let existing = read::job(entry.reader(), &job.namespace, &job.id)?;
        if self.enforce_index
            && let Err(text) = enforce(self.enforced_job_modify_index, existing.as_ref())
        {
            return Ok(Err(refuse(500, text)));
        }
        if let Some(existing) = &existing
            && let Err(text) = check_transition(existing, &job)
        {
            return Ok(Err(refuse(500, text)));
        }
        let mut spec = JobSpec { json: self.spec_json, payload: Vec::new() };
        if let Some(existing) = existing.as_ref().filter(|_| self.preserve_counts) {
            let kept = keep_counts(&spec.json, &read::spec_of(entry.reader(), existing)?.json);
            match kept {
                Ok(kept) => spec.json = kept,
                Err(text) => {
                    return Ok(Err(refuse(400, format!("the groups' counts cannot be kept: {text}"))));
                }
            }
        }
        let submission = Submission {
            job,
            spec,
            groups: self.groups.iter().map(|group| &*group.name).collect(),
            eval_id: &self.eval_id,
            eval_priority: self.eval_priority,
            triggered_by: "job-register",
        };
        let (_, registered) = submit(entry, existing, submission)?;
        Ok(Ok(registered))
    }
}

impl AnswerMessage for JobRegistered {
    const NUMBER: u32 = 2;
}

/// Returns the specification with the group counts of the existing one.
fn keep_counts(spec_json: &[u8], existing_json: &[u8]) -> Result<Vec<u8>, String> {
    let facts = |json: &[u8]| SpecFacts::read(json).map_err(|error| error.to_string());
    let (spec, existing) = (facts(spec_json)?, facts(existing_json)?);
    // If several groups have the same name, the first one counts.
    let kept: BTreeMap<&str, Option<i64>> =
        existing.task_groups.iter().rev().map(|group| (&*group.name, group.count)).collect();
    let counts = spec.task_groups.iter().map(|group| kept.get(&*group.name).copied().unwrap_or(group.count));
    check_total(counts.map(|count| count.unwrap_or(DEFAULT_COUNT)))?;
    let edited = SpecEdit::of(spec_json).and_then(|mut spec| {
        spec.set_counts(&kept)?;
        Ok(spec.to_json())
    });
    edited.map_err(|error| error.to_string())
}

/// Checks the `JobModifyIndex` that the caller has seen; 0 means that the job must not exist.
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

/// Checks that type, periodic and parameterized do not change.
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
