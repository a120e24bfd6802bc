//! The API's documents of a job, decoded by the types that clients use.

use std::collections::BTreeMap;

use ordu_proto::api::job::{Job, JobListStub};
use ordu_proto::state;
use serde_json::{Value, json};

use super::{edited, register, small_job};
use crate::job::{group_counts, job_document, job_row, job_stub, spec_json, summary_document};

fn row_of(job: &Value) -> (state::Job, Vec<u8>) {
    let request = register(job);
    let mut row = job_row(&request.job, request.stop);
    row.status = "running".to_owned();
    row.status_description = "said \"so\"\n".to_owned();
    row.parent_id = "parent/1".to_owned();
    row.version = 3;
    row.stable = true;
    row.submit_time_ns = 1_600_000_000_123_456_789;
    (row.create_index, row.modify_index, row.job_modify_index) = (5, 9, 7);
    (row, spec_json(&request.job))
}

fn summary() -> state::JobSummary {
    let group =
        state::TaskGroupSummary { queued: 1, complete: 2, failed: 3, running: 4, starting: 5, lost: 6 };
    state::JobSummary {
        namespace: "default".to_owned(),
        job_id: "small".to_owned(),
        groups: BTreeMap::from([("g".to_owned(), group)]),
        children_pending: 7,
        children_running: 8,
        children_dead: 9,
        create_index: 5,
        modify_index: 11,
        ..state::JobSummary::default()
    }
}

fn stored(spec_json: &[u8]) -> state::JobSpec {
    state::JobSpec { json: spec_json.to_vec(), payload: Vec::new() }
}

#[test]
fn what_a_dispatch_handed_in_is_told_in_base64() {
    let (row, spec) = row_of(&small_job("batch"));
    for (payload, told) in
        [(&b""[..], Value::Null), (b"hello", json!("aGVsbG8=")), (b"\xff\x00", json!("/wA="))]
    {
        let mut document = Vec::new();
        job_document(&row, &state::JobSpec { payload: payload.to_vec(), ..stored(&spec) }, &mut document);
        assert_eq!(told, serde_json::from_slice::<Value>(&document).unwrap()["Payload"]);
    }
}

#[test]
fn the_spliced_job_is_the_parsed_job_written_again() {
    let (row, spec) = row_of(&edited(small_job("service"), &[("/Stop", json!(true))]));
    let mut document = Vec::new();
    job_document(&row, &stored(&spec), &mut document);

    let job: Job = serde_json::from_slice(&document).unwrap();
    let expected = Job {
        spec: crate::job::parse_spec(&spec).unwrap(),
        stop: true,
        parent_id: row.parent_id,
        status: row.status,
        status_description: row.status_description,
        stable: true,
        version: 3,
        submit_time: 1_600_000_000_123_456_789,
        create_index: 5,
        modify_index: 9,
        job_modify_index: 7,
        ..Job::default()
    };
    assert_eq!(job, expected);
    let spliced: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(spliced, serde_json::to_value(&job).unwrap());
}

#[test]
fn the_job_has_the_members_of_the_wire() {
    let (row, spec) = row_of(&small_job("service"));
    let mut document = b"before".to_vec();
    job_document(&row, &stored(&spec), &mut document);
    let document: Value = serde_json::from_slice(document.strip_prefix(b"before").unwrap()).unwrap();
    let names: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    let wire = [
        "Affinities",
        "AllAtOnce",
        "Constraints",
        "ConsulToken",
        "CreateIndex",
        "Datacenters",
        "Dispatched",
        "ID",
        "JobModifyIndex",
        "Meta",
        "ModifyIndex",
        "Multiregion",
        "Name",
        "Namespace",
        "NomadTokenID",
        "ParameterizedJob",
        "ParentID",
        "Payload",
        "Periodic",
        "Priority",
        "Region",
        "Spreads",
        "Stable",
        "Status",
        "StatusDescription",
        "Stop",
        "SubmitTime",
        "TaskGroups",
        "Type",
        "Update",
        "VaultNamespace",
        "VaultToken",
        "Version",
    ];
    assert_eq!(names, wire);
}

#[test]
fn a_row_without_a_specification_is_still_a_document() {
    let (row, _) = row_of(&small_job("service"));
    for spec in [&b"{}"[..], b""] {
        let mut document = Vec::new();
        job_document(&row, &stored(spec), &mut document);
        let job: Job = serde_json::from_slice(&document).unwrap();
        assert_eq!((job.version, job.spec.id.as_str()), (3, ""));
    }
}

#[test]
fn a_list_entry_has_the_members_that_it_names() {
    let (row, _) = row_of(&small_job("batch"));
    let entry = serde_json::to_value(crate::job::JobStub::of(&row, &summary())).unwrap();
    let mut named: Vec<&str> = crate::job::JobStub::MEMBERS.to_vec();
    named.sort_unstable();
    assert_eq!(named, entry.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_list_entry_tells_the_row_and_its_counts() {
    let (row, _) = row_of(&small_job("batch"));
    let mut entry = Vec::new();
    job_stub(&row, &summary(), &mut entry);
    let entry: Value = serde_json::from_slice(&entry).unwrap();
    let counts = json!({
        "JobID": "small", "Namespace": "default", "CreateIndex": 5, "ModifyIndex": 11,
        "Summary": {"g": {"Queued": 1, "Complete": 2, "Failed": 3, "Running": 4, "Starting": 5, "Lost": 6}},
        "Children": {"Pending": 7, "Running": 8, "Dead": 9},
    });
    let expected = json!({
        "ID": "small", "ParentID": "parent/1", "Name": "small", "Datacenters": ["dc1"], "Multiregion": null,
        "Type": "batch", "Priority": 50, "Periodic": false, "ParameterizedJob": false, "Stop": false,
        "Status": "running", "StatusDescription": "said \"so\"\n", "JobSummary": counts, "CreateIndex": 5,
        "ModifyIndex": 9, "JobModifyIndex": 7, "SubmitTime": 1_600_000_000_123_456_789_i64,
    });
    assert_eq!(entry, expected);

    let mut document = Vec::new();
    summary_document(&summary(), &mut document);
    assert_eq!(serde_json::from_slice::<Value>(&document).unwrap(), counts);

    let stub: JobListStub = serde_json::from_value(entry.clone()).unwrap();
    let mut written = serde_json::to_value(&stub).unwrap();
    written["Multiregion"] = Value::Null;
    assert_eq!(written, entry, "clients read every member");
}

#[test]
fn the_row_says_what_the_specification_does() {
    let job = edited(
        small_job("batch"),
        &[
            ("/Priority", json!(70)),
            ("/Namespace", json!("team")),
            ("/Region", json!("north")),
            ("/Periodic", json!({"Spec": "@daily"})),
            ("/ParameterizedJob", json!({})),
        ],
    );
    let request = register(&job);
    let expected = state::Job {
        namespace: "team".to_owned(),
        id: "small".to_owned(),
        name: "small".to_owned(),
        region: "north".to_owned(),
        r#type: "batch".to_owned(),
        priority: 70,
        datacenters: vec!["dc1".to_owned()],
        periodic: true,
        parameterized: true,
        stop: true,
        ..state::Job::default()
    };
    assert_eq!(job_row(&request.job, true), expected);
    let counts: Vec<_> =
        group_counts(&request.job).into_iter().map(|group| (group.name, group.count)).collect();
    assert_eq!(counts, [("g".to_owned(), 1)]);
}
