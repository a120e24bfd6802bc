//! Allocations and the states of their tasks.

use crate::client::{Client, segment};
use crate::error::Error;
use crate::null;
use crate::query::{Answer, Query};
use ordu_proto::api::job::Job;
use serde::Deserialize;
use std::collections::BTreeMap;

/// An allocation in a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AllocationStub {
    /// The id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The evaluation that placed it.
    #[serde(rename = "EvalID")]
    pub eval_id: String,
    /// `job.group[number]`
    pub name: String,
    /// The job's namespace.
    pub namespace: String,
    /// The node.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// The node's name.
    pub node_name: String,
    /// The job.
    #[serde(rename = "JobID")]
    pub job_id: String,
    /// The job's type.
    pub job_type: String,
    /// The job's version.
    pub job_version: u64,
    /// The group.
    pub task_group: String,
    /// run, stop or evict.
    pub desired_status: String,
    /// Why.
    pub desired_description: String,
    /// pending, running, complete, failed or lost.
    pub client_status: String,
    /// Why.
    pub client_description: String,
    /// By task.
    #[serde(deserialize_with = "null::default")]
    pub task_states: BTreeMap<String, TaskState>,
    /// The evaluation that will look at it again.
    #[serde(rename = "FollowupEvalID")]
    pub followup_eval_id: String,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
    /// Nanoseconds since 1970.
    pub create_time: i64,
    /// Nanoseconds since 1970.
    pub modify_time: i64,
}

/// An allocation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Allocation {
    /// The id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The evaluation that placed it.
    #[serde(rename = "EvalID")]
    pub eval_id: String,
    /// `job.group[number]`
    pub name: String,
    /// The job's namespace.
    pub namespace: String,
    /// The node.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// The node's name.
    pub node_name: String,
    /// The job.
    #[serde(rename = "JobID")]
    pub job_id: String,
    /// The job as it was placed.
    pub job: Option<Box<Job>>,
    /// The group.
    pub task_group: String,
    /// What it has of the node, as the API tells it.
    pub allocated_resources: serde_json::Value,
    /// run, stop or evict.
    pub desired_status: String,
    /// Why.
    pub desired_description: String,
    /// pending, running, complete, failed or lost.
    pub client_status: String,
    /// Why.
    pub client_description: String,
    /// By task.
    #[serde(deserialize_with = "null::default")]
    pub task_states: BTreeMap<String, TaskState>,
    /// The one that it replaces.
    pub previous_allocation: String,
    /// The one that replaces it.
    pub next_allocation: String,
    /// Why it is where it is.
    pub metrics: Option<AllocMetric>,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
    /// Nanoseconds since 1970.
    pub create_time: i64,
    /// Nanoseconds since 1970.
    pub modify_time: i64,
}

/// How a task is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskState {
    /// pending, running or dead.
    pub state: String,
    /// It ended badly.
    pub failed: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub finished_at: Option<String>,
    /// The latest ones, oldest first.
    #[serde(deserialize_with = "null::default")]
    pub events: Vec<TaskEvent>,
}

/// Something that happened to a task.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskEvent {
    /// Received, Task Setup, Started, Terminated, …
    #[serde(rename = "Type")]
    pub event_type: String,
    /// Nanoseconds since 1970.
    pub time: i64,
    /// For people.
    pub display_message: String,
}

/// Why a group went where it went, or did not.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AllocMetric {
    /// Nodes that were looked at.
    pub nodes_evaluated: i64,
    /// Of these, nodes that may not take it.
    pub nodes_filtered: i64,
    /// Nodes by datacenter.
    #[serde(deserialize_with = "null::default")]
    pub nodes_available: BTreeMap<String, i64>,
    /// Nodes that may not take it, by class.
    #[serde(deserialize_with = "null::default")]
    pub class_filtered: BTreeMap<String, i64>,
    /// Nodes that may not take it, by constraint.
    #[serde(deserialize_with = "null::default")]
    pub constraint_filtered: BTreeMap<String, i64>,
    /// Nodes without room.
    pub nodes_exhausted: i64,
    /// Nodes without room, by class.
    #[serde(deserialize_with = "null::default")]
    pub class_exhausted: BTreeMap<String, i64>,
    /// Nodes without room, by what is short.
    #[serde(deserialize_with = "null::default")]
    pub dimension_exhausted: BTreeMap<String, i64>,
    /// The best nodes.
    #[serde(rename = "ScoreMetaData", deserialize_with = "null::default")]
    pub scores: Vec<NodeScore>,
    /// More of the group that could not be placed for the same reasons.
    pub coalesced_failures: i64,
}

/// How good a node is for a group.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeScore {
    /// The node.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// The whole score.
    pub norm_score: f64,
    /// Its parts.
    #[serde(deserialize_with = "null::default")]
    pub scores: BTreeMap<String, f64>,
}

impl Client {
    /// Lists allocations.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn allocations(&self, query: &Query) -> Result<Answer<Vec<AllocationStub>>, Error> {
        self.get("/v1/allocations", query).await
    }

    /// Reads an allocation; the id in full.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn allocation(&self, id: &str, query: &Query) -> Result<Answer<Allocation>, Error> {
        self.get(&format!("/v1/allocation/{}", segment(id)), query).await
    }
}
