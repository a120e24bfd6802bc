//! The scheduler's input: all data that an evaluation is decided on, gathered from tables and view of one state.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordu_proto::state::{Allocation, Deployment, Evaluation, Job};

use super::job::ScheduledJob;
use super::view::ViewSnapshot;
use crate::state::{Corrupt, Reader, read, readable};

/// Versions of one job that its allocations use, by version number. The current version may be missing.
pub type JobVersions = BTreeMap<u64, Arc<ScheduledJob>>;

/// All data that an evaluation is decided on, from one state (`snapshot_index`).
pub struct ScheduleInput<'a> {
    /// The evaluation, as the broker delivered it.
    pub eval: &'a Evaluation,
    /// The job's row; `None` if the job is purged.
    pub job_row: Option<&'a Job>,
    /// The parsed version of the job in `job_row`; `None` if the job is purged.
    pub job: Option<&'a ScheduledJob>,
    /// Other versions of this job (with the row's create index), to compare their allocations with.
    pub versions: &'a JobVersions,
    /// All allocations with the job's id, including terminal ones and those of earlier jobs.
    pub allocs: &'a [Allocation],
    /// The latest deployment with the job's id (`read::latest_deployment`), whatever its status.
    pub deployment: Option<&'a Deployment>,
    /// The cluster. The scheduler adds the plan's stops and placements to it, so that a worker can decide the next
    /// evaluation as if this plan had been applied.
    pub view: &'a mut ViewSnapshot,
    /// Index of the state that this input was read from.
    pub snapshot_index: u64,
    /// Current time in nanoseconds since 1970.
    pub now_ns: i64,
    /// Whether the decision is only reported and never applied: it predicts the effect of registering the job.
    ///
    /// A dry run differs in two ways. A job that only launches children is placed as one of its children would be. And
    /// groups with an update policy replace only as many allocations as the policy allows at a time. A plan that is
    /// applied replaces all of them at once: replacing the rest later would need a component that watches the health
    /// of the first ones and evaluates the job again; without it, such an update would never finish.
    pub dry_run: bool,
}

impl<'a> ScheduleInput<'a> {
    /// Returns the job's row and version, or `None` if no allocation of the job should run: it is purged or stopped,
    /// or it only launches children.
    pub(super) fn wanted(&self) -> Option<(&'a Job, &'a ScheduledJob)> {
        let runs = |row: &Job| !row.stop && (self.dry_run || !(row.periodic || row.parameterized));
        self.job_row.filter(|row| runs(row)).zip(self.job)
    }
}

/// The job to schedule.
pub enum Subject<'a> {
    /// The stored job with this namespace and id, if it exists.
    Stored(&'a str, &'a str),
    /// A job that is not stored: the row and the version that a registration would write. Its input is for a dry run.
    Submitted(&'a Job, Arc<ScheduledJob>),
}

/// Reads the version of a job given by a row; returns `None` if its specification is no longer stored.
pub type ReadVersion<'a> = dyn Fn(&dyn Reader, &Job) -> Result<Option<Arc<ScheduledJob>>, Corrupt> + 'a;

/// The data that a [`ScheduleInput`] refers to.
pub struct GatheredInput {
    /// The job's row; `None` if the job is purged.
    pub job_row: Option<Job>,
    /// The version of the job in `job_row`.
    pub job: Option<Arc<ScheduledJob>>,
    /// All allocations with the job's id.
    pub allocs: Vec<Allocation>,
    /// The cluster.
    pub view: ViewSnapshot,
    /// Index of the state that this data was read from.
    pub index: u64,
    versions: JobVersions,
    deployment: Option<Deployment>,
    dry_run: bool,
}

impl GatheredInput {
    /// Reads the data for scheduling the subject. `reader` and `view` must be of the same state.
    ///
    /// # Errors
    /// Fails if the job's row or its current version cannot be decoded. Other undecodable rows are skipped.
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
        // Treat an undecodable deployment as missing: it must not block its job forever.
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

    /// Builds the input of one decision from this data.
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

/// Reads the versions of the job that its allocations use, except the version in `row`.
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
        // The specification is kept longer than the row of its version, and the scheduler needs
        // nothing else from that row.
        let row = Job { version, ..row.clone() };
        if let Some(job) = readable(read_version(reader, &row))?.flatten() {
            versions.insert(version, job);
        }
    }
    Ok(versions)
}

/// Reads the version of a job given by a row from the tables.
///
/// # Errors
/// Fails if its specification cannot be decoded or parsed.
pub fn read_version(reader: &dyn Reader, row: &Job) -> Result<Option<Arc<ScheduledJob>>, Corrupt> {
    let spec = read::job_spec(reader, &row.namespace, &row.id, row.create_index, row.version)?;
    let Some(spec) = spec else { return Ok(None) };
    let spec = read::parsed_spec(reader, row, &spec)?;
    Ok(Some(Arc::new(ScheduledJob::from_spec(row, &spec))))
}

#[cfg(test)]
mod tests;
