//! Answer to a dry run: what a registration would do.

use std::collections::BTreeMap;

use ordu_core::job::rfc3339;
use ordu_proto::api::job::{DesiredUpdates, JobDiff};
use ordu_proto::state::Evaluation;
use schemars::JsonSchema;
use serde::Serialize;

use super::eval::EvalDocument;
use super::metric::AllocMetric;
use crate::http::handlers::dry_runs::DryRun;

/// Answer to a plan.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PlanAnswer<'a> {
    annotations: Annotations<'a>,
    #[serde(rename = "FailedTGAllocs")]
    failed_groups: Option<BTreeMap<&'a str, AllocMetric<'a>>>,
    job_modify_index: u64,
    created_evals: Option<Vec<EvalDocument<'a>>>,
    diff: Option<&'a JobDiff>,
    next_periodic_launch: Option<String>,
    warnings: &'a str,
    index: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Annotations<'a> {
    #[serde(rename = "DesiredTGUpdates")]
    desired_updates: &'a BTreeMap<String, DesiredUpdates>,
    preempted_allocs: (),
}

impl<'a> PlanAnswer<'a> {
    pub(crate) fn of(dry_run: &'a DryRun) -> Self {
        let decision = &dry_run.decision;
        let failed = &decision.eval.failed_groups;
        let metric = |(name, metric): (&'a String, &'a _)| (name.as_str(), AllocMetric::of(metric));
        let created = |eval: &'a Evaluation| vec![EvalDocument::of(eval).without_snapshot()];
        Self {
            annotations: Annotations { desired_updates: &decision.desired_updates, preempted_allocs: () },
            failed_groups: (!failed.is_empty()).then(|| failed.iter().map(metric).collect()),
            job_modify_index: dry_run.job_modify_index,
            created_evals: decision.blocked.as_ref().map(created),
            diff: dry_run.diff.as_ref(),
            next_periodic_launch: dry_run.next_launch_ns.map(rfc3339),
            warnings: &dry_run.warnings,
            index: dry_run.index,
        }
    }
}
