//! Command 30, since 0.1: the cluster's time becomes that of this entry, also where it is lower, and what a
//! wrong clock wrote ahead of it is moved there. All launches and evaluations are read in one entry: it is
//! for an operator who has a reason.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{TimeReset, TimeWasReset};
use ordu_proto::state::{ClusterMeta, Evaluation, Job, PeriodicLaunchRecord};

use super::entry::{Entry, is_open};
use super::{Step, refuse};
use crate::state::{Table, read};

pub(super) fn apply(entry: &mut Entry<'_, '_>, cluster: &mut ClusterMeta, command: TimeReset) -> Step {
    let now_ns = entry.time_ns;
    // The cluster's time must not go from one wrong clock to another.
    if now_ns.abs_diff(command.time_ns) > command.tolerance_ns.max(0).unsigned_abs() {
        let (ahead, word) = (now_ns.saturating_sub(command.time_ns), "ahead of");
        let (apart, word) = if ahead < 0 { (ahead.saturating_neg(), "behind") } else { (ahead, word) };
        let text = format!(
            "the time is not reset: the leader's clock is {} s {word} the clock of the server that was asked; mend \
             the clock that is wrong and ask again some seconds later",
            apart / 1_000_000_000
        );
        return Ok(Err(refuse(409, text)));
    }
    let mut jobs: Vec<(Job, PeriodicLaunchRecord)> = Vec::new();
    let reader = entry.reader();
    read::each(reader, Table::Jobs, &[], &mut |job: Job| {
        if let Some(record) = read::periodic_launch(reader, &job.namespace, &job.id)?
            && record.launch_ns > now_ns
        {
            jobs.push((job, record));
        }
        Ok(())
    })?;
    let mut evals: Vec<Evaluation> = Vec::new();
    read::each(reader, Table::Evals, &[], &mut |eval: Evaluation| {
        if is_open(eval.status()) && eval.create_time_ns > now_ns && eval.wait_until_ns > now_ns {
            evals.push(eval);
        }
        Ok(())
    })?;
    let answer = TimeWasReset {
        index: entry.index,
        before_ns: cluster.time_ns,
        time_ns: now_ns,
        launches: jobs.len() as u64,
        evaluations: evals.len() as u64,
    };
    for (job, record) in jobs {
        let record = PeriodicLaunchRecord { reset_index: entry.index, ..record };
        entry.put_periodic_launch(&job, Some(record), now_ns);
    }
    for eval in evals {
        entry.put_eval(Evaluation { wait_until_ns: 0, ..eval })?;
    }
    cluster.time_ns = now_ns;
    Ok(Ok(Answer::TimeWasReset(answer)))
}
