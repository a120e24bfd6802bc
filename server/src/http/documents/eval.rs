//! Evaluations. Empty members are omitted.

use std::collections::BTreeMap;

use ordu_core::job::rfc3339;
use ordu_proto::state;
use ordu_proto::state::EvalStatus;
use schemars::JsonSchema;
use serde::Serialize;

use super::metric::AllocMetric;
use super::{is_empty, is_zero, is_zero_ns};
use crate::http::ids::IdText;

/// An evaluation, alone and in a list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EvalDocument<'a> {
    #[serde(rename = "ID")]
    id: IdText<'a>,
    #[serde(skip_serializing_if = "is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "is_zero_priority")]
    priority: i32,
    #[serde(rename = "Type", skip_serializing_if = "is_empty")]
    scheduler: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    triggered_by: &'a str,
    #[serde(rename = "JobID", skip_serializing_if = "is_empty")]
    job_id: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    job_modify_index: u64,
    #[serde(rename = "NodeID", skip_serializing_if = "IdText::is_absent")]
    node_id: IdText<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    node_modify_index: u64,
    #[serde(rename = "DeploymentID", skip_serializing_if = "IdText::is_absent")]
    deployment_id: IdText<'a>,
    status: &'static str,
    #[serde(skip_serializing_if = "is_empty")]
    status_description: &'a str,
    #[serde(skip_serializing_if = "is_zero_ns")]
    wait: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_until: Option<String>,
    #[serde(skip_serializing_if = "IdText::is_absent")]
    next_eval: IdText<'a>,
    #[serde(skip_serializing_if = "IdText::is_absent")]
    previous_eval: IdText<'a>,
    #[serde(skip_serializing_if = "IdText::is_absent")]
    blocked_eval: IdText<'a>,
    #[serde(rename = "FailedTGAllocs", skip_serializing_if = "BTreeMap::is_empty")]
    failed_groups: BTreeMap<&'a str, AllocMetric<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    class_eligibility: &'a BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "is_false")]
    escaped_computed_class: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    queued_allocations: &'a BTreeMap<String, i64>,
    #[serde(skip_serializing_if = "is_zero")]
    snapshot_index: u64,
    #[serde(skip_serializing_if = "is_zero")]
    create_index: u64,
    #[serde(skip_serializing_if = "is_zero")]
    modify_index: u64,
    #[serde(skip_serializing_if = "is_zero_ns")]
    create_time: i64,
    #[serde(skip_serializing_if = "is_zero_ns")]
    modify_time: i64,
}

fn is_zero_priority(priority: &i32) -> bool {
    *priority == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// Returns the API's word for a status.
pub(crate) fn status_word(status: EvalStatus) -> &'static str {
    match status {
        EvalStatus::Unspecified | EvalStatus::Pending => "pending",
        EvalStatus::Blocked => "blocked",
        EvalStatus::Complete => "complete",
        EvalStatus::Failed => "failed",
        EvalStatus::Canceled => "canceled",
    }
}

impl<'a> EvalDocument<'a> {
    /// Builds the document of this row.
    pub(crate) fn of(eval: &'a state::Evaluation) -> Self {
        let failed =
            |(group, metric): (&'a String, &'a state::AllocMetric)| (group.as_str(), AllocMetric::of(metric));
        Self {
            id: IdText(&eval.id),
            namespace: &eval.namespace,
            priority: eval.priority,
            scheduler: &eval.r#type,
            triggered_by: &eval.triggered_by,
            job_id: &eval.job_id,
            job_modify_index: eval.job_modify_index,
            node_id: IdText(&eval.node_id),
            node_modify_index: eval.node_modify_index,
            deployment_id: IdText(&eval.deployment_id),
            status: status_word(eval.status()),
            status_description: &eval.status_description,
            wait: eval.wait_ns,
            wait_until: (eval.wait_until_ns != 0).then(|| rfc3339(eval.wait_until_ns)),
            next_eval: IdText(&eval.next_eval),
            previous_eval: IdText(&eval.previous_eval),
            blocked_eval: IdText(&eval.blocked_eval),
            failed_groups: eval.failed_groups.iter().map(failed).collect(),
            class_eligibility: &eval.class_eligibility,
            escaped_computed_class: eval.escaped_computed_class,
            queued_allocations: &eval.queued_allocations,
            snapshot_index: eval.snapshot_index,
            create_index: eval.create_index,
            modify_index: eval.modify_index,
            create_time: eval.create_time_ns,
            modify_time: eval.modify_time_ns,
        }
    }

    /// Clears the snapshot index, for a dry run's evaluation, which no scheduler will process.
    pub(crate) fn without_snapshot(mut self) -> Self {
        self.snapshot_index = 0;
        self
    }
}
