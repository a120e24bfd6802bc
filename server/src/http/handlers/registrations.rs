//! Writes of jobs: register, update, stop, purge, evaluate. A handler makes a command of the request;
//! what it comes to is decided where the log is applied.

use axum::http::StatusCode;
use futures::future::BoxFuture;
use ordu_core::job::{self, RegisterRequest};
use ordu_core::limits::JOB_PARENT_BYTES_MAX;
use ordu_proto::api::job::JobSpec;
use ordu_proto::command::envelope::Command;
use ordu_proto::command::outcome::Outcome;
use ordu_proto::command::{JobDeregister, JobEvaluate, JobRegister};
use ordu_store::runtime::random_id;

use crate::http::answer::Answer;
use crate::http::dispatch::Call;
use crate::http::documents::job::{Deregistered, Registered};
use crate::http::error::HttpError;
use crate::http::request::{DEFAULT_NAMESPACE, Request, no_path_to_region};
use crate::writer::Written;

const DEFAULT_REGION: &str = "global";

/// `PUT /v1/jobs`.
pub(crate) fn register(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        write(call, |call| job::decode_register(&call.body).map_err(HttpError::bad_request)).await
    })
}

/// `PUT /v1/job/:id`.
pub(crate) fn update(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move { write(call, |call| Ok(job::decode_update(&call.request.id, &call.body)?)).await })
}

/// `DELETE /v1/job/:id`.
pub(crate) fn deregister(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let purge = call.request.flag("purge")?;
        let command = JobDeregister {
            namespace: written_namespace(&call.request)?,
            job_id: call.request.id.clone(),
            purge,
            eval_id: random_id().to_vec(),
        };
        let written = call.api.context.writer.write(Command::JobDeregister(command)).await?;
        let Outcome::JobDeregistered(outcome) = &written.answer else { return Err(of_another(&written)) };
        Ok(Answer::written(&call.request, outcome.index, &Deregistered::of(outcome)))
    })
}

/// `PUT /v1/job/:id/evaluate`.
pub(crate) fn evaluate(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let evaluate = job::decode_evaluate(&call.request.id, &call.body)?;
        let command = JobEvaluate {
            namespace: settle_body(&call, &evaluate.region, evaluate.namespace)?,
            job_id: call.request.id.clone(),
            eval_id: random_id().to_vec(),
            force_reschedule: evaluate.force_reschedule,
        };
        let written = call.api.context.writer.write(Command::JobEvaluate(command)).await?;
        let Outcome::JobEvaluated(outcome) = &written.answer else { return Err(of_another(&written)) };
        Ok(Answer::written(&call.request, outcome.index, &Registered::evaluated(outcome)))
    })
}

/// Settles which region and which namespace the job is for.
pub(super) fn settle(call: &Call, registration: &mut RegisterRequest) -> Result<(), HttpError> {
    settle_region(registration, &call.api.context.options.region)?;
    settle_namespace(registration, &call.request);
    Ok(())
}

/// The namespace of what a body asks for: the query's, else the body's own. A body for another region is
/// refused.
pub(super) fn settle_body(call: &Call, region: &str, namespace: String) -> Result<String, HttpError> {
    if !region.is_empty() && region != call.api.context.options.region {
        return Err(no_path_to_region());
    }
    let in_body = Some(namespace).filter(|namespace| !namespace.is_empty());
    let in_query = call.request.given("namespace").map(str::to_owned);
    let namespace = in_query.or(in_body).unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    job::check_namespace(&namespace)?;
    Ok(namespace)
}

/// The namespace of a write that has no body.
pub(super) fn written_namespace(request: &Request) -> Result<String, HttpError> {
    job::check_namespace(request.namespace())?;
    Ok(request.namespace().to_owned())
}

/// A job that names no region of its own is for the one that is asked.
fn settle_region(registration: &mut RegisterRequest, ours: &str) -> Result<(), HttpError> {
    if !registration.region.is_empty() && registration.region != ours {
        return Err(no_path_to_region());
    }
    match registration.job.region.as_deref() {
        None | Some("" | DEFAULT_REGION) => registration.job.region = Some(ours.to_owned()),
        Some(region) if region == ours => {}
        Some(_) => return Err(no_path_to_region()),
    }
    Ok(())
}

/// The query's namespace counts before the body's and the body's before the job's, where they name one.
fn settle_namespace(registration: &mut RegisterRequest, request: &Request) {
    let named = [request.given("namespace").unwrap_or_default(), registration.namespace.as_str()];
    let chosen = named.into_iter().find(|namespace| !namespace.is_empty() && *namespace != DEFAULT_NAMESPACE);
    if let Some(namespace) = chosen {
        registration.job.namespace = Some(namespace.to_owned());
    }
}

