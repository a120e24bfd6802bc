//! Fuzz targets: one function for each way in which user-supplied bytes enter. The fuzzer and the corpus test on the
//! stable toolchain run the same functions.

use std::sync::Arc;

use ordu_core::command::{Fatal, LogPosition, Machine, Outcome, read_envelope};
use ordu_core::filter::Filter;
use ordu_core::hcl::{self, Dialect};
use ordu_core::job;
use ordu_core::jobspec::{self, Variables};
use ordu_core::periodic::{Schedule, missed_launch};
use ordu_core::scheduler::{ClusterView, Ending, JobVersions, ScheduleInput, ScheduledJob, schedule};
use ordu_core::state::{MemoryTables, Tx, read};
use ordu_proto::state::{DriverInfo, Evaluation, Job, Node, NodeResources, NodeStatus};
use prost::bytes::Bytes;

/// Accepts any bytes; panics only on a bug.
type Entry = fn(&[u8]);

/// All targets by name. A target's name is also that of its folder in `corpus` and of its file in `fuzz_targets`.
pub(crate) const TARGETS: &[(&str, Entry)] = &[
    ("apply", apply),
    ("constraints", constraints),
    ("cron", cron),
    ("filter", filter),
    ("hcl", hcl),
    ("job_json", job_json),
];

/// Runs the target named `name`.
pub(crate) fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, entry) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    entry(bytes);
}

/// Applies length-delimited log entries, one after the other, to tables that are empty at first.
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
            // Undecodable entries never enter the log; all other entries must be applied.
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

/// Places a job under a constraint, given in three lines: operand, left side and right side. The sides are literals at
/// first, and then properties of the node with the same values, which must give the same answer.
fn constraints(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(3, '\n');
    let [operand, left, right] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let literally = is_met(operand, left, right, left, right);
    // Distinct properties are never literals.
    let has_properties =
        left.starts_with("${") || right.starts_with("${") || operand.starts_with("distinct_");
    if !has_properties {
        let by_node = is_met(operand, "${meta.left}", "${meta.unique.right}", left, right);
        assert_eq!(literally, by_node, "literals and properties of the node");
    }
}

/// Whether a node with the properties `meta.left` and `meta.unique.right` meets a constraint, by the scheduler.
fn is_met(operand: &str, left: &str, right: &str, left_of_node: &str, right_of_node: &str) -> bool {
    let group = serde_json::json!({"Name": "g", "Tasks": [{"Name": "t", "Driver": "d"}]});
    let job = serde_json::json!({
        "ID": "j", "Type": "batch", "Datacenters": [left, "dc*"], "TaskGroups": [group],
        "Constraints": [{"LTarget": left, "Operand": operand, "RTarget": right}],
        "Affinities": [{"LTarget": left, "Operand": operand, "RTarget": right, "Weight": 50}],
    });
    let mut spec = job::decode_job(job.to_string().as_bytes()).expect("a job with any texts can be read");
    job::canonicalise(&mut spec);
    let _ = job::validate(&spec);
    let row = Job { id: "j".to_owned(), r#type: "batch".to_owned(), ..Job::default() };
    let scheduled = Arc::new(ScheduledJob::from_spec(&row, &spec));
    let mut node = Node {
        id: vec![1; 16],
        datacenter: "dc1".to_owned(),
        meta: [("left".to_owned(), left_of_node.to_owned())].into(),
        drivers: [("d".to_owned(), DriverInfo { detected: true, healthy: true, ..DriverInfo::default() })]
            .into(),
        resources: Some(NodeResources {
            cpu_mhz: 4000,
            memory_mb: 8000,
            disk_mb: 100_000,
            ..NodeResources::default()
        }),
        ..Node::default()
    };
    node.meta.insert("unique.right".to_owned(), right_of_node.to_owned());
    node.set_status(NodeStatus::Ready);
    let mut view = ClusterView::new();
    view.node_upserted(&node);
    let eval = Evaluation {
        id: vec![2; 16],
        job_id: "j".to_owned(),
        r#type: "batch".to_owned(),
        ..Evaluation::default()
    };
    let input = ScheduleInput {
        eval: &eval,
        job_row: Some(&row),
        job: Some(&scheduled),
        versions: &JobVersions::from([(0, Arc::clone(&scheduled))]),
        allocs: &[],
        deployment: None,
        view: &mut view.snapshot(),
        snapshot_index: 1,
        now_ns: 0,
        dry_run: true,
    };
    let mut drawn = 2;
    let decision = schedule(input, &mut || {
        drawn += 1;
        [drawn; 16]
    });
    assert_eq!(decision.ending, Ending::Complete, "{}", decision.eval.status_description);
    !decision.plan.place.is_empty()
}

/// Parses a schedule: a cron expression, optionally followed by a line break and a time zone name.
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

/// Parses a list filter and evaluates it on one row.
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

/// Parses a document in every dialect of HCL, and as a job.
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

/// Decodes the body of a registration.
fn job_json(bytes: &[u8]) {
    if let Ok(request) = job::decode_register(bytes) {
        check(request.job);
    }
}

/// Takes a job through the steps of a registration.
fn check(mut spec: ordu_proto::api::job::JobSpec) {
    job::canonicalise(&mut spec);
    let mut twice = spec.clone();
    job::canonicalise(&mut twice);
    assert_eq!(spec, twice, "the canonical form is its own canonical form");
    let _ = job::validate(&spec);
    let stored = job::spec_json(&spec);
    assert!(job::parse_spec(&stored).is_ok(), "what is stored can be read");
}
