//! Jobs that only launch children: by the clock or by dispatch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// Children launched by the clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct PeriodicConfig {
    /// Whether it launches at present.
    pub enabled: Option<bool>,
    /// When, in the language that `SpecType` names.
    pub spec: Option<String>,
    /// `cron`.
    pub spec_type: Option<String>,
    /// Skip a launch while the last one runs.
    pub prohibit_overlap: Option<bool>,
    /// The time zone of `Spec`, by its IANA name.
    pub time_zone: Option<String>,
}

/// Children launched by dispatch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ParameterizedJobConfig {
    /// `optional`, `required` or `forbidden`.
    pub payload: String,
    /// Keys that a dispatch must bring.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub meta_required: Vec<String>,
    /// Keys that a dispatch may bring.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub meta_optional: Vec<String>,
}

/// Where a task finds the payload of its dispatch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DispatchPayloadConfig {
    /// File name inside the task's `local` directory.
    pub file: String,
}
