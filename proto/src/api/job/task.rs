//! The task: one program run by one driver, and what it needs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Affinity, Constraint, DispatchPayloadConfig, NetworkResource, RestartPolicy, ScalingPolicy, Service,
    empty_as_null,
};

/// One program of a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Task {
    /// Name, unique in the group.
    pub name: String,
    /// The driver that runs the task.
    pub driver: String,
    /// The user that the task runs as.
    pub user: String,
    /// Settings for the driver, stored verbatim.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub config: BTreeMap<String, serde_json::Value>,
    /// Environment variables.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub env: BTreeMap<String, String>,
    /// Constraints on nodes.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Constraint>>")]
    pub constraints: Vec<Constraint>,
    /// Affinities for nodes.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Affinity>>")]
    pub affinities: Vec<Affinity>,
    /// Services that the task offers.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Service>>")]
    pub services: Vec<Service>,
    /// Resources used on the node.
    pub resources: Option<Resources>,
    /// Restarts on the same node; the group's policy if not set.
    pub restart_policy: Option<RestartPolicy>,
    /// When the task runs; not set for a main task.
    pub lifecycle: Option<Lifecycle>,
    /// Files rendered before the start.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Template>>")]
    pub templates: Vec<Template>,
    /// Files fetched before the start.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<TaskArtifact>>")]
    pub artifacts: Vec<TaskArtifact>,
    /// Secrets from Vault.
    pub vault: Option<Vault>,
    /// Mounts of the group's volumes.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<VolumeMount>>")]
    pub volume_mounts: Vec<VolumeMount>,
    /// Where the payload of a dispatch is written.
    pub dispatch_payload: Option<DispatchPayloadConfig>,
    /// Set if the task is a storage plugin.
    #[serde(rename = "CSIPluginConfig")]
    pub csi_plugin_config: Option<CsiPluginConfig>,
    /// Limits on stored logs.
    pub log_config: Option<LogConfig>,
    /// Bounds for autoscalers.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ScalingPolicy>>")]
    pub scaling_policies: Vec<ScalingPolicy>,
    /// The signal that asks the task to end; the driver's default if not set.
    pub kill_signal: String,
    /// Nanoseconds from `KillSignal` to the kill.
    pub kill_timeout: Option<i64>,
    /// Nanoseconds from the deregistration of services to `KillSignal`.
    pub shutdown_delay: i64,
    /// When this task ends, the other tasks of the group are stopped.
    pub leader: bool,
    /// Purpose of a special task, for example `connect-proxy:<service>`; empty for ordinary tasks.
    pub kind: String,
    /// Arbitrary metadata.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub meta: BTreeMap<String, String>,
}

impl Task {
    /// Nanoseconds from the first signal to the kill; 5 s if not set or 0.
    pub fn kill_timeout_ns(&self) -> i64 {
        self.kill_timeout.filter(|timeout_ns| *timeout_ns != 0).unwrap_or(5_000_000_000)
    }

    /// CPU in megahertz.
    pub fn cpu_mhz(&self) -> i64 {
        self.resources.as_ref().map_or(Resources::DEFAULT_CPU_MHZ, Resources::cpu_mhz)
    }

    /// Memory in megabytes.
    pub fn memory_mb(&self) -> i64 {
        self.resources.as_ref().map_or(Resources::DEFAULT_MEMORY_MB, Resources::memory_mb)
    }

    /// Upper limit of stored logs, in megabytes.
    pub fn log_storage_mb(&self) -> i64 {
        let default = LogConfig::default();
        let log = self.log_config.as_ref().unwrap_or(&default);
        log.max_files().saturating_mul(log.max_file_size_mb())
    }
}

/// Resources that a task uses on its node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resources {
    /// CPU in megahertz.
    #[serde(rename = "CPU")]
    pub cpu: Option<i64>,
    /// Memory in megabytes.
    #[serde(rename = "MemoryMB")]
    pub memory_mb: Option<i64>,
    /// Ignored; the group's disk counts.
    #[serde(rename = "DiskMB")]
    pub disk_mb: Option<i64>,
    /// Ignored.
    #[serde(rename = "IOPS")]
    pub iops: Option<i64>,
    /// Networks of this task alone; networks of the group are preferable.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<NetworkResource>>")]
    pub networks: Vec<NetworkResource>,
    /// Devices that the task uses.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<RequestedDevice>>")]
    pub devices: Vec<RequestedDevice>,
    /// Whole cores; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<i64>,
    /// Memory in megabytes that the task may use if the node has it to spare; from a later Nomad API, omitted if
    /// not set.
    #[serde(rename = "MemoryMaxMB", skip_serializing_if = "Option::is_none")]
    pub memory_max_mb: Option<i64>,
}

