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
    /// What a node must be.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Constraint>>")]
    pub constraints: Vec<Constraint>,
    /// What a node had better be.
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
    /// Moves off drained nodes.
    pub migrate: Option<MigrateStrategy>,
    /// Restarts on the node.
    pub restart_policy: Option<RestartPolicy>,
    /// Replacement of failed allocations.
    pub reschedule_policy: Option<ReschedulePolicy>,
    /// Disk of an allocation.
    pub ephemeral_disk: Option<EphemeralDisk>,
    /// Networks shared by the tasks.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<NetworkResource>>")]
    pub networks: Vec<NetworkResource>,
    /// Services of the group as a whole.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Service>>")]
    pub services: Vec<Service>,
    /// Volumes by the name that mounts call them by.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, VolumeRequest>>")]
    pub volumes: BTreeMap<String, VolumeRequest>,
    /// Bounds for autoscalers.
    pub scaling: Option<ScalingPolicy>,
    /// Nanoseconds from leaving the catalogue to the first kill.
    pub shutdown_delay: Option<i64>,
    /// Nanoseconds without servers after which the node stops the allocation itself.
    pub stop_after_client_disconnect: Option<i64>,
    /// Nanoseconds that a node may be unheard of before its allocations are replaced; of a later API,
    /// told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_client_disconnect: Option<i64>,
    /// The group's words for Consul, kept as they came; of a later API, told only where they are said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consul: Option<serde_json::Value>,
    /// Free words.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub meta: BTreeMap<String, String>,
}

impl TaskGroup {
    /// Allocations wanted, 1 where nothing is said.
    pub fn count(&self) -> i64 {
        self.count.unwrap_or(1)
    }

    /// Disk of an allocation in megabytes, 300 where nothing is said.
    pub fn disk_mb(&self) -> i64 {
        self.ephemeral_disk.as_ref().map_or(EphemeralDisk::DEFAULT_SIZE_MB, EphemeralDisk::size_mb)
    }

    /// The task of this name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == name)
    }
}

/// Disk of an allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct EphemeralDisk {
    /// Place a replacement on the same node if it can be.
    pub sticky: Option<bool>,
    /// Size in megabytes.
    #[serde(rename = "SizeMB")]
    pub size_mb: Option<i64>,
    /// Move the data along.
    pub migrate: Option<bool>,
}

impl EphemeralDisk {
    /// Megabytes of a disk whose size is not said.
    pub const DEFAULT_SIZE_MB: i64 = 300;

    /// Size in megabytes.
    pub fn size_mb(&self) -> i64 {
        self.size_mb.unwrap_or(Self::DEFAULT_SIZE_MB)
    }

    /// Place a replacement on the same node if it can be.
    pub fn sticky(&self) -> bool {
        self.sticky.unwrap_or(false)
    }

    /// Move the data along.
    pub fn migrate(&self) -> bool {
        self.migrate.unwrap_or(false)
    }
}

/// Bounds and hints for autoscalers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ScalingPolicy {
    /// The servers' name for the policy.
    #[serde(rename = "ID")]
    pub id: String,
    /// `horizontal`, `vertical_cpu` or `vertical_mem`.
    #[serde(rename = "Type")]
    pub policy_type: String,
    /// What is scaled.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub target: BTreeMap<String, String>,
    /// The autoscaler's own words; kept as they came.
    pub policy: Option<serde_json::Value>,
    /// Least count; the group's where nothing is said.
    pub min: Option<i64>,
    /// Greatest count.
    pub max: Option<i64>,
    /// Whether autoscalers are to act.
    pub enabled: Option<bool>,
    /// The servers' index.
    pub create_index: u64,
    /// The servers' index.
    pub modify_index: u64,
}

/// A volume that a group asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeRequest {
    /// The name that mounts call it by.
    pub name: String,
    /// `host` or `csi`.
    #[serde(rename = "Type")]
    pub volume_type: String,
    /// The node's or the plugin's name for the volume.
    pub source: String,
    /// Nothing is written.
    pub read_only: bool,
    /// Kept as they came.
    pub mount_options: Option<serde_json::Value>,
    /// How the volume may be shared; of a later API, told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_mode: Option<String>,
    /// `file-system` or `block-device`; of a later API, told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_mode: Option<String>,
    /// Each allocation has a volume of its own; of a later API, told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_alloc: Option<bool>,
}
