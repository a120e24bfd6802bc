//! Diff of two versions of a job, for plans and lists of versions.
//!
//! Both specifications are converted to JSON, and [`Differ`] compares any two documents. `schema` defines for each kind
//! of document how objects are named, how list items are matched, and which members are hidden.

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

/// One of the two versions: the canonical specification, and the members outside of it that a diff shows.
#[derive(Debug, Clone, Copy)]
pub struct DiffSide<'a> {
    /// Canonical specification.
    pub spec: &'a JobSpec,
    /// Whether the user stopped the job.
    pub stop: bool,
    /// Whether a dispatch launched the job.
    pub dispatched: bool,
    /// Job that launched this one; empty for none.
    pub parent_id: &'a str,
}

impl<'a> DiffSide<'a> {
    /// Creates the side for a row and its specification.
    pub fn of(row: &'a state::Job, spec: &'a JobSpec) -> DiffSide<'a> {
        DiffSide { spec, stop: row.stop, dispatched: row.dispatched, parent_id: &row.parent_id }
    }

    /// Converts the job to a document. The payload of a dispatch is not part of a diff.
    fn document(&self) -> Result<Value, String> {
        let mut document = serde_json::to_value(self.spec)
            .map_err(|error| format!("the job {:?} cannot be written as JSON: {error}", self.spec.id))?;
        document["Stop"] = self.stop.into();
        document["Dispatched"] = self.dispatched.into();
        document["ParentID"] = self.parent_id.into();
        Ok(document)
    }
}

/// Returns the diff of two versions of a job. An absent side means that the job does not exist before or after. With
/// `contextual`, changed objects include their unchanged values.
///
/// Returns an error text if the sides have different job IDs or the diff would be too large.
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
