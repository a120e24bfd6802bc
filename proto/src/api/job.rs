//! The job in the API's JSON form: its specification, and the members that belong to the servers' state.
//!
//! [`JobSpec`] is what a user writes; it is stored once per version. A field is an `Option` where the API
//! distinguishes an absent value from zero. `ordu_core::job::canonicalise` fills all of these, and the
//! accessors of the same name return the default if the field is not set. Empty lists and maps are encoded as
//! `null`; absent, `null` and empty decode to the same value. Durations are nanoseconds.

mod diff;
mod empty_as_null;
mod group;
mod listing;
mod network;
mod placement;
mod policy;
mod schedule;
mod service;
mod task;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use diff::{DesiredUpdates, DiffType, FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};
pub use group::{EphemeralDisk, ScalingPolicy, TaskGroup, VolumeRequest};
pub use listing::{JobChildrenSummary, JobListStub, JobSummary, TaskGroupSummary};
pub use network::{DnsConfig, NetworkResource, Port};
pub use placement::{Affinity, Constraint, Spread, SpreadTarget};
pub use policy::{MigrateStrategy, ReschedulePolicy, RestartPolicy, UpdateStrategy};
pub use schedule::{DispatchPayloadConfig, ParameterizedJobConfig, PeriodicConfig};
pub use service::{CheckRestart, Service, ServiceCheck};
pub use task::{
    CsiPluginConfig, Lifecycle, LogConfig, RequestedDevice, Resources, Task, TaskArtifact, Template, Vault,
    VolumeMount,
};

/// Job type of long-running work.
pub const TYPE_SERVICE: &str = "service";
/// Job type of work that runs to completion.
pub const TYPE_BATCH: &str = "batch";
/// Job type of work that runs once on every feasible node.
pub const TYPE_SYSTEM: &str = "system";
/// The namespace used if none is given.
pub const DEFAULT_NAMESPACE: &str = "default";
/// The region used if none is given.
pub const DEFAULT_REGION: &str = "global";
/// The priority of a job that does not set one; the range is 1 to 100.
pub const DEFAULT_PRIORITY: i64 = 50;

/// The specification of a job, as the user writes it. It does not change within a version; status, version and
/// indexes are in [`Job`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobSpec {
    /// The job's identifier in the API; slashes are allowed, spaces are not.
    #[serde(rename = "ID")]
    pub id: String,
    /// The display name; the ID if not set.
    pub name: Option<String>,
    /// The namespace of the job.
    pub namespace: Option<String>,
    /// The region of the job.
    pub region: Option<String>,
    /// `service`, `batch` or `system`.
    #[serde(rename = "Type")]
    pub job_type: Option<String>,
    /// 1 to 100; jobs with a higher priority are scheduled first.
    pub priority: Option<i64>,
    /// Place all groups or none.
    pub all_at_once: bool,
    /// Datacenters that the job may run in.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub datacenters: Vec<String>,
    /// Constraints on the nodes of all groups.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Constraint>>")]
    pub constraints: Vec<Constraint>,
    /// Affinities for the nodes of all groups.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Affinity>>")]
    pub affinities: Vec<Affinity>,
    /// How allocations of all groups are spread over the values of an attribute.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Spread>>")]
    pub spreads: Vec<Spread>,
    /// The groups of tasks, which are the units of placement.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<TaskGroup>>")]
    pub task_groups: Vec<TaskGroup>,
    /// Default of the groups' `update`; a canonical job keeps only `Stagger` and `MaxParallel`.
    pub update: Option<UpdateStrategy>,
    /// Default of the groups' reschedule policies; a canonical job has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reschedule: Option<ReschedulePolicy>,
    /// Default of the groups' migrate strategies; a canonical job has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate: Option<MigrateStrategy>,
    /// Stored verbatim.
    pub multiregion: Option<Value>,
    /// Launch child jobs on a schedule.
    pub periodic: Option<PeriodicConfig>,
    /// Launch child jobs by dispatch.
    pub parameterized_job: Option<ParameterizedJobConfig>,
    /// Arbitrary metadata.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub meta: BTreeMap<String, String>,
    /// A Consul token given with the registration; removed from the canonical job because it is a secret.
    pub consul_token: String,
    /// A Vault token given with the registration; removed from the canonical job because it is a secret.
    pub vault_token: String,
    /// The Vault namespace for the tasks' secrets.
    pub vault_namespace: String,
    /// The Consul namespace for the services; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consul_namespace: Option<String>,
}

