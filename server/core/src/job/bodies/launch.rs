//! Bodies that set something going for a job that is there: a dispatch, an evaluation.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BodyError, check_same, read, read_bytes};

/// Launch a child of a parameterized job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DispatchRequest {
    /// What the child finds in its file.
    pub payload: Vec<u8>,
    /// Meta of the child.
    pub meta: BTreeMap<String, String>,
    /// The shape of the child's ID behind `dispatch-`; empty for the usual one.
    pub id_prefix_template: String,
    /// Dispatches with the same token launch one child; empty for none.
    pub idempotency_token: String,
    /// The region that the request is for; empty for this one.
    pub region: String,
    /// The namespace that the body names.
    pub namespace: String,
}

/// Evaluate a job anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvaluateRequest {
    /// Replace failed allocations now, whatever their policies say.
    pub force_reschedule: bool,
    /// The region that the request is for; empty for this one.
    pub region: String,
    /// The namespace that the body names.
    pub namespace: String,
}

/// The body of a dispatch; the payload is base64.
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

/// The body of a request to evaluate a job anew.
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

/// Reads the body of a dispatch of the job `id`, which it need not name.
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

/// Reads the body of an evaluation of the job `id`: it may be left out, but not be wrong.
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
