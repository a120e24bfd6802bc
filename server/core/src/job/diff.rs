//! How two versions of a job differ, as a plan and a list of versions tell it.
//!
//! Both specifications are taken as JSON, and one mechanism ([`Differ`]) compares any two documents.
//! What an object is called, how the items of a list are told apart, what is not shown: that is said
//! once for each kind of document, in `schema`.

mod annotate;
mod differ;
mod fields;
mod order;
mod pairs;
mod schema;

use ordu_proto::api::job::{JobDiff, JobSpec};
use ordu_proto::state;
use serde_json::Value;

pub use annotate::annotate;
use differ::Differ;

use crate::limits::JOB_DIFF_BYTES_MAX;

/// One of the two versions: the canonical specification, and what else a diff shows of a job.
#[derive(Debug, Clone, Copy)]
pub struct DiffSide<'a> {
    /// The specification, canonical.
    pub spec: &'a JobSpec,
    /// The user stopped the job.
    pub stop: bool,
    /// A dispatch launched the job.
    pub dispatched: bool,
    /// The job that launched this one; empty for none.
    pub parent_id: &'a str,
}

impl<'a> DiffSide<'a> {
    /// The version that this row tells of.
    pub fn of(row: &'a state::Job, spec: &'a JobSpec) -> DiffSide<'a> {
        DiffSide { spec, stop: row.stop, dispatched: row.dispatched, parent_id: &row.parent_id }
    }

    /// The job as a document. The payload of a dispatch is not shown in a diff.
    fn document(&self) -> Result<Value, String> {
        let mut document = serde_json::to_value(self.spec)
            .map_err(|error| format!("the job {:?} cannot be written as JSON: {error}", self.spec.id))?;
        document["Stop"] = self.stop.into();
        document["Dispatched"] = self.dispatched.into();
        document["ParentID"] = self.parent_id.into();
        Ok(document)
    }
}

/// How the job became the other. A side that is not there is a job before its first version, or after
/// its last one. In a contextual diff a changed object tells its unchanged values too.
///
/// The error is a sentence: the sides are different jobs, or the diff is larger than any that is told.
pub fn job_diff(
    old: Option<DiffSide<'_>>,
    new: Option<DiffSide<'_>>,
    contextual: bool,
) -> Result<JobDiff, String> {
    let (Some(id), Some(old_id)) =
        (new.or(old).map(|side| &side.spec.id), old.or(new).map(|side| &side.spec.id))
    else {
        return Ok(JobDiff::default());
    };
    if id != old_id {
        return Err(format!("can not diff jobs with different IDs: {old_id:?} and {id:?}"));
    }
    let old = old.map(|side| side.document()).transpose()?;
    let new = new.map(|side| side.document()).transpose()?;
    Differ::new(contextual, JOB_DIFF_BYTES_MAX).job(id, old.as_ref(), new.as_ref()).map_err(|_| {
        format!(
            "the diff of job {id:?} would take more than {JOB_DIFF_BYTES_MAX} bytes; ask for none, or \
             nest less deeply in the job"
        )
    })
}
