//! A job's entry in the API's lists, and its summary.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// An entry of `GET /v1/jobs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobListStub {
    /// The job's identifier in the API.
    #[serde(rename = "ID")]
    pub id: String,
    /// The job that launched this one.
    #[serde(rename = "ParentID")]
    pub parent_id: String,
    /// The display name.
    pub name: String,
    /// Datacenters that the job may run in.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub datacenters: Vec<String>,
    /// `service`, `batch` or `system`.
    #[serde(rename = "Type")]
    pub job_type: String,
    /// 1 to 100.
    pub priority: i64,
    /// Whether the job launches children on a schedule.
    pub periodic: bool,
    /// Whether the job launches children by dispatch.
    pub parameterized_job: bool,
    /// Whether the user stopped the job.
    pub stop: bool,
    /// `pending`, `running` or `dead`.
    pub status: String,
    /// Explains the status.
    pub status_description: String,
    /// The job's counts.
    pub job_summary: Option<JobSummary>,
    /// The state index at which the job was created.
    pub create_index: u64,
    /// The state index of the last change of any member.
    pub modify_index: u64,
    /// The state index of the last change by a user.
    pub job_modify_index: u64,
    /// When the version was registered; nanoseconds since 1970.
    pub submit_time: i64,
}

/// Counts of a job's allocations and children.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobSummary {
    /// The job's ID.
    #[serde(rename = "JobID")]
    pub job_id: String,
    /// The job's namespace.
    pub namespace: String,
    /// Counts by group.
    pub summary: BTreeMap<String, TaskGroupSummary>,
    /// Counts of the job's children.
    pub children: Option<JobChildrenSummary>,
    /// The state index at which the summary was created.
    pub create_index: u64,
    /// The state index of the summary's last change.
    pub modify_index: u64,
}

/// Counts of a group's allocations. Failed and complete allocations are counted as long as the job exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskGroupSummary {
    /// Wanted but not placed.
    pub queued: i64,
    /// Completed successfully.
    pub complete: i64,
    /// Failed.
    pub failed: i64,
    /// Running.
    pub running: i64,
    /// Placed but not running yet.
    pub starting: i64,
    /// On nodes that went down.
    pub lost: i64,
}

/// Counts of a job's children.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobChildrenSummary {
    /// Not running yet.
    pub pending: i64,
    /// Running.
    pub running: i64,
    /// Ended.
    pub dead: i64,
}
