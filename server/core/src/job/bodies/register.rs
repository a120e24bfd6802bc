//! Bodies that contain a whole job: registrations, updates, plans, validations.

use ordu_proto::api::job::{Job, JobSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{BodyError, check_eval_priority, check_same, read, read_bytes};
use crate::job::decode;
use crate::job::faults::Faults;
use crate::job::validate;
use crate::limits::JOB_NAME_BYTES_MAX;

/// A decoded registration: not yet canonical and not yet validated.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterRequest {
    /// The job.
    pub job: JobSpec,
    /// Registers the job as stopped.
    pub stop: bool,
    /// Whether the job contains a payload, which only dispatches may have.
    pub carries_payload: bool,
    /// Registers only if the job's index equals `job_modify_index`, or the job does not exist if that is 0.
    pub enforce_index: bool,
    /// See `enforce_index`.
    pub job_modify_index: u64,
    /// Overrides soft policies; Ordu has none.
    pub policy_override: bool,
    /// Keeps the current counts of existing groups.
    pub preserve_counts: bool,
    /// Priority of the registration's evaluation; 0 for the job's.
    pub eval_priority: i32,
    /// Target region; empty for the local region.
    pub region: String,
    /// Namespace in the request. The namespace in the job takes precedence.
    pub namespace: String,
}

impl RegisterRequest {
    /// Validates the job, which must be canonical, and the payload sent with it.
    pub fn validate(&self) -> Result<(), Faults> {
        validate::validate_submitted(&self.job, self.carries_payload)
    }
}

/// A decoded plan request: not yet canonical and not yet validated.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRequest {
    /// The job, as in a registration.
    pub submitted: RegisterRequest,
    /// Whether to return the diff to the registered job.
    pub diff: bool,
}

/// Body of a registration or an update.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schemars(extend("required" = ["Job"]))]
pub struct JobRegisterRequest {
    #[schemars(with = "Job")]
    job: Option<JobSpec>,
    enforce_index: bool,
    job_modify_index: u64,
    policy_override: bool,
    preserve_counts: bool,
    eval_priority: i32,
    region: String,
    namespace: String,
}

/// Body of a plan request.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schemars(extend("required" = ["Job"]))]
pub struct JobPlanRequest {
    #[schemars(with = "Job")]
    job: Option<JobSpec>,
    diff: bool,
    policy_override: bool,
    region: String,
    namespace: String,
}

/// Body of a validation request.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
#[schemars(extend("required" = ["Job"]))]
pub struct JobValidateRequest {
    #[schemars(with = "Job")]
    job: Option<JobSpec>,
    region: String,
    namespace: String,
}

/// Members of a job that belong to the server's state but may occur in a body. Parsing the body a second time is faster
/// than buffering the members of the job until they are known.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", rename = "JobRegisterRequest", default)]
struct BodyOfMembers {
    job: Option<Members>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", rename = "JobSpec", default)]
struct Members {
    #[serde(rename = "ID")]
    id: Option<IgnoredAny>,
    stop: bool,
    payload: String,
}

/// The job in a body, with its members outside the specification.
struct Submitted {
    job: JobSpec,
    has_id: bool,
    stop: bool,
    carries_payload: bool,
}

impl Submitted {
    fn read(job: Option<JobSpec>, body: &[u8]) -> Result<Submitted, BodyError> {
        let job = job.ok_or_else(|| BodyError::bad_request("Job must be specified"))?;
        check_names(&job).map_err(BodyError::bad_request)?;
        let members = read::<BodyOfMembers>(body)?.job.unwrap_or_default();
        let carries_payload = !read_bytes(&members.payload)?.is_empty();
        Ok(Submitted { job, has_id: members.id.is_some(), stop: members.stop, carries_payload })
    }

    fn must_have_id(self, text: &str) -> Result<Submitted, BodyError> {
        if self.has_id { Ok(self) } else { Err(BodyError::bad_request(text)) }
    }

    fn into_request(self, region: String, namespace: String) -> RegisterRequest {
        let Submitted { job, stop, carries_payload, .. } = self;
        RegisterRequest {
            job,
            stop,
            carries_payload,
            enforce_index: false,
            job_modify_index: 0,
            policy_override: false,
            preserve_counts: false,
            eval_priority: 0,
            region,
            namespace,
        }
    }
}

/// Decodes a registration. The error is the text of an answer with status 400.
pub fn decode_register(body: &[u8]) -> Result<RegisterRequest, String> {
    Ok(registration(body)?)
}

/// Decodes a registration sent to the path of the job `id`.
pub fn decode_update(id: &str, body: &[u8]) -> Result<RegisterRequest, BodyError> {
    let request = registration(body)?;
    check_same(&request.job.id, id, "Job ID does not match name")?;
    Ok(request)
}

fn registration(body: &[u8]) -> Result<RegisterRequest, BodyError> {
    let it: JobRegisterRequest = read(body)?;
    let submitted = Submitted::read(it.job, body)?.must_have_id("Job ID hasn't been provided")?;
    if it.eval_priority != 0 {
        check_eval_priority(it.eval_priority.into())?;
    }
    Ok(RegisterRequest {
        enforce_index: it.enforce_index,
        job_modify_index: it.job_modify_index,
        policy_override: it.policy_override,
        preserve_counts: it.preserve_counts,
        eval_priority: it.eval_priority,
        ..submitted.into_request(it.region, it.namespace)
    })
}

/// Decodes a plan request for the job `id`.
pub fn decode_plan(id: &str, body: &[u8]) -> Result<PlanRequest, BodyError> {
    let it: JobPlanRequest = read(body)?;
    let submitted = Submitted::read(it.job, body)?.must_have_id("Job must have a valid ID")?;
    check_same(&submitted.job.id, id, "Job ID does not match")?;
    let request = submitted.into_request(it.region, it.namespace);
    let submitted = RegisterRequest { policy_override: it.policy_override, ..request };
    Ok(PlanRequest { submitted, diff: it.diff })
}

/// Decodes a validation request. A missing job ID is left to `validate` to report.
pub fn decode_validate(body: &[u8]) -> Result<RegisterRequest, BodyError> {
    let it: JobValidateRequest = read(body)?;
    Ok(Submitted::read(it.job, body)?.into_request(it.region, it.namespace))
}

/// Decodes a bare job, such as a user's file, with the same tolerance.
pub fn decode_job(document: &[u8]) -> Result<JobSpec, String> {
    let job = decode::from_slice(document)?;
    check_names(&job)?;
    Ok(job)
}

/// Limits the lengths of names before default values are derived from them.
fn check_names(job: &JobSpec) -> Result<(), String> {
    let check = |what: &str, name: &str| match name.len() {
        ..=JOB_NAME_BYTES_MAX => Ok(()),
        length => Err(format!(
            "the {what} has {length} bytes, and at most {JOB_NAME_BYTES_MAX} are allowed: shorten it"
        )),
    };
    check("job's ID", &job.id)?;
    check("job's name", job.name())?;
    check("job's namespace", job.namespace())?;
    for group in &job.task_groups {
        check("name of a task group", &group.name)?;
        for task in &group.tasks {
            check("name of a task", &task.name)?;
        }
        let of_tasks = group.tasks.iter().flat_map(|task| &task.services);
        for service in group.services.iter().chain(of_tasks) {
            check("name of a service", &service.name)?;
        }
    }
    Ok(())
}
