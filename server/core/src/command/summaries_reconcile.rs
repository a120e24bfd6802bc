//! Command 29, since 0.1: the summaries are counted anew, from the jobs, the allocations and the evaluations.
//! All of them are read in one entry: it is for an operator who has a reason.

use std::collections::BTreeMap;

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Done, SummariesReconcile};
use ordu_proto::state::{Allocation, EvalStatus, Evaluation, Job, JobSummary, TaskGroupSummary};

use super::entry::{Entry, is_open};
use super::job_version::group_names;
use super::{Step, job_state};
use crate::state::{Corrupt, Table, read, readable};

pub(super) fn apply(entry: &mut Entry<'_, '_>, _: SummariesReconcile) -> Step {
    let counted = count(entry)?;
    for ((namespace, id), counted) in counted {
        if readable(read::job_summary(entry.reader(), &namespace, &id))?.is_none() {
            // What it said is not needed to count anew.
            entry.drop_summary(&namespace, &id);
        }
        let summary = entry.summary(&namespace, &id)?;
        let (before, index) = (summary.clone(), summary.modify_index);
        *summary = JobSummary { namespace, job_id: id, modify_index: index, ..counted };
        // Children that are gone were dead, and nothing is left to count them by.
        summary.children_dead = summary.children_dead.max(before.children_dead);
        if summary.purged {
            summary.groups = before.groups;
            summary.create_index = before.create_index;
        }
    }
    Ok(Ok(Answer::Done(Done { index: entry.index })))
}

type Counted = BTreeMap<(String, String), JobSummary>;

fn count(entry: &Entry<'_, '_>) -> Result<Counted, Corrupt> {
    let reader = entry.reader();
    let mut counted = Counted::new();
    let mut children = Vec::new();
    // What is left of jobs that are gone is in the summaries only.
    read::each(reader, Table::JobSummaries, &[], &mut |summary: JobSummary| {
        counted.insert((summary.namespace, summary.job_id), of_no_job());
        Ok(())
    })?;
    read::each(reader, Table::Jobs, &[], &mut |job: Job| {
        let groups = read::spec_of(reader, &job).and_then(|spec| group_names(reader, &job, &spec));
        let groups = readable(groups)?.unwrap_or_default();
        let groups = groups.into_iter().map(|name| (name, TaskGroupSummary::default()));
        let summary =
            JobSummary { groups: groups.collect(), create_index: job.create_index, ..JobSummary::default() };
        if !job.parent_id.is_empty() {
            children.push(((job.namespace.clone(), job.parent_id), job.status));
        }
        counted.insert((job.namespace, job.id), summary);
        Ok(())
    })?;
    for (parent, status) in children {
        if let Some(parent) = counted.get_mut(&parent).filter(|parent| !parent.purged) {
            job_state::count_child(parent, None, Some(&status));
        }
    }
    read::each(reader, Table::Allocs, &[], &mut |alloc: Allocation| {
        let summary =
            counted.entry((alloc.namespace.clone(), alloc.job_id.clone())).or_insert_with(of_no_job);
        if alloc.job_create_index == summary.create_index {
            summary.groups.entry(alloc.task_group.clone()).or_default();
        }
        job_state::count_alloc(summary, None, &alloc);
        Ok(())
    })?;
    // The latest word on what waits for room counts.
    let mut latest: BTreeMap<(String, String), Evaluation> = BTreeMap::new();
    read::each(reader, Table::Evals, &[], &mut |eval: Evaluation| {
        let of = (eval.namespace.clone(), eval.job_id.clone());
        let summary = counted.entry(of.clone()).or_insert_with(of_no_job);
        summary.open_evaluations += i64::from(is_open(eval.status()));
        let is_later = |known: &Evaluation| (eval.modify_index, &eval.id) > (known.modify_index, &known.id);
        let has_looked = !eval.queued_allocations.is_empty() && eval.status() != EvalStatus::Canceled;
        if has_looked && latest.get(&of).is_none_or(is_later) {
            latest.insert(of, eval);
        }
        Ok(())
    })?;
    for (of, eval) in latest {
        if let Some(summary) = counted.get_mut(&of) {
            job_state::count_queued(summary, &eval);
        }
    }
    Ok(counted)
}

/// The summary of a job that is gone: what is left of it is counted, and not shown.
fn of_no_job() -> JobSummary {
    JobSummary { purged: true, ..JobSummary::default() }
}
