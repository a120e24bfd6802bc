//! Services that a group or a task offers, and their health checks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{empty_as_null, member};

/// A service to be found by its name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    /// Name in the catalogue; `job-group-task` where nothing is said.
    pub name: String,
    /// The task that a group's service belongs to.
    pub task_name: String,
    /// Label or number of the port.
    pub port_label: String,
    /// `auto`, `host`, `driver` or `alloc`.
    pub address_mode: String,
    /// Tags can be changed from outside.
    pub enable_tag_override: bool,
    /// Tags.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub tags: Vec<String>,
    /// Tags of a canary, in place of `Tags`.
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
    /// Service mesh; kept as it came.
    pub connect: Option<serde_json::Value>,
    /// Free words.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub meta: BTreeMap<String, String>,
    /// Free words of a canary.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub canary_meta: BTreeMap<String, String>,
    /// What a failing check means for an update; of a later API, told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_update: Option<String>,
    /// The catalogue that the service is in; of a later API, told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl Service {
    /// Whether a proxy beside the tasks stands between the service and the mesh.
    pub fn has_sidecar(&self) -> bool {
        self.connect.as_ref().is_some_and(|connect| member(connect, "SidecarService").is_some())
    }

    /// Whether a task of the group speaks to the mesh itself.
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
    /// Label or number of the port; the service's where nothing is said.
    pub port_label: String,
    /// Open a path through the mesh's proxy for the check.
    pub expose: bool,
    /// `host`, `driver` or `alloc`.
    pub address_mode: String,
    /// Nanoseconds from check to check.
    pub interval: i64,
    /// Nanoseconds.
    pub timeout: i64,
    /// The status before the first check.
    pub initial_status: String,
    /// Do not verify the certificate.
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
    /// The service asked over gRPC.
    #[serde(rename = "GRPCService")]
    pub grpc_service: String,
    /// Whether that is over TLS.
    #[serde(rename = "GRPCUseTLS")]
    pub grpc_use_tls: bool,
    /// The task that runs the script of a group's service.
    pub task_name: String,
    /// Successes in a row before it passes.
    pub success_before_passing: i64,
    /// Failures in a row before it is critical.
    pub failures_before_critical: i64,
    /// The body of an HTTP check; of a later API, told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What a failure means for an update; of a later API, told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_update: Option<String>,
}

/// When a failing check restarts its task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckRestart {
    /// Failures in a row; 0 never restarts.
    pub limit: i64,
    /// Nanoseconds after a start that failures do not count for.
    pub grace: Option<i64>,
    /// A warning is no failure.
    pub ignore_warnings: bool,
}
