//! Evaluations.

use crate::allocations::AllocMetric;
use crate::client::{Client, segment};
use crate::error::Error;
use crate::null;
use crate::query::{Answer, Query};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One look of the scheduler at a job.
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
    /// What caused it.
    pub triggered_by: String,
    /// The node that caused it, if one did.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// The deployment that it belongs to.
    #[serde(rename = "DeploymentID")]
    pub deployment_id: String,
    /// pending, blocked, complete, failed or canceled.
    pub status: String,
    /// Why.
    pub status_description: String,
    /// The one that follows it.
    pub next_eval: String,
    /// The one that it follows.
    pub previous_eval: String,
    /// The one that waits for room for what could not be placed.
    pub blocked_eval: String,
    /// Groups that could not be placed whole, and why.
    #[serde(rename = "FailedTGAllocs", deserialize_with = "null::default")]
    pub failed_groups: BTreeMap<String, AllocMetric>,
    /// Allocations that wait for room, by group.
    #[serde(deserialize_with = "null::default")]
    pub queued_allocations: BTreeMap<String, i64>,
    /// Index of the job that was looked at.
    pub job_modify_index: u64,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
    /// Nanoseconds since 1970.
    pub create_time: i64,
    /// Nanoseconds since 1970.
    pub modify_time: i64,
}

impl Evaluation {
    /// The scheduler is done with it, one way or another.
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

    /// Reads an evaluation; the id in full.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn evaluation(&self, id: &str, query: &Query) -> Result<Answer<Evaluation>, Error> {
        self.get(&format!("/v1/evaluation/{}", segment(id)), query).await
    }
}
