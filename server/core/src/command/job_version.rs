//! A job as it is to be from now on: what registrations, reverts, dispatches and launches have in common.

use ordu_proto::command::JobRegistered;
use ordu_proto::state::{Job, JobSpec, TaskGroupSummary};

use super::entry::{Entry, new_eval};
use crate::job::written_schedule;
use crate::limits::JOB_VERSIONS_KEPT_MAX;
use crate::state::{Corrupt, Id, Reader, read, readable};

/// What a job is to be.
pub(super) struct Submission<'g> {
    /// The facts of the specification; what `apply` decides of it (version, indexes, status) is not looked at.
    pub(super) job: Job,
    pub(super) spec: JobSpec,
    pub(super) groups: Vec<&'g str>,
    /// Empty for jobs that are not evaluated at once.
    pub(super) eval_id: &'g [u8],
    pub(super) triggered_by: &'static str,
}

/// Makes the job what is submitted, as a new version unless it is that already, and has it evaluated.
pub(super) fn submit(
    entry: &mut Entry<'_, '_>,
    existing: Option<Job>,
    submission: Submission<'_>,
) -> Result<(Job, JobRegistered), Corrupt> {
    let Submission { mut job, spec, groups, eval_id, triggered_by } = submission;
    let version = match &existing {
        Some(existing) => version_of_submission(entry.reader(), existing, job.stop, &spec)?,
        None => Some(0),
    };
    let job = match (version, existing) {
        (None, Some(existing)) => existing,
        (version, existing) => {
            job.version = version.unwrap_or_default();
            write(entry, existing, job, spec, &groups)?
        }
    };
    let eval_id = Id::try_from(eval_id).ok();
    if let Some(id) = eval_id {
        entry.put_eval(new_eval(id, &job, triggered_by))?;
    }
    let registered = JobRegistered {
        index: entry.index,
        eval_id: eval_id.map(Vec::from).unwrap_or_default(),
        eval_create_index: if eval_id.is_some() { entry.index } else { 0 },
        job_modify_index: job.job_modify_index,
    };
    Ok((job, registered))
}

/// Writes the job with the version that it has.
fn write(
    entry: &mut Entry<'_, '_>,
    existing: Option<Job>,
    mut job: Job,
    spec: JobSpec,
    groups: &[&str],
) -> Result<Job, Corrupt> {
    match &existing {
        Some(existing) => {
            job.create_index = existing.create_index;
            job.status.clone_from(&existing.status);
            // Whose child a job is, and of which dispatch, stays what it was.
            job.parent_id.clone_from(&existing.parent_id);
            job.idempotency_token.clone_from(&existing.idempotency_token);
        }
        None => {
            job.create_index = entry.index;
            job.status = "pending".to_owned();
        }
    }
    job.modify_index = entry.index;
    job.job_modify_index = entry.index;
    job.submit_time_ns = entry.time_ns;
    job.stable = false;
    let create_index = job.create_index;
    let summary = entry.summary(&job.namespace, &job.id)?;
    if summary.purged {
        summary.purged = false;
        summary.groups.clear();
        (summary.children_pending, summary.children_running, summary.children_dead) = (0, 0, 0);
        summary.create_index = create_index;
    }
    for group in groups {
        summary.groups.entry((*group).to_owned()).or_insert_with(TaskGroupSummary::default);
    }
    note_schedule(entry, existing.as_ref(), &job, &spec)?;
    entry.put_job_version(&job, spec, JOB_VERSIONS_KEPT_MAX)?;
    let is_new = existing.is_none();
    entry.put_job(existing, &job);
    if is_new {
        entry.count_child(&job, None, Some(&job.status))?;
    }
    Ok(job)
}

/// The version that a job becomes by being submitted as `spec`; `None` where it is that already. What a
/// registration writes and what a dry run tells is decided here.
pub fn version_of_submission(
    reader: &dyn Reader,
    existing: &Job,
    stop: bool,
    spec: &JobSpec,
) -> Result<Option<u64>, Corrupt> {
    // One that cannot be read is not this one: the job is mended by registering it anew.
    let is_same =
        existing.stop == stop && readable(read::spec_of(reader, existing))?.is_some_and(|now| now == *spec);
    if is_same { Ok(None) } else { next_version(reader, existing).map(Some) }
}

/// The number after the job's. It may be one that was given before, since marking an older version stable
/// makes that one the job; but never one by which an allocation runs or ran, whether or not its version is
/// still kept: the specification is, and writing another one by its number would change what runs.
pub(super) fn next_version(reader: &dyn Reader, existing: &Job) -> Result<u64, Corrupt> {
    let Job { namespace, id, create_index, .. } = existing;
    let mut next = existing.version + 1;
    while read::is_spec_used(reader, namespace, id, *create_index, next)? {
        next += 1;
    }
    Ok(next)
}

/// A schedule counts from when it comes into force: launches that it names before that were never due.
fn note_schedule(
    entry: &mut Entry<'_, '_>,
    existing: Option<&Job>,
    job: &Job,
    spec: &JobSpec,
) -> Result<(), Corrupt> {
    if !job.periodic {
        return Ok(());
    }
    let record = read::periodic_launch(entry.reader(), &job.namespace, &job.id)?;
    let is_resumed = existing.is_some_and(|existing| existing.stop && !job.stop);
    let is_same = match existing {
        Some(existing) if !is_resumed => {
            let before = readable(read::spec_of(entry.reader(), existing))?;
            before.is_some_and(|before| written_schedule(&before.json) == written_schedule(&spec.json))
        }
        _ => false,
    };
    if record.is_none() || !is_same {
        let launch_ns = record.as_ref().map_or(entry.time_ns, |record| record.launch_ns.max(entry.time_ns));
        entry.put_periodic_launch(job, record, launch_ns);
    }
    Ok(())
}

/// The names of the groups of a job's specification.
///
/// # Errors
/// Where it cannot be read: what nothing can be placed by is to become no job.
pub(super) fn group_names(reader: &dyn Reader, job: &Job, spec: &JobSpec) -> Result<Vec<String>, Corrupt> {
    let facts = read::spec_facts(reader, job, spec)?;
    Ok(facts.task_groups.into_iter().map(|group| group.name).collect())
}
