//! Services of a group or a task, and their health checks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{empty_as_null, member};

/// A service registered in a catalogue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    /// Name in the catalogue; `job-group-task` if not set.
    pub name: String,
    /// The task to which a group's service belongs.
    pub task_name: String,
    /// Label or number of the port.
    pub port_label: String,
    /// `auto`, `host`, `driver` or `alloc`.
    pub address_mode: String,
    /// Whether others may change the tags in the catalogue.
    pub enable_tag_override: bool,
    /// Tags.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub tags: Vec<String>,
    /// Tags of canaries, instead of `Tags`.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub canary_tags: Vec<String>,
    /// Health checks.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ServiceCheck>>")]
    pub checks: Vec<ServiceCheck>,
    /// Default of the checks' `check_restart`; a canonical service has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_restart: Option<CheckRestart>,
    /// Service mesh settings, stored verbatim.
    pub connect: Option<serde_json::Value>,
    /// Arbitrary metadata.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub meta: BTreeMap<String, String>,
    /// Arbitrary metadata of canaries.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub canary_meta: BTreeMap<String, String>,
    /// Effect of a failing check on an update; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_update: Option<String>,
    /// The catalogue provider; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl Service {
    /// Whether a sidecar proxy connects the service to the mesh.
    pub fn has_sidecar(&self) -> bool {
        self.connect.as_ref().is_some_and(|connect| member(connect, "SidecarService").is_some())
    }

    /// Whether a task of the group connects to the mesh itself.
    pub fn is_native(&self) -> bool {
        let native = self.connect.as_ref().and_then(|connect| member(connect, "Native"));
        native.and_then(serde_json::Value::as_bool).unwrap_or(false)
    }
}

/// A health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceCheck {
    /// Name of the check.
    pub name: String,
    /// `http`, `tcp`, `script` or `grpc`.
    #[serde(rename = "Type")]
    pub check_type: String,
    /// The program of a script check.
    pub command: String,
    /// Its arguments.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub args: Vec<String>,
    /// The path of an HTTP check.
    pub path: String,
    /// `http` or `https`.
    pub protocol: String,
    /// Label or number of the port; the service's if not set.
    pub port_label: String,
    /// Expose the check's path through the mesh proxy.
    pub expose: bool,
    /// `host`, `driver` or `alloc`.
    pub address_mode: String,
    /// Nanoseconds between checks.
    pub interval: i64,
    /// Timeout of a check in nanoseconds.
    pub timeout: i64,
    /// The status before the first check.
    pub initial_status: String,
    /// Whether the TLS certificate is not verified.
    #[serde(rename = "TLSSkipVerify")]
    pub tls_skip_verify: bool,
    /// The HTTP method.
    pub method: String,
    /// HTTP headers.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, Vec<String>>>")]
    pub header: BTreeMap<String, Vec<String>>,
    /// Restart the task when the check fails.
    pub check_restart: Option<CheckRestart>,
    /// The service name in a gRPC check.
    #[serde(rename = "GRPCService")]
    pub grpc_service: String,
    /// Whether a gRPC check uses TLS.
    #[serde(rename = "GRPCUseTLS")]
    pub grpc_use_tls: bool,
    /// The task that runs the script check of a group's service.
    pub task_name: String,
    /// Consecutive successes before the check passes.
    pub success_before_passing: i64,
    /// Consecutive failures before the check is critical.
    pub failures_before_critical: i64,
    /// The body of an HTTP check; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Effect of a failing check on an update; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_update: Option<String>,
}

/// When a failing check restarts its task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckRestart {
    /// Consecutive failures before a restart; 0 never restarts.
    pub limit: i64,
    /// Nanoseconds after a start during which failures are ignored.
    pub grace: Option<i64>,
    /// Whether a warning does not count as a failure.
    pub ignore_warnings: bool,
}
