//! Command 17, since 0.1: stops a job by writing a new version, or purges it.

use ordu_proto::command::{JobDeregister, JobDeregistered, Refusal};
use ordu_proto::state::Job;

use super::Step;
use super::check;
use super::declared::Command;
use super::entry::{Entry, UNKNOWN_JOB_PRIORITY, new_eval};
use super::job_version::next_version;
use super::level::{FIRST_LEVEL, SECOND_LEVEL};
use super::outcome::AnswerMessage;
use crate::job::JobKind;
use crate::limits::JOB_VERSIONS_KEPT_MAX;
use crate::state::{Id, read};

impl Command for JobDeregister {
    type Answer = JobDeregistered;
    const NUMBER: u32 = 17;
    const LEVEL: u32 = FIRST_LEVEL;

    fn level_needed(&self) -> u32 {
        if self.eval_priority == 0 { Self::LEVEL } else { SECOND_LEVEL }
    }

    fn check(&self) -> Result<(), Refusal> {
        check::names([&self.namespace, &self.job_id])
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<JobDeregistered> {
        let existing = read::job(entry.reader(), &self.namespace, &self.job_id)?;
        // Evaluate an unknown job too: a concurrent purge may have removed it after the stop was proposed.
        let job = existing.clone().unwrap_or_else(|| Job {
            namespace: self.namespace.clone(),
            id: self.job_id.clone(),
            priority: UNKNOWN_JOB_PRIORITY,
            r#type: JobKind::Service.as_str().to_owned(),
            ..Job::default()
        });
        let job_modify_index = match &existing {
            // Already stopped: the job is not written.
            Some(existing) if existing.stop && !self.purge => existing.job_modify_index,
            Some(_) => entry.index,
            None => entry.index,
        };
        let evaluated = !(job.periodic || job.parameterized);
        if let Some(existing) = existing {
            if self.purge {
                entry.remove_job(&existing)?;
            } else if !existing.stop {
                stop(entry, existing)?;
            }
        }
        let id = Id::try_from(self.eval_id.as_slice()).ok().filter(|_| evaluated);
        if let Some(id) = id {
            let mut eval = new_eval(id, &job, "job-deregister");
            eval.job_modify_index = job_modify_index;
            if self.eval_priority != 0 {
                eval.priority = self.eval_priority;
            }
            entry.put_eval(eval)?;
        }
        Ok(Ok(JobDeregistered {
            index: entry.index,
            eval_id: id.map(Vec::from).unwrap_or_default(),
            // Set even if there is no evaluation.
            eval_create_index: entry.index,
            job_modify_index,
        }))
    }
}

impl AnswerMessage for JobDeregistered {
    const NUMBER: u32 = 3;
}

fn stop(entry: &mut Entry<'_, '_>, existing: Job) -> Result<(), crate::state::Corrupt> {
    let mut job = existing.clone();
    let spec = read::spec_of(entry.reader(), &job)?;
    job.version = next_version(entry.reader(), &job)?;
    job.stop = true;
    job.stable = false;
    job.modify_index = entry.index;
    job.job_modify_index = entry.index;
    job.submit_time_ns = entry.time_ns;
    // The job's status depends on its summary: load it so that the entry's end recomputes the status.
    entry.summary(&job.namespace, &job.id)?;
    entry.put_job_version(&job, spec, JOB_VERSIONS_KEPT_MAX)?;
    entry.put_job(Some(existing), &job);
    Ok(())
}
