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
    /// Its name, `job.group[number]`.
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
    /// Reason for the desired status.
    pub desired_description: String,
    /// pending, running, complete, failed or lost.
    pub client_status: String,
    /// Reason for the client status.
    pub client_description: String,
    /// State of each task, by task.
    #[serde(deserialize_with = "null::default")]
    pub task_states: BTreeMap<String, TaskState>,
    /// The evaluation that will reschedule it later.
    #[serde(rename = "FollowupEvalID")]
    pub followup_eval_id: String,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
    /// When it was created, nanoseconds since 1970.
    pub create_time: i64,
    /// When it was changed last, nanoseconds since 1970.
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
    /// Its name, `job.group[number]`.
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
    /// The job, in the version that was placed.
    pub job: Option<Box<Job>>,
    /// The group.
    pub task_group: String,
    /// Resources that it was given on the node, as JSON.
    pub allocated_resources: serde_json::Value,
    /// run, stop or evict.
    pub desired_status: String,
    /// Reason for the desired status.
    pub desired_description: String,
    /// pending, running, complete, failed or lost.
    pub client_status: String,
    /// Reason for the client status.
    pub client_description: String,
    /// State of each task, by task.
    #[serde(deserialize_with = "null::default")]
    pub task_states: BTreeMap<String, TaskState>,
    /// The allocation that it replaces.
    pub previous_allocation: String,
    /// The allocation that replaces it.
    pub next_allocation: String,
    /// Why it was placed on its node.
    pub metrics: Option<AllocMetric>,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
    /// When it was created, nanoseconds since 1970.
    pub create_time: i64,
    /// When it was changed last, nanoseconds since 1970.
    pub modify_time: i64,
}

/// State of a task.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskState {
    /// pending, running or dead.
    pub state: String,
    /// Whether it ended with a failure.
    pub failed: bool,
    /// How often it was restarted.
    pub restarts: u64,
    /// When it started, RFC 3339.
    pub started_at: Option<String>,
    /// When it finished, RFC 3339.
    pub finished_at: Option<String>,
    /// The latest events, oldest first.
    #[serde(deserialize_with = "null::default")]
    pub events: Vec<TaskEvent>,
}

/// Something that happened to a task.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskEvent {
    /// Type of the event: Received, Task Setup, Started, Terminated, …
    #[serde(rename = "Type")]
    pub event_type: String,
    /// When it happened, nanoseconds since 1970.
    pub time: i64,
    /// Text for people.
    pub display_message: String,
}

/// Why a task group was placed on its node, or was not placed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AllocMetric {
    /// Nodes that were evaluated.
    pub nodes_evaluated: i64,
    /// Of these, nodes that are not eligible.
    pub nodes_filtered: i64,
    /// Nodes by datacenter.
    #[serde(deserialize_with = "null::default")]
    pub nodes_available: BTreeMap<String, i64>,
    /// Ineligible nodes, by class.
    #[serde(deserialize_with = "null::default")]
    pub class_filtered: BTreeMap<String, i64>,
    /// Ineligible nodes, by constraint.
    #[serde(deserialize_with = "null::default")]
    pub constraint_filtered: BTreeMap<String, i64>,
    /// Nodes with too few free resources.
    pub nodes_exhausted: i64,
    /// Nodes with too few free resources, by class.
    #[serde(deserialize_with = "null::default")]
    pub class_exhausted: BTreeMap<String, i64>,
    /// Nodes with too few free resources, by the resource that is short.
    #[serde(deserialize_with = "null::default")]
    pub dimension_exhausted: BTreeMap<String, i64>,
    /// The nodes with the best scores.
    #[serde(rename = "ScoreMetaData", deserialize_with = "null::default")]
    pub scores: Vec<NodeScore>,
    /// Further allocations of the group that could not be placed for the same reasons.
    pub coalesced_failures: i64,
}

/// Score of a node for a task group.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeScore {
    /// The node.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// The total score.
    pub norm_score: f64,
    /// The parts of the score.
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

    /// Reads an allocation; `id` must be complete.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn allocation(&self, id: &str, query: &Query) -> Result<Answer<Allocation>, Error> {
        self.get(&format!("/v1/allocation/{}", segment(id)), query).await
    }
}
