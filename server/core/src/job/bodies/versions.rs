//! Bodies of requests about versions of a job: revert to a version, mark a version as stable.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BodyError, check_same, read};

/// Request to revert to an earlier version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevertRequest {
    /// Version to revert to.
    pub version: u64,
    /// Reverts only if this is the job's current version.
    pub enforced_prior_version: Option<u64>,
    /// Secret used during the registration only.
    pub consul_token: String,
    /// Secret used during the registration only.
    pub vault_token: String,
    /// Target region; empty for the local region.
    pub region: String,
    /// Namespace in the body.
    pub namespace: String,
}

/// Request to mark a version as stable or unstable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StableRequest {
    /// Version to mark.
    pub version: u64,
    /// New stability of the version.
    pub stable: bool,
    /// Target region; empty for the local region.
    pub region: String,
    /// Namespace in the body.
    pub namespace: String,
}

/// Body of a revert request.
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

/// Body of a stability request.
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

/// Decodes the revert request for the job `id`.
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

/// Decodes the stability request for the job `id`.
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
