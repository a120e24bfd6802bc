//! The task: one program under one driver, and what it needs.

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
    /// The driver that runs it.
    pub driver: String,
    /// The user that it runs as.
    pub user: String,
    /// The driver's own words; kept as they came.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub config: BTreeMap<String, serde_json::Value>,
    /// Environment.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub env: BTreeMap<String, String>,
    /// What a node must be.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Constraint>>")]
    pub constraints: Vec<Constraint>,
    /// What a node had better be.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Affinity>>")]
    pub affinities: Vec<Affinity>,
    /// Services that the task offers.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Service>>")]
    pub services: Vec<Service>,
    /// What the task takes of the node.
    pub resources: Option<Resources>,
    /// Restarts on the node; the group's where nothing is said.
    pub restart_policy: Option<RestartPolicy>,
    /// Not a main task: when it runs beside or before them.
    pub lifecycle: Option<Lifecycle>,
    /// Files rendered before the start.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Template>>")]
    pub templates: Vec<Template>,
    /// Files fetched before the start.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<TaskArtifact>>")]
    pub artifacts: Vec<TaskArtifact>,
    /// Secrets.
    pub vault: Option<Vault>,
    /// Mounts of the group's volumes.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<VolumeMount>>")]
    pub volume_mounts: Vec<VolumeMount>,
    /// Where the payload of a dispatch is put.
    pub dispatch_payload: Option<DispatchPayloadConfig>,
    /// The task is a storage plugin.
    #[serde(rename = "CSIPluginConfig")]
    pub csi_plugin_config: Option<CsiPluginConfig>,
    /// How much log is kept.
    pub log_config: Option<LogConfig>,
    /// Bounds for autoscalers.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ScalingPolicy>>")]
    pub scaling_policies: Vec<ScalingPolicy>,
    /// The signal that asks the task to end; the driver's where nothing is said.
    pub kill_signal: String,
    /// Nanoseconds from that signal to the kill.
    pub kill_timeout: Option<i64>,
    /// Nanoseconds from leaving the catalogue to that signal.
    pub shutdown_delay: i64,
    /// When it ends, the group's other tasks are ended.
    pub leader: bool,
    /// What the servers made the task for.
    pub kind: String,
    /// Free words.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub meta: BTreeMap<String, String>,
}

impl Task {
    /// Nanoseconds from the first signal to the kill, 5 s where nothing or 0 is said.
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

    /// How much log is kept at most, in megabytes.
    pub fn log_storage_mb(&self) -> i64 {
        let default = LogConfig::default();
        let log = self.log_config.as_ref().unwrap_or(&default);
        log.max_files().saturating_mul(log.max_file_size_mb())
    }
}

/// What a task takes of its node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resources {
    /// Megahertz.
    #[serde(rename = "CPU")]
    pub cpu: Option<i64>,
    /// Megabytes.
    #[serde(rename = "MemoryMB")]
    pub memory_mb: Option<i64>,
    /// Without effect: the group's disk counts.
    #[serde(rename = "DiskMB")]
    pub disk_mb: Option<i64>,
    /// Without effect.
    #[serde(rename = "IOPS")]
    pub iops: Option<i64>,
    /// Networks of the task alone (the group's are to be preferred).
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<NetworkResource>>")]
    pub networks: Vec<NetworkResource>,
    /// Devices.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<RequestedDevice>>")]
    pub devices: Vec<RequestedDevice>,
    /// Whole cores; of a later API, told only where they are said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<i64>,
    /// Megabytes that a task may take while there are any; of a later API, told only where they are said.
    #[serde(rename = "MemoryMaxMB", skip_serializing_if = "Option::is_none")]
    pub memory_max_mb: Option<i64>,
}

impl Resources {
    /// Megahertz of a task that says nothing.
    pub const DEFAULT_CPU_MHZ: i64 = 100;
    /// Megabytes of a task that says nothing.
    pub const DEFAULT_MEMORY_MB: i64 = 300;

    /// Megahertz.
    pub fn cpu_mhz(&self) -> i64 {
        self.cpu.unwrap_or(Self::DEFAULT_CPU_MHZ)
    }

    /// Megabytes.
    pub fn memory_mb(&self) -> i64 {
        self.memory_mb.unwrap_or(Self::DEFAULT_MEMORY_MB)
    }
}

/// Devices of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct RequestedDevice {
    /// `type`, `vendor/type` or `vendor/type/name`.
    pub name: String,
    /// How many.
    pub count: Option<u64>,
    /// What a device must be.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Constraint>>")]
    pub constraints: Vec<Constraint>,
    /// What a device had better be.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Affinity>>")]
    pub affinities: Vec<Affinity>,
}

impl RequestedDevice {
    /// How many, 1 where nothing is said.
    pub fn count(&self) -> u64 {
        self.count.unwrap_or(1)
    }
}

/// When a task that is not a main one runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Lifecycle {
    /// `prestart`, `poststart` or `poststop`.
    pub hook: String,
    /// It runs as long as the main tasks do.
    pub sidecar: bool,
}

/// How much log is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// Files of each stream.
    pub max_files: Option<i64>,
    /// Megabytes of a file.
    #[serde(rename = "MaxFileSizeMB")]
    pub max_file_size_mb: Option<i64>,
}

impl LogConfig {
    /// Files of each stream, 10 where nothing is said.
    pub fn max_files(&self) -> i64 {
        self.max_files.unwrap_or(10)
    }

    /// Megabytes of a file, 10 where nothing is said.
    pub fn max_file_size_mb(&self) -> i64 {
        self.max_file_size_mb.unwrap_or(10)
    }
}

/// A file rendered before the start and whenever what it reads changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Template {
    /// The template, as a file.
    pub source_path: Option<String>,
    /// Where it is rendered to.
    pub dest_path: Option<String>,
    /// The template, as it stands.
    pub embedded_tmpl: Option<String>,
    /// `restart`, `signal` or `noop`.
    pub change_mode: Option<String>,
    /// The signal of change mode `signal`.
    pub change_signal: Option<String>,
    /// Nanoseconds that a change waits at most, by chance.
    pub splay: Option<i64>,
    /// Permissions of the file, octal.
    pub perms: Option<String>,
    /// Left delimiter.
    pub left_delim: Option<String>,
    /// Right delimiter.
    pub right_delim: Option<String>,
    /// The file holds environment variables for the task.
    pub envvars: Option<bool>,
    /// Without effect.
    pub vault_grace: Option<i64>,
}

/// A file fetched before the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskArtifact {
    /// Where it is fetched from.
    pub getter_source: Option<String>,
    /// Options of the getter, `checksum` for one.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub getter_options: BTreeMap<String, String>,
    /// HTTP headers.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub getter_headers: BTreeMap<String, String>,
    /// `any`, `file` or `dir`.
    pub getter_mode: Option<String>,
    /// Where it is put, inside the task's directory.
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
    /// Put the token into the environment.
    pub env: Option<bool>,
    /// `restart`, `signal` or `noop`: what a new token does.
    pub change_mode: Option<String>,
    /// The signal of change mode `signal`.
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
    /// Nothing is written.
    pub read_only: Option<bool>,
    /// `private`, `host-to-task` or `bidirectional`.
    pub propagation_mode: Option<String>,
}

/// The task is a storage plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CsiPluginConfig {
    /// The plugin's name.
    #[serde(rename = "ID")]
    pub id: String,
    /// `controller`, `node` or `monolith`.
    #[serde(rename = "Type")]
    pub plugin_type: String,
    /// Where its socket is, inside the task.
    #[serde(rename = "MountDir")]
    pub mount_dir: String,
}
