//! Answers about jobs that are not the job itself; that one is written by `ordu_core::job`.

use ordu_proto::command::{JobDeregistered, JobEvaluated, JobRegistered};
use serde::Serialize;

use crate::http::answer::{Freshness, encode};
use crate::http::ids::IdText;

/// Answer to a registration, an update, or an evaluation.
#[derive(Serialize)]
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

/// Members that Nomad's answers to writes inherit from its reads; they say nothing.
#[derive(Default, Serialize)]
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
#[derive(Serialize)]
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

/// What follows the list in the answer about a job's versions.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VersionsTail {
    diffs: (),
    index: u64,
    last_contact: u64,
    known_leader: bool,
}

impl VersionsTail {
    pub(crate) fn of(index: u64, freshness: Freshness) -> Self {
        let Freshness { known_leader, last_contact_ms } = freshness;
        // Go tells a span in nanoseconds.
        Self { diffs: (), index, last_contact: last_contact_ms.saturating_mul(1_000_000), known_leader }
    }

    /// The whole answer: the list of versions, and this.
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
