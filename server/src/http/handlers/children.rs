//! Children of jobs: dispatched by a caller, or launched before a periodic job's time.

use axum::http::StatusCode;
use futures::future::BoxFuture;
use ordu_core::job;
use ordu_core::limits::{IDEMPOTENCY_TOKEN_BYTES_MAX, JOB_NAME_BYTES_MAX};
use ordu_proto::command::{JobDispatch, PeriodicLaunch};
use ordu_store::runtime::{random_bytes, random_id};

use crate::http::answer::Answer;
use crate::http::dispatch::Call;
use crate::http::documents::job::{Dispatched, Forced};
use crate::http::error::HttpError;

/// Bytes of a dispatched child's id beside its parent's id and a prefix: `/dispatch-`, separators, time and suffix.
const CHILD_ID_REST_BYTES: usize = 40;

/// `PUT /v1/job/:id/dispatch`.
pub(crate) fn dispatch(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let dispatch = job::decode_dispatch(&call.request.id, &call.body)?;
        let in_query = call.request.given("idempotency_token").map(str::to_owned);
        let idempotency_token = in_query.unwrap_or(dispatch.idempotency_token);
        if idempotency_token.len() > IDEMPOTENCY_TOKEN_BYTES_MAX {
            let text = format!(
                "the idempotency token has {} bytes; {IDEMPOTENCY_TOKEN_BYTES_MAX} are the most",
                idempotency_token.len()
            );
            return Err(HttpError::new(StatusCode::BAD_REQUEST, text));
        }
        check_id_prefix(&call.request.id, &dispatch.id_prefix_template)?;
        let command = JobDispatch {
            namespace: call.namespace_of_body(&dispatch.region, dispatch.namespace)?,
            job_id: call.request.id.clone(),
            meta: dispatch.meta,
            payload: dispatch.payload,
            idempotency_token,
            id_suffix: random_bytes::<4>().to_vec(),
            eval_id: random_id().to_vec(),
            id_prefix: dispatch.id_prefix_template,
        };
        let written = call.api.context.writer.write(command).await?;
        let outcome = &written.answer;
        Ok(Answer::written(&call.request, outcome.index, &Dispatched::of(outcome)))
    })
}

/// `PUT /v1/job/:id/periodic/force`.
pub(crate) fn force(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let command = PeriodicLaunch {
            namespace: call.namespace()?,
            job_id: call.request.id.clone(),
            launch_ns: 0,
            forced: true,
            eval_id: random_id().to_vec(),
        };
        let written = call.api.context.writer.write(command).await?;
        let outcome = &written.answer;
        Ok(Answer::written(&call.request, outcome.index, &Forced::of(outcome)))
    })
}

/// Refuses a prefix with which the child's id would be none that a job may have.
fn check_id_prefix(parent: &str, prefix: &str) -> Result<(), HttpError> {
    if prefix.contains([' ', '\0']) {
        return Err(HttpError::bad_request(format!(
            "the IdPrefixTemplate {prefix:?} would become part of the child's ID, which has no spaces and no null \
             characters"
        )));
    }
    let bytes = parent.len() + prefix.len() + CHILD_ID_REST_BYTES;
    if !prefix.is_empty() && bytes > JOB_NAME_BYTES_MAX {
        return Err(HttpError::bad_request(format!(
            "the child's ID would have {bytes} bytes with this IdPrefixTemplate, and {JOB_NAME_BYTES_MAX} are the most: \
             shorten it"
        )));
    }
    Ok(())
}
