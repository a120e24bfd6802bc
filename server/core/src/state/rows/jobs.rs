//! Jobs, their versions, their summaries, and the launches of periodic ones.

use ordu_proto::state::{Job, JobSummary, PeriodicLaunchRecord};

use super::Rows;
use crate::state::{Table, key};

/// The live jobs, by namespace and id.
pub struct Jobs;

impl Rows for Jobs {
    type Row = Job;
    type Key<'k> = (&'k str, &'k str);
    const TABLE: Table = Table::Jobs;
    const INDEXED: bool = true;

    fn key((namespace, id): (&str, &str)) -> Vec<u8> {
        key::job(namespace, id)
    }
}

/// The kept versions of each job, by namespace, id and version, newest first.
pub struct JobVersions;

impl Rows for JobVersions {
    type Row = Job;
    type Key<'k> = (&'k str, &'k str, u64);
    const TABLE: Table = Table::JobVersions;
    const INDEXED: bool = true;

    fn key((namespace, id, version): (&str, &str, u64)) -> Vec<u8> {
        key::job_version(namespace, id, version)
    }
}

/// Summaries, by namespace and job id.
pub struct JobSummaries;

impl Rows for JobSummaries {
    type Row = JobSummary;
    type Key<'k> = (&'k str, &'k str);
    const TABLE: Table = Table::JobSummaries;
    const INDEXED: bool = true;

    fn key((namespace, id): (&str, &str)) -> Vec<u8> {
        key::job(namespace, id)
    }
}

/// Launch records of periodic jobs, by namespace and job id.
pub struct PeriodicLaunches;

impl Rows for PeriodicLaunches {
    type Row = PeriodicLaunchRecord;
    type Key<'k> = (&'k str, &'k str);
    const TABLE: Table = Table::PeriodicLaunches;

    fn key((namespace, id): (&str, &str)) -> Vec<u8> {
        key::job(namespace, id)
    }
}