impl JobSpec {
    /// Returns the display name.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// Returns the namespace of the job.
    pub fn namespace(&self) -> &str {
        said(&self.namespace).unwrap_or(DEFAULT_NAMESPACE)
    }

    /// Returns the region of the job.
    pub fn region(&self) -> &str {
        said(&self.region).unwrap_or(DEFAULT_REGION)
    }

    /// Returns `service`, `batch`, `system`, or the invalid type that the user wrote.
    pub fn job_type(&self) -> &str {
        self.job_type.as_deref().unwrap_or(TYPE_SERVICE)
    }

    /// Returns the priority; 1 to 100 in a valid job.
    pub fn priority(&self) -> i64 {
        self.priority.unwrap_or(DEFAULT_PRIORITY)
    }

    /// Whether the job launches children on a schedule. A job with a disabled `periodic` block is periodic too.
    pub fn is_periodic(&self) -> bool {
        self.periodic.is_some()
    }

    /// Whether dispatches launch children of this job.
    pub fn is_parameterized(&self) -> bool {
        self.parameterized_job.is_some()
    }

    /// Whether the job lists the regions that it runs in, with their counts and datacenters.
    pub fn is_multiregion(&self) -> bool {
        let regions = self.multiregion.as_ref().and_then(|multiregion| member(multiregion, "Regions"));
        regions.and_then(Value::as_array).is_some_and(|regions| !regions.is_empty())
    }

    /// Returns the group with this name.
    pub fn group(&self, name: &str) -> Option<&TaskGroup> {
        self.task_groups.iter().find(|group| group.name == name)
    }
}

/// The whole job as `GET /v1/job/:id` returns it and as the body of a registration may contain it: the
/// specification, and the members that belong to the servers' state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Job {
    /// The specification.
    #[serde(flatten)]
    pub spec: JobSpec,
    /// Whether the user stopped the job. Of the members outside the specification, only this can be set by a
    /// registration.
    #[serde(deserialize_with = "null_as_default")]
    pub stop: bool,
    /// The job that launched this one.
    #[serde(rename = "ParentID", deserialize_with = "null_as_default")]
    pub parent_id: String,
    /// Whether a dispatch launched this job.
    #[serde(deserialize_with = "null_as_default")]
    pub dispatched: bool,
    /// The payload of the dispatch, base64.
    pub payload: Option<String>,
    /// Always empty in responses.
    #[serde(rename = "NomadTokenID", deserialize_with = "null_as_default")]
    pub nomad_token_id: String,
    /// `pending`, `running` or `dead`.
    #[serde(deserialize_with = "null_as_default")]
    pub status: String,
    /// Explains the status.
    #[serde(deserialize_with = "null_as_default")]
    pub status_description: String,
    /// Whether a deployment of this version succeeded.
    #[serde(deserialize_with = "null_as_default")]
    pub stable: bool,
    /// The number of accepted changes of the specification; starts at 0.
    #[serde(deserialize_with = "null_as_default")]
    pub version: u64,
    /// When the version was registered; nanoseconds since 1970.
    #[serde(deserialize_with = "null_as_default")]
    pub submit_time: i64,
    /// The state index at which the job was created.
    #[serde(deserialize_with = "null_as_default")]
    pub create_index: u64,
    /// The state index of the last change of any member.
    #[serde(deserialize_with = "null_as_default")]
    pub modify_index: u64,
    /// The state index of the last change by a user.
    #[serde(deserialize_with = "null_as_default")]
    pub job_modify_index: u64,
}

/// Returns the text, or nothing if it is absent or empty.
fn said(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Returns a member of verbatim JSON by its case-insensitive name; nothing if it is `null`.
fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let members = value.as_object()?;
    let found = members
        .get(name)
        .or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value));
    found.filter(|value| !value.is_null())
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
