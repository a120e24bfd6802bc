//! Writes a new version of a job: shared by registrations, reverts, dispatches and periodic launches.

use ordu_proto::command::JobRegistered;
use ordu_proto::state::{Job, JobSpec, TaskGroupSummary};

use super::entry::{Entry, new_eval};
use super::level::SECOND_LEVEL;
use crate::job::written_schedule;
use crate::limits::JOB_VERSIONS_KEPT_MAX;
use crate::state::{Corrupt, Id, Reader, read, readable};

/// The desired state of a job.
pub(super) struct Submission<'g> {
    /// The job's facts. Ignores the fields that `apply` decides (version, indexes, status).
    pub(super) job: Job,
    pub(super) spec: JobSpec,
    pub(super) groups: Vec<&'g str>,
    /// Id of the evaluation to create; empty for jobs that are not evaluated at once.
    pub(super) eval_id: &'g [u8],
    /// Priority of the evaluation; 0 for the job's.
    pub(super) eval_priority: i32,
    pub(super) triggered_by: &'static str,
}

/// Writes the submitted job as a new version unless it is unchanged, and creates its evaluation.
pub(super) fn submit(
    entry: &mut Entry<'_, '_>,
    existing: Option<Job>,
    submission: Submission<'_>,
) -> Result<(Job, JobRegistered), Corrupt> {
    let Submission { mut job, spec, groups, eval_id, eval_priority, triggered_by } = submission;
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
        let mut eval = new_eval(id, &job, triggered_by);
        if eval_priority != 0 {
            eval.priority = eval_priority;
        }
        entry.put_eval(eval)?;
    }
    let registered = JobRegistered {
        index: entry.index,
        eval_id: eval_id.map(Vec::from).unwrap_or_default(),
        eval_create_index: if eval_id.is_some() { entry.index } else { 0 },
        job_modify_index: job.job_modify_index,
    };
    Ok((job, registered))
}

/// Writes the job under the version number that `job` already has.
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
            // A job's parent and dispatch token never change.
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
    // The children of a purged job of this name count as this one's from level 2 on.
    let forgets_children = !entry.has_level(SECOND_LEVEL);
    let summary = entry.summary(&job.namespace, &job.id)?;
    if summary.purged {
        summary.purged = false;
        summary.groups.clear();
        if forgets_children {
            (summary.children_pending, summary.children_running, summary.children_dead) = (0, 0, 0);
        }
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

/// Returns the version number that a job gets when `spec` is submitted, or `None` if the job is unchanged.
/// Registrations and dry runs both use this.
pub fn version_of_submission(
    reader: &dyn Reader,
    existing: &Job,
    stop: bool,
    spec: &JobSpec,
) -> Result<Option<u64>, Corrupt> {
    // Treat an unreadable specification as changed: registering the job again repairs it.
    let is_same =
        existing.stop == stop && readable(read::spec_of(reader, existing))?.is_some_and(|now| now == *spec);
    if is_same { Ok(None) } else { next_version(reader, existing).map(Some) }
}

/// Returns the next version number. It may have been used before, because marking an older version stable makes that
/// version the current one. It is never a number that an allocation has run by, even if that version is no longer
/// kept: its specification is still stored, and overwriting it would change the allocation.
pub(super) fn next_version(reader: &dyn Reader, existing: &Job) -> Result<u64, Corrupt> {
    let Job { namespace, id, create_index, .. } = existing;
    let mut next = existing.version + 1;
    while read::is_spec_used(reader, namespace, id, *create_index, next)? {
        next += 1;
    }
    Ok(next)
}

/// Starts the launch record when a schedule takes effect: earlier launch times of the schedule were never due.
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

/// Returns the names of the groups in a job's specification.
///
/// # Errors
/// Fails if the specification cannot be decoded: nothing could be placed by it, so it must not become a job.
pub(super) fn group_names(reader: &dyn Reader, job: &Job, spec: &JobSpec) -> Result<Vec<String>, Corrupt> {
    let facts = read::spec_facts(reader, job, spec)?;
    Ok(facts.task_groups.into_iter().map(|group| group.name).collect())
}