/// Makes a registration's job canonical, and refuses one that is not valid with all of its faults.
pub(super) fn complete(call: &Call, registration: &mut RegisterRequest) -> Result<(), HttpError> {
    settle(call, registration)?;
    job::canonicalise(&mut registration.job);
    registration.validate().map_err(|faults| HttpError::bad_request(faults.to_string()))
}

/// Reads a registration's body and writes the job.
async fn write(
    call: Call,
    decode: fn(&Call) -> Result<RegisterRequest, HttpError>,
) -> Result<Answer, HttpError> {
    let (call, (command, warnings)) = call.work(move |call| read(call, decode(call)?)).await?;
    let written = call.api.context.writer.write(Command::JobRegister(command)).await?;
    let Outcome::JobRegistered(outcome) = &written.answer else { return Err(of_another(&written)) };
    Ok(Answer::written(&call.request, outcome.index, &Registered::of(outcome, &warnings)))
}

/// The command of a registration, and its warnings.
fn read(call: &Call, mut registration: RegisterRequest) -> Result<(JobRegister, String), HttpError> {
    complete(call, &mut registration)?;
    let RegisterRequest { job, stop, enforce_index, job_modify_index, preserve_counts, .. } = registration;
    let command =
        JobRegister { preserve_counts, ..command(&job, stop, enforce_index.then_some(job_modify_index)) };
    let is_parent = job.is_periodic() || job.is_parameterized();
    if is_parent && command.spec_json.len() > JOB_PARENT_BYTES_MAX {
        return Err(HttpError::bad_request(format!(
            "a job that is periodic or parameterized may have {JOB_PARENT_BYTES_MAX} bytes, with all defaults filled \
             in, since each of its children is made of it; this one has {}: make it smaller",
            command.spec_json.len()
        )));
    }
    Ok((command, job::warnings(&job).to_string()))
}

fn command(job: &JobSpec, stop: bool, enforced_job_modify_index: Option<u64>) -> JobRegister {
    // Such a job is run by its children; itself it is never placed.
    let is_parent = job.is_periodic() || job.is_parameterized();
    JobRegister {
        job: Some(job::job_row(job, stop)),
        spec_json: job::spec_json(job),
        eval_id: if is_parent { Vec::new() } else { random_id().to_vec() },
        enforce_index: enforced_job_modify_index.is_some(),
        enforced_job_modify_index: enforced_job_modify_index.unwrap_or(0),
        groups: job::group_counts(job),
        preserve_counts: false,
    }
}

/// The answer of a write is not the one that such a write has.
pub(super) fn of_another(written: &Written) -> HttpError {
    tracing::error!(index = written.index, answer = ?written.answer, "a command was answered as another one is");
    let text =
        format!("the outcome of the write is unknown: entry {} was answered as another is", written.index);
    HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, text)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::Value;

    use super::*;

    fn registration(body: &str) -> RegisterRequest {
        job::decode_register(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_job_is_for_the_region_that_is_asked_unless_it_names_another() {
        for (body, region) in [
            (r#"{"Job":{"ID":"a"}}"#, Ok("north")),
            (r#"{"Job":{"ID":"a","Region":"global"}}"#, Ok("north")),
            (r#"{"Job":{"ID":"a","Region":"north"},"Region":"north"}"#, Ok("north")),
            (r#"{"Job":{"ID":"a","Region":"south"}}"#, Err(())),
            (r#"{"Job":{"ID":"a"},"Region":"south"}"#, Err(())),
        ] {
            let mut registration = registration(body);
            let settled = settle_region(&mut registration, "north");
            assert_eq!(region.is_ok(), settled.is_ok(), "{body}");
            if let Ok(region) = region {
                assert_eq!(Some(region), registration.job.region.as_deref(), "{body}");
            }
        }
    }

    #[test]
    fn the_query_s_namespace_counts_before_the_body_s_and_the_job_s() {
        let job = r#"{"Job":{"ID":"a","Namespace":"of-job"}}"#;
        let both = r#"{"Job":{"ID":"a","Namespace":"of-job"},"Namespace":"of-body"}"#;
        for (body, query, namespace) in [
            (job, "", Some("of-job")),
            (job, "namespace=default", Some("of-job")),
            (job, "namespace=of-query", Some("of-query")),
            (both, "", Some("of-body")),
            (both, "namespace=of-query", Some("of-query")),
            (r#"{"Job":{"ID":"a"}}"#, "", None),
        ] {
            let mut registration = registration(body);
            let request = Request::read(String::new(), query, &HeaderMap::new()).unwrap();
            settle_namespace(&mut registration, &request);
            assert_eq!(namespace, registration.job.namespace.as_deref(), "{body} {query}");
        }
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
