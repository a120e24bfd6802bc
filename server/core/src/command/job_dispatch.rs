//! Command 25, since 0.1: runs a parameterized job with a given payload and metadata, as a child job.

use std::collections::BTreeMap;

use ordu_proto::command::{JobDispatch, JobDispatched, Refusal};
use ordu_proto::state::Job;

use super::check;
use super::declared::Command;
use super::entry::Entry;
use super::job_child::{Child, Parent, submit_child};
use super::level::{FIRST_LEVEL, SECOND_LEVEL};
use super::outcome::AnswerMessage;
use super::{Step, refuse};
use crate::job::ParameterFacts;
use crate::limits::DISPATCH_PAYLOAD_BYTES_MAX;
use crate::state::{Corrupt, read};

impl Command for JobDispatch {
    type Answer = JobDispatched;
    const NUMBER: u32 = 25;
    const LEVEL: u32 = FIRST_LEVEL;
    const IS_NEW_WORK: bool = true;

    fn level_needed(&self) -> u32 {
        if self.id_prefix.is_empty() { Self::LEVEL } else { SECOND_LEVEL }
    }

    fn check(&self) -> Result<(), Refusal> {
        check::lengths([self.idempotency_token.as_bytes(), &self.id_suffix])?;
        check::names([&self.namespace, &self.job_id, &self.id_prefix])
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<JobDispatched> {
        let JobDispatch {
            namespace,
            job_id,
            meta,
            payload,
            idempotency_token,
            id_suffix,
            eval_id,
            id_prefix,
        } = self;
        let Some(parent) = read::job(entry.reader(), &namespace, &job_id)? else {
            return Ok(Err(refuse(500, "parameterized job not found")));
        };
        if !parent.parameterized {
            return Ok(Err(refuse(500, format!("Specified job {job_id:?} is not a parameterized job"))));
        }
        if parent.stop {
            return Ok(Err(refuse(500, format!("Specified job {job_id:?} is stopped"))));
        }
        let parent = Parent::read(entry.reader(), parent)?;
        let Some(parameters) = &parent.facts.parameterized_job else {
            return Err(read::corrupt_spec(entry.reader(), &parent.job, &"it says nothing of parameters"));
        };
        if let Err(refusal) = check(parameters, &meta, &payload) {
            return Ok(Err(refusal));
        }
        if !idempotency_token.is_empty()
            && let Some(child) =
                read::child_by_token(entry.reader(), &namespace, &job_id, &idempotency_token)?
        {
            return Ok(Ok(earlier(entry, &child)?));
        }
        let seconds = entry.time_ns.div_euclid(1_000_000_000);
        let suffix: String = id_suffix.iter().map(|byte| format!("{byte:02x}")).collect();
        let separator = if id_prefix.is_empty() { "" } else { "-" };
        let id = format!("{job_id}/dispatch-{id_prefix}{separator}{seconds}-{suffix}");
        if read::job(entry.reader(), &namespace, &id)?.is_some() {
            // The random suffix was drawn twice in one second.
            return Ok(Err(refuse(500, format!("job {id:?} exists already; dispatch again"))));
        }
        let child = Child {
            id,
            spec: parent.edited(entry.reader(), |spec| spec.add_meta(&meta))?,
            periodic: parent.facts.periodic.is_some(),
            payload,
            idempotency_token: idempotency_token.clone(),
            dispatched: true,
            eval_id: &eval_id,
            triggered_by: "job-register",
        };
        let (child, registered) = submit_child(entry, &parent, child)?;
        if !idempotency_token.is_empty() {
            entry.put_child_token(&child);
        }
        Ok(Ok(JobDispatched {
            index: entry.index,
            child_id: child.id,
            child_create_index: child.create_index,
            eval_id: registered.eval_id,
            eval_create_index: registered.eval_create_index,
        }))
    }
}

impl AnswerMessage for JobDispatched {
    const NUMBER: u32 = 8;
}

/// Returns the answer that the first dispatch with this token got. Callers are not told its evaluation; it stays in the
/// answer because all servers of a cluster store the same answers.
fn earlier(entry: &Entry<'_, '_>, child: &Job) -> Result<JobDispatched, Corrupt> {
    let evals = read::evals_of_job(entry.reader(), &child.namespace, &child.id)?;
    let first = evals.into_iter().min_by_key(|eval| eval.create_index);
    let (eval_id, eval_create_index) = first.map(|eval| (eval.id, eval.create_index)).unwrap_or_default();
    Ok(JobDispatched {
        index: entry.index,
        child_id: child.id.clone(),
        child_create_index: child.create_index,
        eval_id,
        eval_create_index,
    })
}

/// Checks payload and metadata against the parameters that the job accepts.
fn check(
    parameters: &ParameterFacts,
    meta: &BTreeMap<String, String>,
    payload: &[u8],
) -> Result<(), Refusal> {
    let has_payload = !payload.is_empty();
    match parameters.payload.as_str() {
        "required" if !has_payload => {
            return Err(refuse(500, "Payload is not provided but required by parameterized job"));
        }
        "forbidden" if has_payload => {
            return Err(refuse(500, "Payload provided but forbidden by parameterized job"));
        }
        _ => {}
    }
    if payload.len() > DISPATCH_PAYLOAD_BYTES_MAX {
        let text = format!("Payload exceeds maximum size; {} > {DISPATCH_PAYLOAD_BYTES_MAX}", payload.len());
        return Err(refuse(500, text));
    }
    let is_known = |key: &str| {
        let known = parameters.meta_required.iter().chain(&parameters.meta_optional);
        known.into_iter().any(|known| known == key)
    };
    let unknown: Vec<&str> = meta.keys().map(|key| &**key).filter(|key| !is_known(key)).collect();
    if !unknown.is_empty() {
        let text = format!("Dispatch request included unpermitted metadata keys: [{}]", unknown.join(" "));
        return Err(refuse(500, text));
    }
    let is_missing = |key: &&str| !meta.contains_key(*key);
    let missing: Vec<&str> = parameters.meta_required.iter().map(|key| &**key).filter(is_missing).collect();
    if !missing.is_empty() {
        let text = format!("Dispatch did not provide required meta keys: [{}]", missing.join(" "));
        return Err(refuse(500, text));
    }
    Ok(())
}
