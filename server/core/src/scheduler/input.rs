//! The scheduler's input: what an evaluation is decided on, gathered from the tables and the view of one state.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordu_proto::state::{Allocation, Deployment, Evaluation, Job};

use super::job::ScheduledJob;
use super::view::ViewSnapshot;
use crate::state::{Corrupt, Reader, read, readable};

/// Versions of one job that its allocations run by, keyed by version number. The present version may be missing.
pub type JobVersions = BTreeMap<u64, Arc<ScheduledJob>>;

/// What an evaluation is decided on. All of it is from one moment, `snapshot_index`.
pub struct ScheduleInput<'a> {
    /// The evaluation, as the broker handed it out.
    pub eval: &'a Evaluation,
    /// The job's row; `None` where the job is purged.
    pub job_row: Option<&'a Job>,
    /// The job's version that the row stands for, read; `None` where the job is purged.
    pub job: Option<&'a ScheduledJob>,
    /// Versions of this job (of the row's create index), to compare those of allocations with.
    pub versions: &'a JobVersions,
    /// All allocations of the job, terminal ones and those of earlier jobs of its name among them.
    pub allocs: &'a [Allocation],
    /// The latest deployment of the job's id (`read::latest_deployment`), whatever has become of it.
    pub deployment: Option<&'a Deployment>,
    /// The cluster. The plan's stops and placements are in it afterwards, so that a worker may decide the
    /// next evaluation on it as if this plan had been applied.
    pub view: &'a mut ViewSnapshot,
    /// The state index that all of this is from.
    pub snapshot_index: u64,
    /// The time, nanoseconds since 1970.
    pub now_ns: i64,
    /// The decision is only told and never applied: what would happen if the job were registered so.
    ///
    /// Two things are told that are not done. A job that only launches children is placed as one of them
    /// would be. And of a group with an update policy only so many allocations are replaced as the policy
    /// allows at a time. A plan that is applied replaces all of them at once: replacing the others later
    /// takes someone who watches the health of the first and has the job evaluated again, and without that
    /// an update that began would never end.
    pub dry_run: bool,
}

impl<'a> ScheduleInput<'a> {
    /// The job's row and version, unless nothing of the job is to run: it is purged or stopped, or it only
    /// launches children.
    pub(super) fn wanted(&self) -> Option<(&'a Job, &'a ScheduledJob)> {
        let runs = |row: &Job| !row.stop && (self.dry_run || !(row.periodic || row.parameterized));
        self.job_row.filter(|row| runs(row)).zip(self.job)
    }
}

/// The job that is to be scheduled.
pub enum Subject<'a> {
    /// The job of this namespace and id as it is stored, if it is.
    Stored(&'a str, &'a str),
    /// A job that is not stored: the row and the version that a registration would write. Its input is that of
    /// a dry run.
    Submitted(&'a Job, Arc<ScheduledJob>),
}

/// Reads the version of a job that a row stands for; `None` where its specification is not kept any more.
pub type ReadVersion<'a> = dyn Fn(&dyn Reader, &Job) -> Result<Option<Arc<ScheduledJob>>, Corrupt> + 'a;

/// The rows and the view that a [`ScheduleInput`] refers to.
pub struct GatheredInput {
    /// The job's row; `None` where the job is purged.
    pub job_row: Option<Job>,
    /// The job's version that the row stands for.
    pub job: Option<Arc<ScheduledJob>>,
    /// All allocations of the job's id.
    pub allocs: Vec<Allocation>,
    /// The cluster.
    pub view: ViewSnapshot,
    /// The state index that all of this is from.
    pub index: u64,
    versions: JobVersions,
    deployment: Option<Deployment>,
    dry_run: bool,
}

impl GatheredInput {
    /// Reads what the subject is scheduled by. `reader` and `view` must be of one state.
    ///
    /// # Errors
    /// Where the job's row or its present version cannot be decoded. Other rows that cannot are passed over.
    pub fn gather(
        reader: &dyn Reader,
        view: ViewSnapshot,
        subject: Subject<'_>,
        read_version: &ReadVersion<'_>,
    ) -> Result<GatheredInput, Corrupt> {
        let (namespace, id, dry_run) = match &subject {
            Subject::Stored(namespace, id) => (*namespace, *id, false),
            Subject::Submitted(row, _) => (&*row.namespace, &*row.id, true),
        };
        let index = read::applied_index(reader)?;
        let allocs = read::allocs_of_job(reader, namespace, id)?;
        // One that cannot be decoded counts as none: it must not hold up its job for ever.
        let deployment = readable(read::latest_deployment(reader, namespace, id))?.flatten();
        let (job_row, job) = match subject {
            Subject::Stored(namespace, id) => {
                let row = read::job(reader, namespace, id)?;
                let job = match &row {
                    Some(row) => read_version(reader, row)?,
                    None => None,
                };
                (row, job)
            }
            Subject::Submitted(row, job) => (Some(row.clone()), Some(job)),
        };
        let versions = match &job_row {
            Some(row) => versions_in_use(reader, row, &allocs, read_version)?,
            None => JobVersions::new(),
        };
        Ok(GatheredInput { job_row, job, allocs, view, index, versions, deployment, dry_run })
    }

    /// The input of one decision on what was gathered.
    pub fn input<'a>(&'a mut self, eval: &'a Evaluation, now_ns: i64) -> ScheduleInput<'a> {
        ScheduleInput {
            eval,
            job_row: self.job_row.as_ref(),
            job: self.job.as_deref(),
            versions: &self.versions,
            allocs: &self.allocs,
            deployment: self.deployment.as_ref(),
            view: &mut self.view,
            snapshot_index: self.index,
            now_ns,
            dry_run: self.dry_run,
        }
    }
}

/// Reads the versions of the job of `row` by which the allocations run, but for the one that the row stands for.
fn versions_in_use(
    reader: &dyn Reader,
    row: &Job,
    allocs: &[Allocation],
    read_version: &ReadVersion<'_>,
) -> Result<JobVersions, Corrupt> {
    let mut versions = JobVersions::new();
    for alloc in allocs {
        let version = alloc.job_version;
        let is_of_job = alloc.job_create_index == row.create_index;
        if !is_of_job || version == row.version || versions.contains_key(&version) {
            continue;
        }
        // The specification outlives the row of its version, and the scheduler needs no more of it.
        let row = Job { version, ..row.clone() };
        if let Some(job) = readable(read_version(reader, &row))?.flatten() {
            versions.insert(version, job);
        }
    }
    Ok(versions)
}

/// Reads the version of a job that a row stands for from the tables.
///
/// # Errors
/// Where its specification cannot be decoded or parsed.
pub fn read_version(reader: &dyn Reader, row: &Job) -> Result<Option<Arc<ScheduledJob>>, Corrupt> {
    let spec = read::job_spec(reader, &row.namespace, &row.id, row.create_index, row.version)?;
    let Some(spec) = spec else { return Ok(None) };
    let spec = read::parsed_spec(reader, row, &spec)?;
    Ok(Some(Arc::new(ScheduledJob::from_spec(row, &spec))))
}

#[cfg(test)]
mod tests;
