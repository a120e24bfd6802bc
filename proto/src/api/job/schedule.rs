//! Jobs that only launch child jobs: on a schedule or by dispatch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// The schedule on which a periodic job launches children.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct PeriodicConfig {
    /// Whether children are launched at present.
    pub enabled: Option<bool>,
    /// The schedule, in the syntax that `SpecType` names.
    pub spec: Option<String>,
    /// `cron`.
    pub spec_type: Option<String>,
    /// Skip a launch while an earlier one is running.
    pub prohibit_overlap: Option<bool>,
    /// The time zone of `Spec`, by its IANA name.
    pub time_zone: Option<String>,
}

/// The inputs of a job that is launched by dispatch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ParameterizedJobConfig {
    /// `optional`, `required` or `forbidden`.
    pub payload: String,
    /// Metadata keys that a dispatch must set.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub meta_required: Vec<String>,
    /// Metadata keys that a dispatch may set.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub meta_optional: Vec<String>,
}

/// Where the payload of a dispatch is written for the task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DispatchPayloadConfig {
    /// File name inside the task's `local` directory.
    pub file: String,
}
