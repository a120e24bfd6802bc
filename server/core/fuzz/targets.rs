//! What is fuzzed: one entry for each way in which bytes of a user come in. The fuzzer and the stable test of
//! the corpus run the same entries.

use ordu_core::command::{Fatal, LogPosition, Machine, Outcome, read_envelope};
use ordu_core::filter::Filter;
use ordu_core::hcl::{self, Dialect};
use ordu_core::job;
use ordu_core::jobspec::{self, Variables};
use ordu_core::periodic::{Schedule, missed_launch};
use ordu_core::state::{MemoryTables, Tx, read};
use prost::bytes::Bytes;

/// Takes any bytes, and panics if something is wrong with us.
type Entry = fn(&[u8]);

/// Every target by its name, which is that of its folder in `corpus` and of its file in `fuzz_targets`.
pub(crate) const TARGETS: &[(&str, Entry)] =
    &[("apply", apply), ("cron", cron), ("filter", filter), ("hcl", hcl), ("job_json", job_json)];

/// Runs the target of this name.
pub(crate) fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, entry) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    entry(bytes);
}

/// Log entries, each behind its length, applied one after the other to tables that are empty at first.
fn apply(mut bytes: &[u8]) {
    let mut tables = MemoryTables::default();
    let mut machine = Machine::load(&tables).expect("empty tables can be read");
    for index in 1.. {
        let Ok(length) = prost::decode_length_delimiter(&mut bytes) else { return };
        let Some((entry, rest)) = bytes.split_at_checked(length) else { return };
        bytes = rest;
        let mut tx = Tx::new(&tables, read::indexes(&tables).expect("indexes that were written can be read"));
        let entry = Bytes::copy_from_slice(entry);
        match machine.apply(&mut tx, LogPosition { term: 1, index }, entry.clone()) {
            Ok(applied) => {
                let stored = Outcome::decode(applied.outcome.encode_to_vec());
                assert_eq!(stored.ok(), Some(applied.outcome), "an answer is read as it was given");
            }
            // What cannot be read is kept out of the log, and the rest must be applied.
            Err(Fatal::Undecodable { .. } | Fatal::TooNew { .. }) => {
                assert!(read_envelope(entry).is_err(), "what can be read is applied");
                return;
            }
            Err(Fatal::Corrupt(corrupt)) => panic!("what was applied cannot be read: {corrupt}"),
        }
        let (writes, _) = tx.finish();
        tables.commit(writes);
    }
    Machine::load(&tables).expect("what was applied can be loaded");
}

/// A schedule: a cron expression, and behind a line's end the name of a time zone.
fn cron(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (spec, zone) = text.split_once('\n').unwrap_or((text, "UTC"));
    let Ok(schedule) = Schedule::parse(spec, zone.trim_end()) else { return };
    if let Some(next) = schedule.next_after(0) {
        assert!(next > 0, "the next launch is later");
        assert_eq!(
            missed_launch(&schedule, i64::MIN, next),
            Some(next),
            "a launch is the latest when it is due"
        );
        assert_eq!(missed_launch(&schedule, next, next), None, "what is decided on is not missed");
    }
}

/// A filter of a list, asked of an entry.
fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(filter) = Filter::parse(text) else { return };
    let entry = serde_json::json!({
        "ID": "app/web", "Status": "running", "Priority": 50, "Stop": false, "Datacenters": ["dc1", "dc2"],
        "Meta": {"owner": "ops", "a b": null}, "TaskGroups": [{"Name": "g", "Count": 3}], "Affinities": null,
    });
    if let Err(error) = filter.matches(&entry) {
        assert!(!error.to_string().is_empty(), "a refusal has words");
    }
}

/// A document in any dialect of HCL, and the job that it may be.
fn hcl(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for dialect in [Dialect::Jobspec, Dialect::Configuration, Dialect::Json] {
        let _ = hcl::parse(text, dialect);
    }
    let _ = Variables::new().read(text);
    let _ = jobspec::parse_hcl1_document(text, true);
    for canonicalize in [false, true] {
        if let Ok(parsed) = jobspec::parse_document(text, &Variables::new(), canonicalize) {
            let document = parsed.to_string();
            let spec = job::decode_job(document.as_bytes());
            check(spec.unwrap_or_else(|error| panic!("a jobspec is a job: {error}: {document}")));
        }
    }
}

/// The body of a registration.
fn job_json(bytes: &[u8]) {
    if let Ok(request) = job::decode_register(bytes) {
        check(request.job);
    }
}

/// Goes the way of a registration.
fn check(mut spec: ordu_proto::api::job::JobSpec) {
    job::canonicalise(&mut spec);
    let mut twice = spec.clone();
    job::canonicalise(&mut twice);
    assert_eq!(spec, twice, "the canonical form is its own canonical form");
    let _ = job::validate(&spec);
    let stored = job::spec_json(&spec);
    assert!(job::parse_spec(&stored).is_ok(), "what is stored can be read");
}
