//! Command 27, since 0.1: a version is marked as one to go back to, or not any more.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Done, JobStability};

use super::entry::Entry;
use super::job_version::group_names;
use super::{Step, refuse};
use crate::state::read;

/// The version that is marked becomes the job's, with its number: so Nomad does, and so the numbers that
/// clients see after it show. No evaluation follows, so that nothing that runs is changed by it.
pub(super) fn apply(entry: &mut Entry<'_, '_>, command: JobStability) -> Step {
    let JobStability { namespace, job_id, version, stable } = command;
    let Some(existing) = read::job(entry.reader(), &namespace, &job_id)? else {
        return Ok(Err(refuse(500, format!("job {job_id:?} not found"))));
    };
    let Some(mut job) = read::job_version(entry.reader(), &namespace, &job_id, version)? else {
        return Ok(Err(super::no_such_version(&namespace, &job_id, version)));
    };
    if job.stable != stable {
        let before = job.clone();
        job.stable = stable;
        job.modify_index = entry.index;
        entry.put_job_version_row(Some(before), &job);
        job.status.clone_from(&existing.status);
        let groups = group_names(entry.reader(), &job, &read::spec_of(entry.reader(), &job)?)?;
        // Loaded, so that the entry's end looks at the job's status, too.
        let summary = entry.summary(&namespace, &job_id)?;
        for group in groups {
            summary.groups.entry(group).or_default();
        }
        entry.put_job(Some(existing), &job);
    }
    Ok(Ok(Answer::Done(Done { index: entry.index })))
}
