//! The task group: the unit of placement.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Affinity, Constraint, MigrateStrategy, NetworkResource, ReschedulePolicy, RestartPolicy, Service, Spread,
    Task, UpdateStrategy, empty_as_null,
};

/// Tasks that run together on one node, `Count` times.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskGroup {
    /// Name, unique in the job.
    pub name: String,
    /// Allocations wanted.
    pub count: Option<i64>,
    /// Constraints on nodes.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Constraint>>")]
    pub constraints: Vec<Constraint>,
    /// Affinities for nodes.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Affinity>>")]
    pub affinities: Vec<Affinity>,
    /// How allocations are spread over the values of an attribute.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Spread>>")]
    pub spreads: Vec<Spread>,
    /// The tasks.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Task>>")]
    pub tasks: Vec<Task>,
    /// Rolling updates.
    pub update: Option<UpdateStrategy>,
    /// Migration of allocations from drained nodes.
    pub migrate: Option<MigrateStrategy>,
    /// Restarts of tasks on the same node.
    pub restart_policy: Option<RestartPolicy>,
    /// Replacement of failed allocations.
    pub reschedule_policy: Option<ReschedulePolicy>,
    /// Disk space of an allocation.
    pub ephemeral_disk: Option<EphemeralDisk>,
    /// Networks shared by the tasks.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<NetworkResource>>")]
    pub networks: Vec<NetworkResource>,
    /// Services of the group as a whole.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Service>>")]
    pub services: Vec<Service>,
    /// Volumes, by the name that mounts refer to.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, VolumeRequest>>")]
    pub volumes: BTreeMap<String, VolumeRequest>,
    /// Bounds for autoscalers.
    pub scaling: Option<ScalingPolicy>,
    /// Nanoseconds from the deregistration of services to the first kill.
    pub shutdown_delay: Option<i64>,
    /// Nanoseconds without contact to servers after which the node stops the allocation itself.
    pub stop_after_client_disconnect: Option<i64>,
    /// Nanoseconds that a node may be disconnected before its allocations are replaced; from a later Nomad API,
    /// omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_client_disconnect: Option<i64>,
    /// The group's Consul settings, stored verbatim; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consul: Option<serde_json::Value>,
    /// Arbitrary metadata.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub meta: BTreeMap<String, String>,
}

impl TaskGroup {
    /// Allocations wanted; 1 if not set.
    pub fn count(&self) -> i64 {
        self.count.unwrap_or(1)
    }

    /// Disk space of an allocation in megabytes; 300 if not set.
    pub fn disk_mb(&self) -> i64 {
        self.ephemeral_disk.as_ref().map_or(EphemeralDisk::DEFAULT_SIZE_MB, EphemeralDisk::size_mb)
    }

    /// Returns the task with this name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == name)
    }
}

/// Disk space of an allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct EphemeralDisk {
    /// Place a replacement on the same node if possible.
    pub sticky: Option<bool>,
    /// Size in megabytes.
    #[serde(rename = "SizeMB")]
    pub size_mb: Option<i64>,
    /// Move the data to the replacement.
    pub migrate: Option<bool>,
}

impl EphemeralDisk {
    /// Size in megabytes if not set.
    pub const DEFAULT_SIZE_MB: i64 = 300;

    /// Size in megabytes.
    pub fn size_mb(&self) -> i64 {
        self.size_mb.unwrap_or(Self::DEFAULT_SIZE_MB)
    }

    /// Place a replacement on the same node if possible.
    pub fn sticky(&self) -> bool {
        self.sticky.unwrap_or(false)
    }

    /// Move the data to the replacement.
    pub fn migrate(&self) -> bool {
        self.migrate.unwrap_or(false)
    }
}

/// Bounds and hints for autoscalers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ScalingPolicy {
    /// The servers' id for the policy.
    #[serde(rename = "ID")]
    pub id: String,
    /// `horizontal`, `vertical_cpu` or `vertical_mem`.
    #[serde(rename = "Type")]
    pub policy_type: String,
    /// The object that is scaled.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub target: BTreeMap<String, String>,
    /// Settings for the autoscaler, stored verbatim.
    pub policy: Option<serde_json::Value>,
    /// Minimum count; the group's count if not set.
    pub min: Option<i64>,
    /// Maximum count.
    pub max: Option<i64>,
    /// Whether autoscalers may act.
    pub enabled: Option<bool>,
    /// The state index at which the policy was created.
    pub create_index: u64,
    /// The state index of the policy's last change.
    pub modify_index: u64,
}

/// A volume that a group requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeRequest {
    /// The name that mounts refer to.
    pub name: String,
    /// `host` or `csi`.
    #[serde(rename = "Type")]
    pub volume_type: String,
    /// The name of the volume at the node or at the plugin.
    pub source: String,
    /// The volume is mounted read-only.
    pub read_only: bool,
    /// Mount options, stored verbatim.
    pub mount_options: Option<serde_json::Value>,
    /// How the volume may be shared; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_mode: Option<String>,
    /// `file-system` or `block-device`; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_mode: Option<String>,
    /// Each allocation has its own volume; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_alloc: Option<bool>,
}