impl Resources {
    /// CPU in megahertz if not set.
    pub const DEFAULT_CPU_MHZ: i64 = 100;
    /// Memory in megabytes if not set.
    pub const DEFAULT_MEMORY_MB: i64 = 300;

    /// CPU in megahertz.
    pub fn cpu_mhz(&self) -> i64 {
        self.cpu.unwrap_or(Self::DEFAULT_CPU_MHZ)
    }

    /// Memory in megabytes.
    pub fn memory_mb(&self) -> i64 {
        self.memory_mb.unwrap_or(Self::DEFAULT_MEMORY_MB)
    }
}

/// Devices of one kind that a task requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RequestedDevice {
    /// `type`, `vendor/type` or `vendor/type/name`.
    pub name: String,
    /// How many.
    pub count: Option<u64>,
    /// Constraints on devices.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Constraint>>")]
    pub constraints: Vec<Constraint>,
    /// Affinities for devices.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Affinity>>")]
    pub affinities: Vec<Affinity>,
}

impl RequestedDevice {
    /// How many; 1 if not set.
    pub fn count(&self) -> u64 {
        self.count.unwrap_or(1)
    }
}

/// When a task runs relative to the main tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Lifecycle {
    /// `prestart`, `poststart` or `poststop`.
    pub hook: String,
    /// The task runs as long as the main tasks do.
    pub sidecar: bool,
}

/// Limits on stored logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// Files per stream.
    pub max_files: Option<i64>,
    /// Megabytes per file.
    #[serde(rename = "MaxFileSizeMB")]
    pub max_file_size_mb: Option<i64>,
}

impl LogConfig {
    /// Files per stream; 10 if not set.
    pub fn max_files(&self) -> i64 {
        self.max_files.unwrap_or(10)
    }

    /// Megabytes per file; 10 if not set.
    pub fn max_file_size_mb(&self) -> i64 {
        self.max_file_size_mb.unwrap_or(10)
    }
}

/// A file rendered before the start and whenever its inputs change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Template {
    /// Path of the template.
    pub source_path: Option<String>,
    /// Path of the rendered file.
    pub dest_path: Option<String>,
    /// The template text itself.
    pub embedded_tmpl: Option<String>,
    /// Action on a change: `restart`, `signal` or `noop`.
    pub change_mode: Option<String>,
    /// The signal sent if `ChangeMode` is `signal`.
    pub change_signal: Option<String>,
    /// Maximum random delay of a change action in nanoseconds.
    pub splay: Option<i64>,
    /// Permissions of the file, octal.
    pub perms: Option<String>,
    /// Left delimiter.
    pub left_delim: Option<String>,
    /// Right delimiter.
    pub right_delim: Option<String>,
    /// The rendered file contains environment variables for the task.
    pub envvars: Option<bool>,
    /// Ignored.
    pub vault_grace: Option<i64>,
}

/// A file fetched before the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskArtifact {
    /// The source URL.
    pub getter_source: Option<String>,
    /// Options of the getter, for example `checksum`.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub getter_options: BTreeMap<String, String>,
    /// HTTP headers.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub getter_headers: BTreeMap<String, String>,
    /// `any`, `file` or `dir`.
    pub getter_mode: Option<String>,
    /// Destination inside the task's directory.
    pub relative_dest: Option<String>,
}

/// Secrets from Vault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Vault {
    /// Policies of the task's token.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub policies: Vec<String>,
    /// Vault namespace.
    pub namespace: Option<String>,
    /// Whether the token is put into the environment.
    pub env: Option<bool>,
    /// Action on a new token: `restart`, `signal` or `noop`.
    pub change_mode: Option<String>,
    /// The signal sent if `ChangeMode` is `signal`.
    pub change_signal: Option<String>,
}

/// The mount of one of the group's volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeMount {
    /// The volume's name in the group.
    pub volume: Option<String>,
    /// The path inside the task.
    pub destination: Option<String>,
    /// The volume is mounted read-only.
    pub read_only: Option<bool>,
    /// `private`, `host-to-task` or `bidirectional`.
    pub propagation_mode: Option<String>,
}

/// Settings of a task that is a storage plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CsiPluginConfig {
    /// The plugin's name.
    #[serde(rename = "ID")]
    pub id: String,
    /// `controller`, `node` or `monolith`.
    #[serde(rename = "Type")]
    pub plugin_type: String,
    /// Directory of its socket, inside the task.
    #[serde(rename = "MountDir")]
    pub mount_dir: String,
}
