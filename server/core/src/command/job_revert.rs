//! Command 26, since 0.1: makes an earlier version of a job the current one again, as a new version.

use ordu_proto::command::{JobRegistered, JobRevert, Refusal};

use super::check;
use super::declared::Command;
use super::entry::Entry;
use super::job_version::{Submission, group_names, submit};
use super::level::FIRST_LEVEL;
use super::{Step, refuse};
use crate::state::read;

impl Command for JobRevert {
    type Answer = JobRegistered;
    const NUMBER: u32 = 26;
    const LEVEL: u32 = FIRST_LEVEL;
    const IS_NEW_WORK: bool = true;

    fn check(&self) -> Result<(), Refusal> {
        check::names([&self.namespace, &self.job_id])
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<JobRegistered> {
        let JobRevert { namespace, job_id, version, enforced_prior_version, eval_id } = self;
        let Some(existing) = read::job(entry.reader(), &namespace, &job_id)? else {
            return Ok(Err(refuse(500, format!("job {job_id:?} not found"))));
        };
        if existing.version == version {
            return Ok(Err(refuse(500, "can't revert to current version")));
        }
        let Some(job) = read::job_version(entry.reader(), &namespace, &job_id, version)? else {
            return Ok(Err(super::no_such_version(&namespace, &job_id, version)));
        };
        if let Some(enforced) = enforced_prior_version.filter(|enforced| *enforced != existing.version) {
            let text = format!("Current job has version {}; enforcing version {enforced}", existing.version);
            return Ok(Err(refuse(500, text)));
        }
        let spec = read::spec_of(entry.reader(), &job)?;
        // Pass the groups: a recomputed summary lacks groups that only earlier versions have.
        let groups = group_names(entry.reader(), &job, &spec)?;
        let is_parent = job.periodic || job.parameterized;
        let submission = Submission {
            job,
            spec,
            groups: groups.iter().map(String::as_str).collect(),
            eval_id: if is_parent { &[] } else { &eval_id },
            eval_priority: 0,
            triggered_by: "job-register",
        };
        let (_, registered) = submit(entry, Some(existing), submission)?;
        Ok(Ok(registered))
    }
}
