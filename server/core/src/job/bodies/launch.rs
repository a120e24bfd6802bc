//! Bodies of requests that dispatch or evaluate an existing job.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BodyError, check_same, read, read_bytes};

/// Request to launch a child of a parameterized job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DispatchRequest {
    /// Payload for the child, decoded.
    pub payload: Vec<u8>,
    /// Metadata of the child.
    pub meta: BTreeMap<String, String>,
    /// Template of the child's ID after `dispatch-`; empty for the default.
    pub id_prefix_template: String,
    /// Dispatches with equal tokens launch a single child; empty for no deduplication.
    pub idempotency_token: String,
    /// Target region; empty for the local region.
    pub region: String,
    /// Namespace in the body.
    pub namespace: String,
}

/// Request to create an evaluation of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvaluateRequest {
    /// Reschedules failed allocations immediately, whatever their policies.
    pub force_reschedule: bool,
    /// Target region; empty for the local region.
    pub region: String,
    /// Namespace in the body.
    pub namespace: String,
}

/// Body of a dispatch; the payload is base64.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobDispatchRequest {
    #[serde(rename = "JobID")]
    job_id: String,
    payload: String,
    meta: BTreeMap<String, String>,
    id_prefix_template: String,
    idempotency_token: String,
    region: String,
    namespace: String,
}

/// Body of a request to evaluate a job.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobEvaluateRequest {
    #[serde(rename = "JobID")]
    job_id: String,
    eval_options: EvalOptions,
    region: String,
    namespace: String,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
struct EvalOptions {
    force_reschedule: bool,
}

/// Decodes the dispatch of the job `id`. The body may omit the job's ID.
pub fn decode_dispatch(id: &str, body: &[u8]) -> Result<DispatchRequest, BodyError> {
    let it: JobDispatchRequest = read(body)?;
    let payload = read_bytes(&it.payload)?;
    if !it.job_id.is_empty() {
        check_same(&it.job_id, id, "Job ID does not match")?;
    }
    Ok(DispatchRequest {
        payload,
        meta: it.meta,
        id_prefix_template: it.id_prefix_template,
        idempotency_token: it.idempotency_token,
        region: it.region,
        namespace: it.namespace,
    })
}

/// Decodes the request to evaluate the job `id`. The body may be empty, but if present it must name the job.
pub fn decode_evaluate(id: &str, body: &[u8]) -> Result<EvaluateRequest, BodyError> {
    if body.trim_ascii().is_empty() {
        return Ok(EvaluateRequest::default());
    }
    let it: JobEvaluateRequest = read(body)?;
    if it.job_id.is_empty() {
        return Err(BodyError::bad_request("Job ID must be specified"));
    }
    check_same(&it.job_id, id, "JobID not same as job name")?;
    Ok(EvaluateRequest {
        force_reschedule: it.eval_options.force_reschedule,
        region: it.region,
        namespace: it.namespace,
    })
}
