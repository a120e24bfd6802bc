//! The API's document of a deployment.

use std::collections::BTreeMap;

use ordu_proto::state::{self, DeploymentStatus};
use schemars::JsonSchema;
use serde::Serialize;

use super::document::append;
use super::time::rfc3339;
use crate::scheduler::uuid_text;

/// A deployment in `GET /v1/deployment/:id` and in lists.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeploymentDocument<'a> {
    #[serde(rename = "ID")]
    id: String,
    namespace: &'a str,
    #[serde(rename = "JobID")]
    job_id: &'a str,
    job_version: u64,
    job_modify_index: u64,
    job_spec_modify_index: u64,
    job_create_index: u64,
    is_multiregion: bool,
    task_groups: BTreeMap<&'a str, GroupDocument>,
    status: &'static str,
    status_description: &'a str,
    create_index: u64,
    modify_index: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct GroupDocument {
    auto_revert: bool,
    auto_promote: bool,
    progress_deadline: i64,
    require_progress_by: String,
    promoted: bool,
    placed_canaries: Option<Vec<String>>,
    desired_canaries: i64,
    desired_total: i64,
    placed_allocs: i64,
    healthy_allocs: i64,
    unhealthy_allocs: i64,
}

impl<'a> DeploymentDocument<'a> {
    /// Builds the document of a row.
    pub fn of(row: &'a state::Deployment) -> DeploymentDocument<'a> {
        let group = |(name, group): (&'a String, &'a state::DeploymentState)| {
            (name.as_str(), GroupDocument::of(group))
        };
        DeploymentDocument {
            id: uuid_text(&row.id),
            namespace: &row.namespace,
            job_id: &row.job_id,
            job_version: row.job_version,
            job_modify_index: row.job_modify_index,
            job_spec_modify_index: row.job_spec_modify_index,
            job_create_index: row.job_create_index,
            is_multiregion: false,
            task_groups: row.groups.iter().map(group).collect(),
            status: status_word(row.status()),
            status_description: &row.status_description,
            create_index: row.create_index,
            modify_index: row.modify_index,
        }
    }
}

impl GroupDocument {
    fn of(group: &state::DeploymentState) -> GroupDocument {
        let canaries: Vec<String> = group.placed_canaries.iter().map(|id| uuid_text(id)).collect();
        GroupDocument {
            auto_revert: group.auto_revert,
            auto_promote: group.auto_promote,
            progress_deadline: group.progress_deadline_ns,
            require_progress_by: rfc3339(group.require_progress_by_ns),
            promoted: group.promoted,
            placed_canaries: Some(canaries).filter(|canaries| !canaries.is_empty()),
            desired_canaries: group.desired_canaries,
            desired_total: group.desired_total,
            placed_allocs: group.placed_allocs,
            healthy_allocs: group.healthy_allocs,
            unhealthy_allocs: group.unhealthy_allocs,
        }
    }
}

/// Appends the deployment as in `GET /v1/deployment/:id`.
pub fn deployment_document(row: &state::Deployment, out: &mut Vec<u8>) {
    append(&DeploymentDocument::of(row), out);
}

fn status_word(status: DeploymentStatus) -> &'static str {
    match status {
        DeploymentStatus::Unspecified | DeploymentStatus::Running => "running",
        DeploymentStatus::Paused => "paused",
        DeploymentStatus::Failed => "failed",
        DeploymentStatus::Successful => "successful",
        DeploymentStatus::Cancelled => "cancelled",
    }
}
