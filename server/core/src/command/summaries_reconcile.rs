//! Command 29, since 0.1: recomputes the summaries from jobs, allocations and evaluations, job by job, a bounded
//! number of rows per entry.

use ordu_proto::command::{Continued, Done, SummariesReconcile};
use ordu_proto::state::{EvalStatus, Evaluation, Job, JobSummary, TaskGroupSummary};
use prost::Message;

use super::declared::Command;
use super::entry::{Entry, is_open};
use super::job_version::group_names;
use super::level::{FIRST_LEVEL, SECOND_LEVEL};
use super::outcome::{Answer, EncodedAnswer};
use super::tagged::Malformed;
use super::{Step, job_state};
use crate::limits::ENTRY_ROWS_READ_MAX;
use crate::state::{Corrupt, Reader, Table, key, read, readable};

/// Rows charged for a job without any allocations, evaluations or children: the lookups in four tables, the job, its
/// specification and its summary.
const ROWS_OF_ANY_JOB: usize = 8;

/// Progress of the recount.
#[derive(Clone, Debug, PartialEq)]
pub enum Reconciled {
    /// All summaries are recomputed.
    Done(Done),
    /// The entry's limit is reached; the answer tells where to continue.
    Continued(Continued),
}

/// Field number of the answer that tells where to continue.
const CONTINUED: u32 = 12;

impl Answer for Reconciled {
    fn to_encoded(&self) -> EncodedAnswer {
        match self {
            Self::Done(done) => done.to_encoded(),
            Self::Continued(continued) => {
                EncodedAnswer { number: CONTINUED, bytes: continued.encode_to_vec() }
            }
        }
    }

    fn from_encoded(encoded: &EncodedAnswer) -> Result<Self, Malformed> {
        if encoded.number == CONTINUED {
            return Ok(Self::Continued(Continued::decode(&*encoded.bytes)?));
        }
        Done::from_encoded(encoded).map(Self::Done)
    }
}

impl Command for SummariesReconcile {
    type Answer = Reconciled;
    const NUMBER: u32 = 29;
    const LEVEL: u32 = FIRST_LEVEL;
    const READS_WHOLE_TABLES: bool = true;

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Reconciled> {
        let mut after = self.after;
        let mut rows = 0;
        while let Some(job) = next_job(entry.reader(), &after)? {
            if rows >= ENTRY_ROWS_READ_MAX {
                return Ok(Ok(Reconciled::Continued(Continued { index: entry.index, after })));
            }
            rows += count(entry, &job)?;
            after = job;
        }
        Ok(Ok(Reconciled::Done(Done { index: entry.index })))
    }
}

/// Recomputes the summary of the job with this key. Returns how many rows it has read.
fn count(entry: &mut Entry<'_, '_>, job: &[u8]) -> Result<usize, Corrupt> {
    let Some((namespace, id)) = key::job_names(job) else { return Ok(ROWS_OF_ANY_JOB) };
    let rule = if entry.has_level(SECOND_LEVEL) { ChildrenRule::Existing } else { ChildrenRule::Ever };
    let (counted, rows) = counted(entry.reader(), namespace, id, rule)?;
    if readable(read::job_summary(entry.reader(), namespace, id))?.is_none() {
        // An unreadable summary is replaced: the recount does not need it.
        entry.drop_summary(namespace, id);
    }
    let summary = entry.summary(namespace, id)?;
    let (before, index) = (summary.clone(), summary.modify_index);
    let (namespace, job_id) = (namespace.to_owned(), id.to_owned());
    *summary = JobSummary { namespace, job_id, modify_index: index, ..counted };
    if rule == ChildrenRule::Ever {
        // Removed children left no rows to count, so never lower the count of dead children.
        summary.children_dead = summary.children_dead.max(before.children_dead);
    }
    if summary.purged {
        summary.groups = before.groups;
        summary.create_index = before.create_index;
    }
    Ok(rows)
}

/// Which children a parent's summary counts; see [`Entry::count_child`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChildrenRule {
    /// Those that exist: from level 2 on.
    Existing,
    /// Those that an existing parent has ever had, removed ones as dead.
    Ever,
}

/// Counts a job's summary. Also returns how many rows it has read.
fn counted(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
    rule: ChildrenRule,
) -> Result<(JobSummary, usize), Corrupt> {
    let mut rows = ROWS_OF_ANY_JOB;
    let mut summary = match readable(read::job(reader, namespace, id))?.flatten() {
        Some(job) => of_job(reader, &job)?,
        // Count what is left of a purged job, but do not show it to clients.
        None => JobSummary { purged: true, ..JobSummary::default() },
    };
    if !summary.purged || rule == ChildrenRule::Existing {
        // A child's id begins with its parent's id and a slash.
        let children = key::job(namespace, &format!("{id}/"));
        read::each(reader, Table::Jobs, &children, &mut |child: Job| {
            rows += 1;
            if child.parent_id == id {
                job_state::count_child(&mut summary, None, Some(&child.status));
            }
            Ok(())
        })?;
    }
    for alloc in read::allocs_of_job(reader, namespace, id)? {
        rows += 1;
        if alloc.job_create_index == summary.create_index {
            summary.groups.entry(alloc.task_group.clone()).or_default();
        }
        job_state::count_alloc(&mut summary, None, &alloc);
    }
    // The latest evaluation that reported queued allocations counts.
    let mut latest: Option<Evaluation> = None;
    for eval in read::evals_of_job(reader, namespace, id)? {
        rows += 1;
        summary.open_evaluations += i64::from(is_open(eval.status()));
        let is_later = |known: &Evaluation| (eval.modify_index, &eval.id) > (known.modify_index, &known.id);
        let has_looked = !eval.queued_allocations.is_empty() && eval.status() != EvalStatus::Canceled;
        if has_looked && latest.as_ref().is_none_or(is_later) {
            latest = Some(eval);
        }
    }
    if let Some(eval) = latest {
        job_state::count_queued(&mut summary, &eval);
    }
    Ok((summary, rows))
}

fn of_job(reader: &dyn Reader, job: &Job) -> Result<JobSummary, Corrupt> {
    let groups = read::spec_of(reader, job).and_then(|spec| group_names(reader, job, &spec));
    let groups = readable(groups)?.unwrap_or_default();
    let groups = groups.into_iter().map(|name| (name, TaskGroupSummary::default()));
    Ok(JobSummary { groups: groups.collect(), create_index: job.create_index, ..JobSummary::default() })
}

/// Returns the key of the first job after `after` that has a row in any of the four tables.
fn next_job(reader: &dyn Reader, after: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
    let first = |table, start: &[u8]| {
        let mut found = None;
        reader.scan(table, start, None, &mut |key, _| {
            found = Some(key.to_vec());
            Ok(false)
        })?;
        Ok(found)
    };
    let is_first = after.is_empty();
    let job = if is_first { Vec::new() } else { key::after(after) };
    // The first key after all rows that the job owns.
    let owned = if is_first { Vec::new() } else { [after, &[1]].concat() };
    let found = [
        first(Table::Jobs, &job)?,
        first(Table::JobSummaries, &job)?,
        first(Table::AllocsByJob, &owned)?.map(job_of),
        first(Table::EvalsByJob, &owned)?.map(job_of),
    ];
    Ok(found.into_iter().flatten().min())
}

/// Returns the key of the job that owns the row with the key `owned`.
fn job_of(mut owned: Vec<u8>) -> Vec<u8> {
    const END_AND_ID_BYTES: usize = 17;
    owned.truncate(owned.len().saturating_sub(END_AND_ID_BYTES));
    owned
}
