//! Why a task group was placed where it was, or was not placed.

use std::collections::BTreeMap;

use ordu_proto::state;
use schemars::JsonSchema;
use serde::Serialize;

use super::{some_list, some_map};
use crate::http::ids::IdText;

/// The metrics of a placement.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AllocMetric<'a> {
    nodes_evaluated: i64,
    nodes_filtered: i64,
    nodes_available: Option<&'a BTreeMap<String, i64>>,
    class_filtered: Option<&'a BTreeMap<String, i64>>,
    constraint_filtered: Option<&'a BTreeMap<String, i64>>,
    nodes_exhausted: i64,
    class_exhausted: Option<&'a BTreeMap<String, i64>>,
    dimension_exhausted: Option<&'a BTreeMap<String, i64>>,
    quota_exhausted: (),
    // The legacy form, superseded by the member below.
    scores: (),
    score_meta_data: Option<Vec<Score<'a>>>,
    allocation_time: i64,
    coalesced_failures: i64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Score<'a> {
    #[serde(rename = "NodeID")]
    node_id: IdText<'a>,
    scores: &'a BTreeMap<String, f64>,
    norm_score: f64,
}

impl<'a> AllocMetric<'a> {
    pub(crate) fn of(metric: &'a state::AllocMetric) -> Self {
        let score = |score: &'a state::NodeScore| Score {
            node_id: IdText(&score.node_id),
            scores: &score.scores,
            norm_score: score.norm_score,
        };
        Self {
            nodes_evaluated: metric.nodes_evaluated,
            nodes_filtered: metric.nodes_filtered,
            nodes_available: some_map(&metric.nodes_available),
            class_filtered: some_map(&metric.class_filtered),
            constraint_filtered: some_map(&metric.constraint_filtered),
            nodes_exhausted: metric.nodes_exhausted,
            class_exhausted: some_map(&metric.class_exhausted),
            dimension_exhausted: some_map(&metric.dimension_exhausted),
            quota_exhausted: (),
            scores: (),
            score_meta_data: some_list(metric.scores.iter().map(score).collect()),
            allocation_time: metric.allocation_time_ns,
            coalesced_failures: metric.coalesced_failures,
        }
    }
}
