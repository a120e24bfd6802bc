//! Writes of jobs: register, update, stop, purge, evaluate. A handler makes a command of the request;
//! what it comes to is decided where the log is applied.

use axum::http::StatusCode;
use futures::future::BoxFuture;
use ordu_core::job::{self, RegisterRequest};
use ordu_proto::api::job::JobSpec;
use ordu_proto::command::envelope::Command;
use ordu_proto::command::outcome::Outcome;
use ordu_proto::command::{JobDeregister, JobEvaluate, JobRegister};
use serde_json::{Map, Value};

use crate::http::answer::Answer;
use crate::http::dispatch::Call;
use crate::http::documents::job::{Deregistered, Registered};
use crate::http::error::HttpError;
use crate::http::ids;
use crate::http::request::{Request, no_path_to_region};
use crate::writer::Written;

const DEFAULT_NAMESPACE: &str = "default";
const DEFAULT_REGION: &str = "global";

/// `PUT /v1/jobs`.
pub(crate) fn register(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let registration = read(&call)?;
        write(call, registration).await
    })
}

/// `PUT /v1/job/:id`.
pub(crate) fn update(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let registration = read(&call)?;
        if registration.job.id != call.request.id {
            return Err(HttpError::bad_request("Job ID does not match name"));
        }
        write(call, registration).await
    })
}

/// `DELETE /v1/job/:id`.
pub(crate) fn deregister(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let purge = call.request.flag("purge")?;
        let command = JobDeregister {
            namespace: call.request.namespace().to_owned(),
            job_id: call.request.id.clone(),
            purge,
            eval_id: ids::draw().to_vec(),
        };
        let written = call.api.context.writer.write(Command::JobDeregister(command)).await?;
        let Outcome::JobDeregistered(outcome) = &written.answer else { return Err(of_another(&written)) };
        Ok(Answer::written(&call.request, outcome.index, &Deregistered::of(outcome)))
    })
}

/// `PUT /v1/job/:id/evaluate`.
pub(crate) fn evaluate(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let command = JobEvaluate {
            namespace: call.request.namespace().to_owned(),
            job_id: call.request.id.clone(),
            eval_id: ids::draw().to_vec(),
            force_reschedule: forces_reschedule(&call.body, &call.request.id)?,
        };
        let written = call.api.context.writer.write(Command::JobEvaluate(command)).await?;
        let Outcome::JobEvaluated(outcome) = &written.answer else { return Err(of_another(&written)) };
        Ok(Answer::written(&call.request, outcome.index, &Registered::evaluated(outcome)))
    })
}

/// A registration whose job is canonical and valid, in the region and the namespace that it is for.
fn read(call: &Call) -> Result<RegisterRequest, HttpError> {
    let mut registration = job::decode_register(&call.body).map_err(HttpError::bad_request)?;
    if registration.preserve_counts {
        let text =
            "PreserveCounts is not supported by this server: send the counts that the groups are to have";
        return Err(HttpError::bad_request(text));
    }
    settle_region(&mut registration, &call.api.context.options.region)?;
    settle_namespace(&mut registration, &call.request);
    Ok(registration)
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

async fn write(call: Call, registration: RegisterRequest) -> Result<Answer, HttpError> {
    let RegisterRequest { mut job, stop, enforce_index, job_modify_index, .. } = registration;
    job::canonicalise(&mut job);
    job::validate(&job).map_err(|faults| HttpError::internal(faults.to_string()))?;
    let warnings = job::warnings(&job).to_string();
    let command = command(&job, stop, enforce_index.then_some(job_modify_index));
    // The specification can be large; what is written of it is in the command.
    drop(job);
    let written = call.api.context.writer.write(Command::JobRegister(command)).await?;
    let Outcome::JobRegistered(outcome) = &written.answer else { return Err(of_another(&written)) };
    Ok(Answer::written(&call.request, outcome.index, &Registered::of(outcome, &warnings)))
}

fn command(job: &JobSpec, stop: bool, enforced_job_modify_index: Option<u64>) -> JobRegister {
    // Such a job is run by its children; itself it is never placed.
    let is_parent = job.is_periodic() || job.is_parameterized();
    JobRegister {
        job: Some(job::job_row(job, stop)),
        spec_json: job::spec_json(job),
        eval_id: if is_parent { Vec::new() } else { ids::draw().to_vec() },
        enforce_index: enforced_job_modify_index.is_some(),
        enforced_job_modify_index: enforced_job_modify_index.unwrap_or(0),
        groups: job::group_counts(job),
    }
}

/// The body of an evaluation: it may be left out; what it says of the job must be true.
fn forces_reschedule(body: &[u8], id: &str) -> Result<bool, HttpError> {
    if body.trim_ascii().is_empty() {
        return Ok(false);
    }
    let body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| HttpError::bad_request(format!("json: {error}")))?;
    match member(&body, "JobID").and_then(Value::as_str) {
        None | Some("") => return Err(HttpError::bad_request("Job ID must be specified")),
        Some(named) if named != id => return Err(HttpError::bad_request("JobID not same as job name")),
        Some(_) => {}
    }
    let options = member(&body, "EvalOptions").and_then(Value::as_object);
    match options.and_then(|options| member(options, "ForceReschedule")) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(forced)) => Ok(*forced),
        Some(_) => Err(HttpError::bad_request("json: EvalOptions.ForceReschedule is neither true nor false")),
    }
}

/// A member by its name, whose case does not count.
fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn of_another(written: &Written) -> HttpError {
    tracing::error!(index = written.index, answer = ?written.answer, "a command was answered as another one is");
    let text =
        format!("the outcome of the write is unknown: entry {} was answered as another is", written.index);
    HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, text)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

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

    #[test]
    fn the_body_of_an_evaluation_may_be_left_out_but_not_be_wrong() {
        for (body, forced) in [
            ("", false),
            (" \n", false),
            (r#"{"JobID":"a"}"#, false),
            (r#"{"jobid":"a","EvalOptions":{"ForceReschedule":true}}"#, true),
            (r#"{"JobID":"a","EvalOptions":null}"#, false),
        ] {
            assert_eq!(Ok(forced), forces_reschedule(body.as_bytes(), "a"), "{body}");
        }
        for (body, said) in [
            ("nonsense", "json: "),
            ("[]", "json: "),
            ("{}", "Job ID must be specified"),
            (r#"{"JobID":"b"}"#, "JobID not same as job name"),
            (r#"{"JobID":"a","EvalOptions":{"ForceReschedule":1}}"#, "json: "),
        ] {
            let refused = forces_reschedule(body.as_bytes(), "a").unwrap_err();
            assert!(refused.text.starts_with(said) && refused.status == StatusCode::BAD_REQUEST, "{body}");
        }
    }
}
