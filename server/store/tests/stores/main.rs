//! Crash tests of the stores: acknowledged data survives; a commit that was not acknowledged is there
//! completely or not at all.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod child;
mod formats;
mod log;
mod snapshots;
mod state_tables;
mod unreadable;

use ordu_core::command::{LogPosition, Machine, envelope};
use ordu_core::state::hash::state_hash;
use ordu_core::state::{Table, Tx, Write, key, read as state_read};
use ordu_proto::command::JobRegister;
use ordu_proto::raft as pb;
use ordu_proto::state::Job;
use ordu_store::tables::{self, TablesDb};
use prost::Message;

/// Applies registrations at the log indexes `indexes`, each in its own commit with its applied id, as raft's
/// state machine does.
fn register(db: &dyn TablesDb, indexes: impl IntoIterator<Item = u64>) {
    let mut machine = tables::read(db, Machine::load).unwrap();
    for index in indexes {
        let writes = tables::read(db, |reader| {
            let job = Job {
                namespace: "default".into(),
                id: format!("job-{index:06}"),
                r#type: "service".into(),
                ..Job::default()
            };
            let register = JobRegister {
                job: Some(job),
                spec_json: format!("{{\"index\":{index},\"filler\":\"{}\"}}", "x".repeat(200)).into(),
                eval_id: u128::from(index).to_be_bytes().to_vec(),
                ..JobRegister::default()
            };
            let time_ns = i64::try_from(index).unwrap();
            let bytes = envelope(None, 0, time_ns, register).encode_to_vec();
            let mut tx = Tx::new(reader, state_read::indexes(reader).unwrap());
            machine.apply(&mut tx, LogPosition { term: 1, index }, bytes.into()).unwrap();
            tx.finish().0
        });
        db.commit([writes, position(index)].concat()).unwrap();
    }
}

fn position(index: u64) -> Vec<Write> {
    let row = |key: &[u8], value| Write { table: Table::Meta, key: key.to_vec(), value: Some(value) };
    let membership = pb::StoredMembership { log_id: None, membership: Some(pb::Membership::default()) };
    vec![
        row(key::meta::APPLIED, pb::LogId { term: 1, index }.encode_to_vec()),
        row(key::meta::MEMBERSHIP, membership.encode_to_vec()),
    ]
}

fn hash(db: &dyn TablesDb) -> [u8; 32] {
    tables::read(db, |reader| state_hash(reader).unwrap())
}

fn applied(db: &dyn TablesDb) -> u64 {
    tables::read(db, |reader| {
        ordu_store::state_machine::position(reader).unwrap().last_log_id.map_or(0, |id| id.index)
    })
}

/// Returns the log indexes whose job, version, specification and evaluation all exist; panics if only some of
/// them do.
fn whole_registrations(db: &dyn TablesDb) -> Vec<u64> {
    tables::read(db, |reader| {
        let mut jobs = Vec::new();
        state_read::each(reader, Table::Jobs, &[], &mut |job: Job| {
            jobs.push(job);
            Ok(())
        })
        .unwrap();
        for job in &jobs {
            let index = job.create_index;
            assert!(
                state_read::job_version(reader, "default", &job.id, 0).unwrap().is_some(),
                "version {index}"
            );
            assert!(!state_read::spec_of(reader, job).unwrap().json.is_empty());
            assert!(
                state_read::eval(reader, &u128::from(index).to_be_bytes()).unwrap().is_some(),
                "eval {index}"
            );
            assert_eq!(1, state_read::evals_of_job(reader, "default", &job.id).unwrap().len());
            assert!(
                state_read::job_summary(reader, "default", &job.id).unwrap().is_some(),
                "summary {index}"
            );
        }
        let mut evals = 0;
        reader
            .scan(Table::Evals, &[], None, &mut |_, _| {
                evals += 1;
                Ok(true)
            })
            .unwrap();
        assert_eq!(jobs.len(), evals, "nothing but whole registrations");
        jobs.iter().map(|job| job.create_index).collect()
    })
}
