//! Command 28, since 0.1: launches a periodic job once, as a child job. Job and launch time identify a launch, so that
//! a change of leader neither repeats nor loses one.

use ordu_proto::command::{PeriodicLaunch, PeriodicLaunched, Refusal};
use ordu_proto::state::Job;

use super::check;
use super::declared::Command;
use super::entry::Entry;
use super::job_child::{Child, Parent, submit_child};
use super::level::FIRST_LEVEL;
use super::outcome::AnswerMessage;
use super::{Step, refuse};
use crate::periodic::child_id;
use crate::state::{Corrupt, read};

impl Command for PeriodicLaunch {
    type Answer = PeriodicLaunched;
    const NUMBER: u32 = 28;
    const LEVEL: u32 = FIRST_LEVEL;
    const IS_NEW_WORK: bool = true;

    fn check(&self) -> Result<(), Refusal> {
        check::names([&self.namespace, &self.job_id])
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<PeriodicLaunched> {
        let PeriodicLaunch { namespace, job_id, launch_ns, forced, eval_id } = self;
        let Some(job) = read::job(entry.reader(), &namespace, &job_id)? else {
            return Ok(Err(refuse(500, "job not found")));
        };
        let not_periodic = || refuse(500, "can't force launch non-periodic job");
        if !job.periodic {
            return Ok(Err(not_periodic()));
        }
        let parent = Parent::read(entry.reader(), job)?;
        let Parent { job, facts, .. } = &parent;
        let Some(schedule) = &facts.periodic else { return Ok(Err(not_periodic())) };
        if job.stop || job.parameterized || schedule.enabled == Some(false) {
            let text = format!(
                "force launch for job {job_id:?} failed: can't force run non-tracked job {job_id:?} ({namespace})"
            );
            return Ok(Err(refuse(500, text)));
        }
        let record = read::periodic_launch(entry.reader(), &namespace, &job_id)?;
        let reset_index = record.map_or(0, |record| record.reset_index);
        if forced {
            // A forced launch is not part of the schedule: scheduled launches stay due.
            let launched = launch(entry, &parent, entry.time_ns, reset_index, &eval_id)?;
            return Ok(Ok(launched));
        }
        let nothing = PeriodicLaunched { index: entry.index, ..PeriodicLaunched::default() };
        if record.as_ref().is_some_and(|record| launch_ns <= record.launch_ns) {
            return Ok(Ok(nothing));
        }
        entry.put_periodic_launch(job, record, launch_ns);
        if schedule.prohibit_overlap == Some(true) && is_running(entry, job)? {
            return Ok(Ok(nothing));
        }
        let launched = launch(entry, &parent, launch_ns, reset_index, &eval_id)?;
        Ok(Ok(launched))
    }
}

impl AnswerMessage for PeriodicLaunched {
    const NUMBER: u32 = 9;
}

/// Returns whether a child of the job is pending or running.
fn is_running(entry: &mut Entry<'_, '_>, job: &Job) -> Result<bool, Corrupt> {
    let summary = entry.summary(&job.namespace, &job.id)?;
    Ok(summary.children_pending + summary.children_running > 0)
}

fn launch(
    entry: &mut Entry<'_, '_>,
    parent: &Parent,
    launch_ns: i64,
    reset_index: u64,
    eval_id: &[u8],
) -> Result<PeriodicLaunched, Corrupt> {
    let job = &parent.job;
    let mut id = child_id(&job.id, launch_ns.div_euclid(1_000_000_000));
    // A clock that was ahead may have created a child with this id before the reset; this launch is another one.
    if reset_index > 0
        && read::job(entry.reader(), &job.namespace, &id)?.is_some_and(|old| old.create_index < reset_index)
    {
        id = format!("{id}-{reset_index}");
    }
    let spec = parent.edited(entry.reader(), |spec| {
        spec.clear_schedule();
        Ok(())
    })?;
    let child = Child {
        id,
        spec,
        periodic: false,
        payload: Vec::new(),
        idempotency_token: String::new(),
        dispatched: job.dispatched,
        eval_id,
        triggered_by: "periodic-job",
    };
    let (child, registered) = submit_child(entry, parent, child)?;
    Ok(PeriodicLaunched {
        index: entry.index,
        child_id: child.id,
        eval_id: registered.eval_id,
        eval_create_index: registered.eval_create_index,
    })
}
