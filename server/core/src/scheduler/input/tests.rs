//! The input gathered for stored and submitted jobs.

use std::cell::RefCell;

use ordu_proto::api::job::JobSpec;
use ordu_proto::raft::LogId;
use ordu_proto::state;
use prost::Message;

use super::*;
use crate::job::spec_json;
use crate::scheduler::ClusterView;
use crate::scheduler::testing::{group, id};
use crate::state::{MemoryTables, Table, Write, key};

const NAMESPACE: &str = "default";
/// Create indexes of the current job and of an earlier one with the same name.
const CREATED: u64 = 20;
const CREATED_BEFORE: u64 = 10;

struct Tables(MemoryTables);

impl Tables {
    /// Returns tables with version 3 of a service with one group, at index 42.
    fn with_job() -> Tables {
        let mut tables = Tables(MemoryTables::default());
        tables.put(Table::Meta, key::meta::APPLIED.to_vec(), &LogId { term: 1, index: 42 });
        tables.put(Table::Jobs, key::job(NAMESPACE, "job"), &row(CREATED, 3));
        for version in 0..=3 {
            tables.put_spec(CREATED, version, version as i64 + 1);
        }
        tables.put_spec(CREATED_BEFORE, 0, 100);
        tables
    }

    fn put(&mut self, table: Table, key: Vec<u8>, row: &impl Message) {
        self.write(table, key, row.encode_to_vec());
    }

    fn write(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.0.commit([Write { table, key, value: Some(value) }]);
    }

    fn put_spec(&mut self, created: u64, version: u64, count: i64) {
        let spec = state::JobSpec { json: spec_json(&spec(count)), payload: Vec::new() };
        self.put(Table::JobSpecs, key::job_spec(NAMESPACE, "job", created, version), &spec);
    }

    /// Writes an allocation of this version.
    fn put_alloc(&mut self, number: u64, job_create_index: u64, job_version: u64) {
        let alloc = Allocation {
            id: id(number),
            namespace: NAMESPACE.into(),
            job_id: "job".into(),
            job_create_index,
            job_version,
            ..Allocation::default()
        };
        self.write(Table::AllocsByJob, key::by_job(NAMESPACE, "job", &alloc.id), Vec::new());
        self.put(Table::Allocs, alloc.id.clone(), &alloc);
    }

    /// Returns the gathered input, and the versions read for it.
    fn gather(&self, subject: Subject<'_>) -> (Result<GatheredInput, Corrupt>, Vec<(u64, u64)>) {
        let read = RefCell::new(Vec::new());
        let view = ClusterView::new().snapshot();
        let gathered = GatheredInput::gather(&self.0, view, subject, &|reader, row| {
            read.borrow_mut().push((row.create_index, row.version));
            read_version(reader, row)
        });
        (gathered, read.into_inner())
    }
}

fn row(create_index: u64, version: u64) -> Job {
    let (namespace, r#type) = (NAMESPACE.to_owned(), "service".to_owned());
    Job { namespace, id: "job".into(), r#type, create_index, version, ..Job::default() }
}

fn spec(count: i64) -> JobSpec {
    JobSpec { id: "job".into(), task_groups: vec![group("g", count, 1, 1)], ..JobSpec::default() }
}

fn stored<'a>() -> Subject<'a> {
    Subject::Stored(NAMESPACE, "job")
}

#[test]
fn a_stored_job_comes_with_the_older_versions_of_it_that_run_each_read_once() {
    let mut tables = Tables::with_job();
    for (number, created, version) in
        [(1, CREATED, 3), (2, CREATED, 1), (3, CREATED, 1), (4, CREATED, 2), (5, CREATED_BEFORE, 0)]
    {
        tables.put_alloc(number, created, version);
    }
    let (gathered, read) = tables.gather(stored());
    let mut gathered = gathered.unwrap();
    assert_eq!(read, [(CREATED, 3), (CREATED, 1), (CREATED, 2)]);
    let eval = Evaluation::default();
    let input = gathered.input(&eval, 7);
    assert_eq!((42, 7, false), (input.snapshot_index, input.now_ns, input.dry_run));
    assert_eq!(5, input.allocs.len(), "those of the earlier job are told as well");
    assert_eq!(Some(3), input.job_row.map(|row| row.version));
    assert_eq!(Some(4), input.job.map(ScheduledJob::allocs_wanted));
    let versions: Vec<_> =
        input.versions.iter().map(|(version, job)| (*version, job.allocs_wanted())).collect();
    assert_eq!(versions, [(1, 2), (2, 3)]);
}

#[test]
fn a_purged_job_has_its_allocations_and_no_version() {
    let mut tables = Tables::with_job();
    tables.put_alloc(1, CREATED, 3);
    tables.0.commit([Write { table: Table::Jobs, key: key::job(NAMESPACE, "job"), value: None }]);
    let (gathered, read) = tables.gather(stored());
    let gathered = gathered.unwrap();
    assert!(gathered.job_row.is_none() && gathered.job.is_none() && gathered.versions.is_empty());
    assert_eq!((1, 0), (gathered.allocs.len(), read.len()));
}

#[test]
fn a_submitted_job_is_a_dry_run_over_what_is_stored_under_its_name() {
    let mut tables = Tables::with_job();
    tables.put_alloc(1, CREATED, 3);
    let submitted = row(CREATED, 4);
    let job = Arc::new(ScheduledJob::from_spec(&submitted, &spec(9)));
    let (gathered, read) = tables.gather(Subject::Submitted(&submitted, job));
    let mut gathered = gathered.unwrap();
    assert_eq!(read, [(CREATED, 3)], "the submitted version is given, not read");
    let eval = Evaluation::default();
    let input = gathered.input(&eval, 7);
    assert_eq!((true, 1), (input.dry_run, input.allocs.len()));
    assert_eq!(
        (Some(4), Some(9)),
        (input.job_row.map(|row| row.version), input.job.map(|job| job.allocs_wanted()))
    );
    assert_eq!(vec![&3], input.versions.keys().collect::<Vec<_>>());
}

#[test]
fn only_the_job_itself_must_be_decodable() {
    let garbage = vec![0xff; 7];
    let mut tables = Tables::with_job();
    tables.put_alloc(1, CREATED, 1);
    tables.put_alloc(2, CREATED, 2);
    let deployment = key::deployment_by_job(NAMESPACE, "job", 30, &id(9));
    tables.write(Table::DeploymentsByJob, deployment, Vec::new());
    for (table, at) in [
        (Table::JobSpecs, key::job_spec(NAMESPACE, "job", CREATED, 1)),
        (Table::Allocs, id(2)),
        (Table::Deployments, id(9)),
    ] {
        tables.write(table, at, garbage.clone());
    }
    let gathered = tables.gather(stored()).0.unwrap();
    assert_eq!(Some(3), gathered.job_row.map(|row| row.version));
    assert_eq!((1, 0), (gathered.allocs.len(), gathered.versions.len()));
    assert!(gathered.deployment.is_none());
    for (table, at) in [
        (Table::JobSpecs, key::job_spec(NAMESPACE, "job", CREATED, 3)),
        (Table::Jobs, key::job(NAMESPACE, "job")),
    ] {
        tables.write(table, at, garbage.clone());
        assert!(tables.gather(stored()).0.is_err_and(|corrupt| corrupt.is_row()), "{table:?}");
    }
}
