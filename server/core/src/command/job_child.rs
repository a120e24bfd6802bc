//! Children: jobs that a parameterized or periodic job is run as.

use ordu_proto::command::JobRegistered;
use ordu_proto::state::{Job, JobSpec};

use super::entry::Entry;
use super::job_version::{Submission, submit};
use crate::job::spec_json;
use crate::state::{Corrupt, Reader, read};

/// What a child has of its own.
pub(super) struct Child<'c> {
    pub(super) id: String,
    /// The parent's specification, changed into the child's but for id and name.
    pub(super) spec: ordu_proto::api::job::JobSpec,
    pub(super) payload: Vec<u8>,
    pub(super) idempotency_token: String,
    pub(super) dispatched: bool,
    pub(super) eval_id: &'c [u8],
    pub(super) triggered_by: &'static str,
}

/// The specification of a job that is to have a child.
pub(super) fn spec_of_parent(
    reader: &dyn Reader,
    parent: &Job,
) -> Result<ordu_proto::api::job::JobSpec, Corrupt> {
    read::parsed_spec(reader, parent, &read::spec_of(reader, parent)?)
}

/// Makes a child of `parent`, or has it evaluated again if there is one of this id.
pub(super) fn submit_child(
    entry: &mut Entry<'_, '_>,
    parent: &Job,
    child: Child<'_>,
) -> Result<(Job, JobRegistered), Corrupt> {
    let Child { id, mut spec, payload, idempotency_token, dispatched, eval_id, triggered_by } = child;
    spec.id.clone_from(&id);
    spec.name = Some(id.clone());
    let existing = read::job(entry.reader(), &parent.namespace, &id)?;
    let job = Job {
        id: id.clone(),
        name: id,
        parent_id: parent.id.clone(),
        periodic: spec.periodic.is_some(),
        // A child that was dispatched is not dispatched again.
        parameterized: !dispatched && parent.parameterized,
        dispatched,
        idempotency_token,
        status_description: String::new(),
        ..parent.clone()
    };
    // A child that runs by a schedule is itself run by its children.
    let eval_id = if job.periodic || job.parameterized { &[] } else { eval_id };
    let groups = spec.task_groups.iter().map(|group| &*group.name).collect();
    let spec_row = JobSpec { json: spec_json(&spec), payload };
    submit(entry, existing, Submission { job, spec: spec_row, groups, eval_id, triggered_by })
}
