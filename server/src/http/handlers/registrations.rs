//! Writes of jobs: register, update, stop, purge, evaluate. A handler turns the request into a command; its
//! outcome is decided when the log entry is applied.

use axum::http::StatusCode;
use futures::future::BoxFuture;
use ordu_core::job::{self, RegisterRequest};
use ordu_core::limits::JOB_PARENT_BYTES_MAX;
use ordu_core::state::read;
use ordu_proto::api::job::JobSpec;
use ordu_proto::command::{JobDeregister, JobDeregistered, JobEvaluate, JobRegister};
use ordu_store::runtime::random_id;
use ordu_store::state_machine::State;

use crate::http::answer::Answer;
use crate::http::dispatch::Call;
use crate::http::documents::job::{Deregistered, Registered};
use crate::http::error::HttpError;

/// `PUT /v1/jobs`.
pub(crate) fn register(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        write(call, |call| job::decode_register(&call.body).map_err(HttpError::bad_request)).await
    })
}

/// `PUT /v1/job/:id`.
pub(crate) fn update(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        if call.request.has_subpath {
            let namespace = call.namespace()?;
            exists(&call, &namespace).await?;
        }
        write(call, |call| Ok(job::decode_update(&call.request.id, &call.body)?)).await
    })
}

/// `DELETE /v1/job/:id`.
pub(crate) fn deregister(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let purge = call.request.flag("purge")?;
        let eval_priority = match call.request.number("eval_priority")? {
            Some(priority) => job::check_eval_priority(priority)?,
            None => 0,
        };
        let namespace = call.namespace()?;
        if !exists(&call, &namespace).await? {
            // Nothing is to be stopped: a purge evaluates its job itself.
            let index = call.api.context.state.applied_index();
            let nothing = JobDeregistered::default();
            return Ok(Answer::found(&call.request, index, &Deregistered::of(&nothing)));
        }
        let command = JobDeregister {
            namespace,
            job_id: call.request.id.clone(),
            purge,
            eval_id: random_id().to_vec(),
            eval_priority,
        };
        let written = call.api.context.writer.write(command).await?;
        let outcome = &written.answer;
        Ok(Answer::written(&call.request, outcome.index, &Deregistered::of(outcome)))
    })
}

/// `PUT /v1/job/:id/evaluate`.
pub(crate) fn evaluate(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let evaluate = job::decode_evaluate(&call.request.id, &call.body)?;
        let command = JobEvaluate {
            namespace: call.namespace_of_body(&evaluate.region, evaluate.namespace)?,
            job_id: call.request.id.clone(),
            eval_id: random_id().to_vec(),
            force_reschedule: evaluate.force_reschedule,
        };
        let written = call.api.context.writer.write(command).await?;
        let outcome = &written.answer;
        Ok(Answer::written(&call.request, outcome.index, &Registered::evaluated(outcome)))
    })
}

/// Whether the path's job exists, by this server's state once the leader has confirmed it.
///
/// # Errors
/// 404 if it does not exist and the path reads as a job with an unknown action, such as `/v1/job/a/unknown`.
async fn exists(call: &Call, namespace: &str) -> Result<bool, HttpError> {
    call.api.context.reads.confirm().await?;
    let id = &call.request.id;
    let exists = call.api.context.state.read(|reader| read::job(reader, namespace, id))?.is_some();
    match id.rsplit_once('/') {
        Some((_, action)) if !exists && call.request.has_subpath => Err(HttpError::new(
            StatusCode::NOT_FOUND,
            format!("there is no job {id:?}, and a job has no action {action:?}"),
        )),
        _ => Ok(exists),
    }
}

/// Makes a registration's job canonical and validates it; the error lists all faults.
pub(super) fn complete(call: &Call, registration: &mut RegisterRequest) -> Result<(), HttpError> {
    call.settle(registration)?;
    job::canonicalise(&mut registration.job);
    registration.validate().map_err(|faults| HttpError::bad_request(faults.to_string()))
}

/// Decodes a registration's body and writes the job.
async fn write(
    call: Call,
    decode: fn(&Call) -> Result<RegisterRequest, HttpError>,
) -> Result<Answer, HttpError> {
    let (call, (command, warnings)) = call.work(move |call| prepare(call, decode(call)?)).await?;
    let written = call.api.context.writer.write(command).await?;
    let outcome = &written.answer;
    Ok(Answer::written(&call.request, outcome.index, &Registered::of(outcome, &warnings)))
}

/// Builds a registration's command and the job's warnings.
fn prepare(call: &Call, mut registration: RegisterRequest) -> Result<(JobRegister, String), HttpError> {
    complete(call, &mut registration)?;
    let RegisterRequest {
        job, stop, enforce_index, job_modify_index, preserve_counts, eval_priority, ..
    } = registration;
    let enforced = enforce_index.then_some(job_modify_index);
    let command = JobRegister { preserve_counts, eval_priority, ..command(&job, stop, enforced) };
    let is_parent = job.is_periodic() || job.is_parameterized();
    if is_parent && command.spec_json.len() > JOB_PARENT_BYTES_MAX {
        return Err(HttpError::bad_request(format!(
            "a job that is periodic or parameterized may have {JOB_PARENT_BYTES_MAX} bytes, with all defaults filled \
             in, since each of its children is made of it; this one has {}: make it smaller",
            command.spec_json.len()
        )));
    }
    Ok((command, warnings(&call.api.context.state, &job)))
}

/// Returns the member `Warnings` of the answer about a job.
pub(super) fn warnings(state: &State, job: &JobSpec) -> String {
    let lacks_driver = |driver: &str| state.machine().view.lacks_driver(driver);
    job::warnings(job, &lacks_driver).to_string()
}

fn command(job: &JobSpec, stop: bool, enforced_job_modify_index: Option<u64>) -> JobRegister {
    // A periodic or parameterized job is run by its children and is never placed itself.
    let is_parent = job.is_periodic() || job.is_parameterized();
    JobRegister {
        job: Some(job::job_row(job, stop)),
        spec_json: job::spec_json(job),
        eval_id: if is_parent { Vec::new() } else { random_id().to_vec() },
        enforce_index: enforced_job_modify_index.is_some(),
        enforced_job_modify_index: enforced_job_modify_index.unwrap_or(0),
        groups: job::group_counts(job),
        preserve_counts: false,
        eval_priority: 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn registration(body: &str) -> RegisterRequest {
        job::decode_register(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_registration_s_command_carries_what_apply_needs() {
        let mut spec =
            registration(r#"{"Job":{"ID":"a","Datacenters":["dc1"],"TaskGroups":[{"Name":"g","Count":3}]}}"#)
                .job;
        job::canonicalise(&mut spec);
        let made = command(&spec, true, Some(7));
        assert_eq!((true, 7, 16), (made.enforce_index, made.enforced_job_modify_index, made.eval_id.len()));
        assert_eq!(("g", 3), (made.groups[0].name.as_str(), made.groups[0].count));
        let row = made.job.unwrap();
        assert_eq!(("default", "a", true), (row.namespace.as_str(), row.id.as_str(), row.stop));
        assert!(serde_json::from_slice::<Value>(&made.spec_json).unwrap()["TaskGroups"].is_array());
        assert!(!command(&spec, false, None).enforce_index);
    }

    #[test]
    fn jobs_that_children_run_for_are_not_evaluated() {
        let body = r#"{"Job":{"ID":"a","Type":"batch","ParameterizedJob":{}}}"#;
        let mut spec = registration(body).job;
        job::canonicalise(&mut spec);
        assert!(command(&spec, false, None).eval_id.is_empty());
    }
}
