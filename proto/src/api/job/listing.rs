//! What the API's lists say of a job, and its summary.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// An entry of `GET /v1/jobs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobListStub {
    /// The name the job goes by in the API.
    #[serde(rename = "ID")]
    pub id: String,
    /// The job that launched this one.
    #[serde(rename = "ParentID")]
    pub parent_id: String,
    /// The name for people.
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
    /// Whether the clock launches children of this job.
    pub periodic: bool,
    /// Whether dispatches launch children of this job.
    pub parameterized_job: bool,
    /// The user stopped the job.
    pub stop: bool,
    /// `pending`, `running` or `dead`.
    pub status: String,
    /// Words to the status.
    pub status_description: String,
    /// The job's counts.
    pub job_summary: Option<JobSummary>,
    /// The state index at which the job came to be.
    pub create_index: u64,
    /// The state index of the last change of any member.
    pub modify_index: u64,
    /// The state index of the last change by a user.
    pub job_modify_index: u64,
    /// Nanoseconds since 1970.
    pub submit_time: i64,
}

/// Counts of a job's allocations and children.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobSummary {
    /// The job.
    #[serde(rename = "JobID")]
    pub job_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Counts by group.
    pub summary: BTreeMap<String, TaskGroupSummary>,
    /// Counts of the jobs that this one launched.
    pub children: Option<JobChildrenSummary>,
    /// The state index at which the summary came to be.
    pub create_index: u64,
    /// The state index of its last change.
    pub modify_index: u64,
}

/// Counts of a group's allocations. Failed and complete ones are counted for as long as the job lives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskGroupSummary {
    /// Wanted and not placed.
    pub queued: i64,
    /// Ended well.
    pub complete: i64,
    /// Ended badly.
    pub failed: i64,
    /// Running.
    pub running: i64,
    /// Placed and not running yet.
    pub starting: i64,
    /// On nodes that went down.
    pub lost: i64,
}

/// Counts of the jobs that a job launched.
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
