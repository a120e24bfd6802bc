//! The job as the API spells it: its specification, and the members that the servers' state owns.
//!
//! [`JobSpec`] is what a user writes and what is stored once a version. Where the API tells "not said"
//! from "said to be zero" a field is an `Option`; `ordu_core::job::canonicalise` fills all of these, so
//! whoever reads a stored specification uses the accessors of the same name, which take the default
//! where nothing is said. Lists and maps are encoded as `null` when empty, and absent, `null` and
//! empty decode to the same. Durations are nanoseconds.

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
/// Job type of work that ends.
pub const TYPE_BATCH: &str = "batch";
/// Job type of work that runs once on every feasible node.
pub const TYPE_SYSTEM: &str = "system";
/// The namespace of whoever names none.
pub const DEFAULT_NAMESPACE: &str = "default";
/// The region of whoever names none.
pub const DEFAULT_REGION: &str = "global";
/// The priority of a job that states none; the range is 1 to 100.
pub const DEFAULT_PRIORITY: i64 = 50;

/// What a user says a job is to be. Nothing in here changes while the version lives; status, version
/// and indexes are in [`Job`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobSpec {
    /// The name the job goes by in the API; slashes are allowed, spaces are not.
    #[serde(rename = "ID")]
    pub id: String,
    /// The name for people; the ID where nothing is said.
    pub name: Option<String>,
    /// The namespace that the job lives in.
    pub namespace: Option<String>,
    /// The region that the job is for.
    pub region: Option<String>,
    /// `service`, `batch` or `system`.
    #[serde(rename = "Type")]
    pub job_type: Option<String>,
    /// 1 to 100; what is higher is scheduled first.
    pub priority: Option<i64>,
    /// Place all of the groups or none.
    pub all_at_once: bool,
    /// Datacenters that the job may run in.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub datacenters: Vec<String>,
    /// What a node must be for any group.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Constraint>>")]
    pub constraints: Vec<Constraint>,
    /// What a node had better be for any group.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Affinity>>")]
    pub affinities: Vec<Affinity>,
    /// How all groups are spread over the values of an attribute.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Spread>>")]
    pub spreads: Vec<Spread>,
    /// The units of placement.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<TaskGroup>>")]
    pub task_groups: Vec<TaskGroup>,
    /// Default of the groups' `update`; in a canonical job only `Stagger` and `MaxParallel` are kept.
    pub update: Option<UpdateStrategy>,
    /// Default of the groups' reschedule policies; a canonical job has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reschedule: Option<ReschedulePolicy>,
    /// Default of the groups' migrate strategies; a canonical job has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate: Option<MigrateStrategy>,
    /// Kept as it came.
    pub multiregion: Option<Value>,
    /// Launch children by the clock.
    pub periodic: Option<PeriodicConfig>,
    /// Launch children by dispatch.
    pub parameterized_job: Option<ParameterizedJobConfig>,
    /// Free words of the user.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub meta: BTreeMap<String, String>,
    /// A Consul token given with the registration; a canonical job has none, it is a secret.
    pub consul_token: String,
    /// A Vault token given with the registration; a canonical job has none, it is a secret.
    pub vault_token: String,
    /// The Vault namespace for the tasks' secrets.
    pub vault_namespace: String,
    /// The Consul namespace for the services; of a later API, told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consul_namespace: Option<String>,
}

impl JobSpec {
    /// The name for people.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// The namespace that the job lives in.
    pub fn namespace(&self) -> &str {
        said(&self.namespace).unwrap_or(DEFAULT_NAMESPACE)
    }

    /// The region that the job is for.
    pub fn region(&self) -> &str {
        said(&self.region).unwrap_or(DEFAULT_REGION)
    }

    /// `service`, `batch`, `system`, or the wrong word that the user wrote.
    pub fn job_type(&self) -> &str {
        self.job_type.as_deref().unwrap_or(TYPE_SERVICE)
    }

    /// 1 to 100 in a valid job.
    pub fn priority(&self) -> i64 {
        self.priority.unwrap_or(DEFAULT_PRIORITY)
    }

    /// Whether the clock launches children of this job. A disabled `periodic` block still makes the
    /// job a periodic one.
    pub fn is_periodic(&self) -> bool {
        self.periodic.is_some()
    }

    /// Whether dispatches launch children of this job.
    pub fn is_parameterized(&self) -> bool {
        self.parameterized_job.is_some()
    }

    /// Whether the job names the regions that it runs in, with their counts and datacenters.
    pub fn is_multiregion(&self) -> bool {
        let regions = self.multiregion.as_ref().and_then(|multiregion| member(multiregion, "Regions"));
        regions.and_then(Value::as_array).is_some_and(|regions| !regions.is_empty())
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&TaskGroup> {
        self.task_groups.iter().find(|group| group.name == name)
    }
}

/// The whole job as `GET /v1/job/:id` answers it and as a registration's body may hold it: the
/// specification and the members that the servers' state owns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Job {
    /// The specification.
    #[serde(flatten)]
    pub spec: JobSpec,
    /// The user stopped the job. The only one of these members that a registration may set.
    #[serde(deserialize_with = "null_as_default")]
    pub stop: bool,
    /// The job that launched this one.
    #[serde(rename = "ParentID", deserialize_with = "null_as_default")]
    pub parent_id: String,
    /// Whether a dispatch launched this job.
    #[serde(deserialize_with = "null_as_default")]
    pub dispatched: bool,
    /// What the dispatch carried, base64.
    pub payload: Option<String>,
    /// Never told.
    #[serde(rename = "NomadTokenID", deserialize_with = "null_as_default")]
    pub nomad_token_id: String,
    /// `pending`, `running` or `dead`.
    #[serde(deserialize_with = "null_as_default")]
    pub status: String,
    /// Words to the status.
    #[serde(deserialize_with = "null_as_default")]
    pub status_description: String,
    /// Whether a deployment of this version succeeded.
    #[serde(deserialize_with = "null_as_default")]
    pub stable: bool,
    /// Counts the accepted changes of the specification, from 0.
    #[serde(deserialize_with = "null_as_default")]
    pub version: u64,
    /// When the version was registered; nanoseconds since 1970.
    #[serde(deserialize_with = "null_as_default")]
    pub submit_time: i64,
    /// The state index at which the job came to be.
    #[serde(deserialize_with = "null_as_default")]
    pub create_index: u64,
    /// The state index of the last change of any member.
    #[serde(deserialize_with = "null_as_default")]
    pub modify_index: u64,
    /// The state index of the last change by a user.
    #[serde(deserialize_with = "null_as_default")]
    pub job_modify_index: u64,
}

/// The text, unless nothing or an empty one was said.
fn said(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A member of what is kept as it came, by its name in any case; nothing where it is `null`.
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
