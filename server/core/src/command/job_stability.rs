//! Command 27, since 0.1: marks a job version as stable (a target for automatic reverts) or as not stable.

use ordu_proto::command::{Done, JobStability, Refusal};

use super::check;
use super::declared::Command;
use super::entry::Entry;
use super::job_version::group_names;
use super::level::{FIRST_LEVEL, SECOND_LEVEL};
use super::{Step, refuse};
use crate::state::read;

/// As in Nomad, the marked version becomes the job's current one, with its number; the numbers that clients see later
/// depend on it. No evaluation is created, so running allocations do not change.
impl Command for JobStability {
    type Answer = Done;
    const NUMBER: u32 = 27;
    const LEVEL: u32 = FIRST_LEVEL;

    fn check(&self) -> Result<(), Refusal> {
        check::names([&self.namespace, &self.job_id])
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Done> {
        let JobStability { namespace, job_id, version, stable } = self;
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
            if entry.has_level(SECOND_LEVEL) {
                // As in Nomad, the version is written anew with the status that the job has now.
                job.status.clone_from(&existing.status);
            }
            entry.put_job_version_row(Some(before), &job);
            job.status.clone_from(&existing.status);
            let groups = group_names(entry.reader(), &job, &read::spec_of(entry.reader(), &job)?)?;
            // Load the summary so that the entry's end recomputes the job's status.
            let summary = entry.summary(&namespace, &job_id)?;
            for group in groups {
                summary.groups.entry(group).or_default();
            }
            entry.put_job(Some(existing), &job);
        }
        Ok(Ok(Done { index: entry.index }))
    }
}
