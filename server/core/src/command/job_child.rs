//! Child jobs: the jobs that dispatches and launches create from a parameterized or periodic job.

use ordu_proto::command::JobRegistered;
use ordu_proto::state::{Job, JobSpec};

use super::entry::Entry;
use super::job_version::{Submission, submit};
use crate::job::{SpecEdit, SpecFacts};
use crate::state::{Corrupt, Reader, read};

/// A job that runs through child jobs.
pub(super) struct Parent {
    pub(super) job: Job,
    pub(super) facts: SpecFacts,
    spec: JobSpec,
}

/// The fields in which a child differs from its parent.
pub(super) struct Child<'p> {
    pub(super) id: String,
    /// The parent's specification with all edits except the child's ID and name.
    pub(super) spec: SpecEdit<'p>,
    /// Whether the child's specification has a schedule.
    pub(super) periodic: bool,
    pub(super) payload: Vec<u8>,
    pub(super) idempotency_token: String,
    pub(super) dispatched: bool,
    pub(super) eval_id: &'p [u8],
    pub(super) triggered_by: &'static str,
}

impl Parent {
    /// Reads the specification of a job that gets a child.
    pub(super) fn read(reader: &dyn Reader, job: Job) -> Result<Parent, Corrupt> {
        let spec = read::spec_of(reader, &job)?;
        let facts = read::spec_facts(reader, &job, &spec)?;
        Ok(Parent { job, facts, spec })
    }

    /// Returns the specification with `edit` applied.
    pub(super) fn edited<'p>(
        &'p self,
        reader: &dyn Reader,
        edit: impl FnOnce(&mut SpecEdit<'p>) -> Result<(), serde_json::Error>,
    ) -> Result<SpecEdit<'p>, Corrupt> {
        let edited = SpecEdit::of(&self.spec.json).and_then(|mut spec| edit(&mut spec).map(|()| spec));
        edited.map_err(|error| read::corrupt_spec(reader, &self.job, &error))
    }
}

/// Creates a child of `parent`, or evaluates the existing child with this id again.
pub(super) fn submit_child(
    entry: &mut Entry<'_, '_>,
    parent: &Parent,
    child: Child<'_>,
) -> Result<(Job, JobRegistered), Corrupt> {
    let Child { id, mut spec, periodic, payload, idempotency_token, dispatched, eval_id, triggered_by } =
        child;
    spec.set_id(&id);
    let Parent { job: parent, facts, .. } = parent;
    let existing = read::job(entry.reader(), &parent.namespace, &id)?;
    let job = Job {
        id: id.clone(),
        name: id,
        parent_id: parent.id.clone(),
        periodic,
        // A dispatched child cannot be dispatched itself.
        parameterized: !dispatched && parent.parameterized,
        dispatched,
        idempotency_token,
        status_description: String::new(),
        ..parent.clone()
    };
    // A periodic or parameterized child is not evaluated: it runs through children of its own.
    let eval_id = if job.periodic || job.parameterized { &[] } else { eval_id };
    let groups = facts.group_names().collect();
    let spec = JobSpec { json: spec.to_json(), payload };
    submit(entry, existing, Submission { job, spec, groups, eval_id, eval_priority: 0, triggered_by })
}
