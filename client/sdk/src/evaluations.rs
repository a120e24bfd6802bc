//! Evaluations.

use crate::allocations::AllocMetric;
use crate::client::{Client, segment};
use crate::error::Error;
use crate::null;
use crate::query::{Answer, Query};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A request to the scheduler to process a job, and its outcome.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Evaluation {
    /// The id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The job's namespace.
    pub namespace: String,
    /// The job.
    #[serde(rename = "JobID")]
    pub job_id: String,
    /// The job's type.
    #[serde(rename = "Type")]
    pub job_type: String,
    /// The job's priority.
    pub priority: i64,
    /// What triggered it.
    pub triggered_by: String,
    /// The node that triggered it, if one did.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// The deployment that it belongs to.
    #[serde(rename = "DeploymentID")]
    pub deployment_id: String,
    /// pending, blocked, complete, failed or canceled.
    pub status: String,
    /// Reason for the status.
    pub status_description: String,
    /// The evaluation that follows it.
    pub next_eval: String,
    /// The evaluation that it follows.
    pub previous_eval: String,
    /// The blocked evaluation for the allocations that could not be placed.
    pub blocked_eval: String,
    /// Groups that could not be placed completely, and why.
    #[serde(rename = "FailedTGAllocs", deserialize_with = "null::default")]
    pub failed_groups: BTreeMap<String, AllocMetric>,
    /// Allocations that wait for resources, by group.
    #[serde(deserialize_with = "null::default")]
    pub queued_allocations: BTreeMap<String, i64>,
    /// Index of the job that was evaluated.
    pub job_modify_index: u64,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
    /// When it was created, nanoseconds since 1970.
    pub create_time: i64,
    /// When it was changed last, nanoseconds since 1970.
    pub modify_time: i64,
}

impl Evaluation {
    /// Whether the scheduler has finished with it, successfully or not.
    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "complete" | "failed" | "canceled")
    }
}

impl Client {
    /// Lists evaluations.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn evaluations(&self, query: &Query) -> Result<Answer<Vec<Evaluation>>, Error> {
        self.get("/v1/evaluations", query).await
    }

    /// Reads an evaluation; `id` must be complete.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn evaluation(&self, id: &str, query: &Query) -> Result<Answer<Evaluation>, Error> {
        self.get(&format!("/v1/evaluation/{}", segment(id)), query).await
    }
}
