//! Bodies about the versions of a job: go back to one, call one stable.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BodyError, check_same, read};

/// Go back to an earlier version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevertRequest {
    /// The version to go back to.
    pub version: u64,
    /// Go back only if this is the job's present version.
    pub enforced_prior_version: Option<u64>,
    /// A secret that serves the registration only.
    pub consul_token: String,
    /// A secret that serves the registration only.
    pub vault_token: String,
    /// The region that the request is for; empty for this one.
    pub region: String,
    /// The namespace that the body names.
    pub namespace: String,
}

/// Call a version stable, or no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StableRequest {
    /// The version.
    pub version: u64,
    /// What it is from now on.
    pub stable: bool,
    /// The region that the request is for; empty for this one.
    pub region: String,
    /// The namespace that the body names.
    pub namespace: String,
}

/// The body of a request to go back to a version.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobRevertRequest {
    #[serde(rename = "JobID")]
    job_id: String,
    job_version: u64,
    enforce_prior_version: Option<u64>,
    consul_token: String,
    vault_token: String,
    region: String,
    namespace: String,
}

/// The body of a mark on a version.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobStabilityRequest {
    #[serde(rename = "JobID")]
    job_id: String,
    job_version: u64,
    stable: bool,
    region: String,
    namespace: String,
}

/// Reads the body of a revert of the job `id`.
pub fn decode_revert(id: &str, body: &[u8]) -> Result<RevertRequest, BodyError> {
    let it: JobRevertRequest = read(body)?;
    check_named(&it.job_id, id)?;
    Ok(RevertRequest {
        version: it.job_version,
        enforced_prior_version: it.enforce_prior_version,
        consul_token: it.consul_token,
        vault_token: it.vault_token,
        region: it.region,
        namespace: it.namespace,
    })
}

/// Reads the body that calls a version of the job `id` stable.
pub fn decode_stable(id: &str, body: &[u8]) -> Result<StableRequest, BodyError> {
    let it: JobStabilityRequest = read(body)?;
    check_named(&it.job_id, id)?;
    Ok(StableRequest {
        version: it.job_version,
        stable: it.stable,
        region: it.region,
        namespace: it.namespace,
    })
}

fn check_named(named: &str, id: &str) -> Result<(), BodyError> {
    if named.is_empty() {
        return Err(BodyError::bad_request("JobID must be specified"));
    }
    check_same(named, id, "Job ID does not match")
}
