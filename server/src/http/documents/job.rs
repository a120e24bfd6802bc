//! Answers about jobs, except the job itself, which `ordu_core::job` writes.

use ordu_proto::api::job::JobDiff;
use ordu_proto::command::{JobDeregistered, JobDispatched, JobEvaluated, JobRegistered, PeriodicLaunched};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::answer::{Freshness, encode};
use crate::http::ids::IdText;

/// Answer to a registration, an update, or an evaluation.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Registered<'a> {
    #[serde(rename = "EvalID")]
    eval_id: IdText<'a>,
    eval_create_index: u64,
    job_modify_index: u64,
    warnings: &'a str,
    index: u64,
    #[serde(flatten)]
    of_write: OfWrite,
}

/// Members that Nomad's answers to writes inherit from its reads; they carry no information.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct OfWrite {
    last_contact: u64,
    known_leader: bool,
}

impl<'a> Registered<'a> {
    pub(crate) fn of(outcome: &'a JobRegistered, warnings: &'a str) -> Self {
        Self {
            eval_id: IdText(&outcome.eval_id),
            eval_create_index: outcome.eval_create_index,
            job_modify_index: outcome.job_modify_index,
            warnings,
            index: outcome.index,
            of_write: OfWrite::default(),
        }
    }

    pub(crate) fn evaluated(outcome: &'a JobEvaluated) -> Self {
        Self {
            eval_id: IdText(&outcome.eval_id),
            eval_create_index: outcome.eval_create_index,
            job_modify_index: outcome.job_modify_index,
            warnings: "",
            index: outcome.index,
            of_write: OfWrite::default(),
        }
    }
}

/// Answer to a stop or a purge.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Deregistered<'a> {
    #[serde(rename = "EvalID")]
    eval_id: IdText<'a>,
    eval_create_index: u64,
    job_modify_index: u64,
    #[serde(rename = "VolumeEvalID")]
    volume_eval_id: &'static str,
    volume_eval_index: u64,
    index: u64,
    #[serde(flatten)]
    of_write: OfWrite,
}

impl<'a> Deregistered<'a> {
    pub(crate) fn of(outcome: &'a JobDeregistered) -> Self {
        Self {
            eval_id: IdText(&outcome.eval_id),
            eval_create_index: outcome.eval_create_index,
            job_modify_index: outcome.job_modify_index,
            volume_eval_id: "",
            volume_eval_index: 0,
            index: outcome.index,
            of_write: OfWrite::default(),
        }
    }
}

/// Answer to a dispatch.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Dispatched<'a> {
    #[serde(rename = "DispatchedJobID")]
    dispatched_job_id: &'a str,
    #[serde(rename = "EvalID")]
    eval_id: IdText<'a>,
    eval_create_index: u64,
    job_create_index: u64,
    index: u64,
}

impl<'a> Dispatched<'a> {
    pub(crate) fn of(outcome: &'a JobDispatched) -> Self {
        // A dispatch whose token was used before finds the child and evaluates nothing.
        let is_new = outcome.child_create_index == outcome.index;
        Self {
            dispatched_job_id: &outcome.child_id,
            eval_id: IdText(if is_new { &outcome.eval_id } else { &[] }),
            eval_create_index: if is_new { outcome.eval_create_index } else { 0 },
            job_create_index: outcome.child_create_index,
            index: outcome.index,
        }
    }
}

/// Answer to a forced launch of a periodic job.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Forced<'a> {
    #[serde(rename = "EvalID")]
    eval_id: IdText<'a>,
    eval_create_index: u64,
    index: u64,
}

impl<'a> Forced<'a> {
    pub(crate) fn of(outcome: &'a PeriodicLaunched) -> Self {
        Self {
            eval_id: IdText(&outcome.eval_id),
            eval_create_index: outcome.eval_create_index,
            index: outcome.index,
        }
    }
}

/// Answer to marking a version as stable or not.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Stability {
    pub(crate) index: u64,
}

/// What follows the list in the answer with a job's versions.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VersionsTail<'a> {
    diffs: Option<&'a [JobDiff]>,
    index: u64,
    last_contact: u64,
    known_leader: bool,
}

impl<'a> VersionsTail<'a> {
    pub(crate) fn of(diffs: Option<&'a [JobDiff]>, index: u64, freshness: Freshness) -> Self {
        Self {
            diffs: diffs.filter(|diffs| !diffs.is_empty()),
            index,
            last_contact: freshness.last_contact_ns(),
            known_leader: freshness.known_leader,
        }
    }

    /// Returns the whole answer: the list of versions, followed by these members.
    pub(crate) fn after(&self, versions: Vec<u8>) -> Vec<u8> {
        let tail = encode(self);
        let mut whole = Vec::with_capacity(versions.len() + tail.len() + 16);
        whole.extend_from_slice(b"{\"Versions\":");
        whole.extend_from_slice(&versions);
        whole.push(b',');
        whole.extend_from_slice(tail.strip_prefix(b"{").unwrap_or(&tail));
        whole
    }
}
