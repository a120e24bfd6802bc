//! What a registration's body says, or why it says nothing.

use ordu_proto::api::job::JobSpec;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::lenient;

/// A registration as it came: neither canonical nor valid yet.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterRequest {
    /// The job.
    pub job: JobSpec,
    /// Register the job as a stopped one.
    pub stop: bool,
    /// Register only if the job's index is `job_modify_index`, 0 for a job that is not there.
    pub enforce_index: bool,
    /// See `enforce_index`.
    pub job_modify_index: u64,
    /// Override soft policies; there are none here.
    pub policy_override: bool,
    /// Keep the counts of the groups that are there.
    pub preserve_counts: bool,
    /// The region that the request is for; empty for this one.
    pub region: String,
    /// The namespace that the request names; the job's own counts.
    pub namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Body {
    job: Option<JobSpec>,
    enforce_index: bool,
    job_modify_index: u64,
    policy_override: bool,
    preserve_counts: bool,
    region: String,
    namespace: String,
}

/// What the state owns of a job and a registration may still say. A second look at the body takes
/// less time than a job whose members must be kept aside until they are known.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BodyOfMembers {
    job: Option<Members>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Members {
    #[serde(rename = "ID")]
    id: Option<IgnoredAny>,
    stop: bool,
}

/// Reads the body of a registration, an update, a plan or a validation. The error is the text of the
/// refusal with status 400.
pub fn decode_register(body: &[u8]) -> Result<RegisterRequest, String> {
    if body.trim_ascii().is_empty() {
        return Err("Request body is empty".to_owned());
    }
    let Body { job, enforce_index, job_modify_index, policy_override, preserve_counts, region, namespace } =
        lenient::from_slice(body)?;
    let job = job.ok_or_else(|| "Job must be specified".to_owned())?;
    let members = lenient::from_slice::<BodyOfMembers>(body)?.job.unwrap_or_default();
    if members.id.is_none() {
        return Err("Job ID hasn't been provided".to_owned());
    }
    Ok(RegisterRequest {
        job,
        stop: members.stop,
        enforce_index,
        job_modify_index,
        policy_override,
        preserve_counts,
        region,
        namespace,
    })
}

/// Reads a job that stands alone, as a file of a user does, with the same tolerance.
pub fn decode_job(document: &[u8]) -> Result<JobSpec, String> {
    lenient::from_slice(document)
}
