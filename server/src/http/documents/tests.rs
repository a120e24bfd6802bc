//! Compares documents with the formats that clients know.

use serde_json::{Value, json};

use ordu_proto::state;
use ordu_proto::state::{ClientStatus, DesiredStatus, EvalStatus, NodeStatus};

use super::alloc::{self, AllocStub, StubMembers};
use super::eval::EvalDocument;
use super::job::{Deregistered, Registered, VersionsTail};
use super::node::{NodeDocument, NodeStub};
use crate::http::answer::Freshness;
use crate::http::ids;

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(json)))
}

fn network() -> state::NetworkResource {
    let port = |label: &str, value| state::Port {
        label: label.to_owned(),
        value,
        to: 0,
        host_network: "default".to_owned(),
    };
    state::NetworkResource {
        ip: "127.0.0.1".to_owned(),
        device: "lo".to_owned(),
        mbits: 1,
        dynamic_ports: vec![port("http", 20_500)],
        ..state::NetworkResource::default()
    }
}

fn allocation() -> state::Allocation {
    let event = state::TaskEvent {
        r#type: "Terminated".to_owned(),
        time_ns: 5,
        display_message: "Exit Code: 3".to_owned(),
        details: [("exit_code".to_owned(), "3".to_owned()), ("fails_task".to_owned(), "true".to_owned())]
            .into(),
    };
    let task = state::TaskState {
        state: "dead".to_owned(),
        failed: true,
        restarts: 1,
        started_at_ns: 1_767_225_600_000_000_000,
        events: vec![event],
        ..state::TaskState::default()
    };
    let given = state::AllocatedTaskResources { cpu_mhz: 20, memory_mb: 10, networks: vec![network()] };
    state::Allocation {
        id: vec![1; 16],
        namespace: "default".to_owned(),
        job_id: "around".to_owned(),
        job_version: 2,
        job_type: "service".to_owned(),
        task_group: "g".to_owned(),
        name_index: 4,
        eval_id: vec![2; 16],
        node_id: vec![3; 16],
        node_name: "host".to_owned(),
        desired_status: DesiredStatus::Run.into(),
        client_status: ClientStatus::Running.into(),
        client_description: "Tasks are running".to_owned(),
        task_states: [("t".to_owned(), task)].into(),
        resources: Some(state::AllocatedResources {
            tasks: [("t".to_owned(), given)].into(),
            disk_mb: 300,
            ..state::AllocatedResources::default()
        }),
        metrics: Some(state::AllocMetric { nodes_evaluated: 1, ..state::AllocMetric::default() }),
        create_index: 7,
        modify_index: 9,
        alloc_modify_index: 8,
        create_time_ns: 10,
        modify_time_ns: 11,
        ..state::Allocation::default()
    }
}

#[test]
fn the_entry_of_an_allocation_has_all_its_members_whatever_they_say() {
    let mut out = Vec::new();
    super::append(
        &AllocStub::of(&allocation(), StubMembers { task_states: false, resources: false }),
        &mut out,
    );
    let expected = json!({
        "ClientDescription": "Tasks are running", "ClientStatus": "running", "CreateIndex": 7, "CreateTime": 10,
        "DesiredDescription": "", "DesiredStatus": "run", "DeploymentStatus": null,
        "DesiredTransition": {"ForceReschedule": null, "Migrate": null, "Reschedule": null},
        "EvalID": ids::text(&[2; 16]), "FollowupEvalID": "", "ID": ids::text(&[1; 16]), "JobID": "around",
        "JobType": "service", "JobVersion": 2, "ModifyIndex": 9, "ModifyTime": 11, "Name": "around.g[4]",
        "Namespace": "default", "NodeID": ids::text(&[3; 16]), "NodeName": "host", "PreemptedAllocations": null,
        "PreemptedByAllocation": "", "RescheduleTracker": null, "TaskGroup": "g", "TaskStates": null,
    });
    assert_eq!(expected, value(&out));
    let mut with_all = Vec::new();
    super::append(
        &AllocStub::of(&allocation(), StubMembers { task_states: true, resources: true }),
        &mut with_all,
    );
    let with_all = value(&with_all);
    assert_eq!(300, with_all["AllocatedResources"]["Shared"]["DiskMB"]);
    assert_eq!("dead", with_all["TaskStates"]["t"]["State"]);
}

#[test]
fn a_whole_allocation_tells_its_resources_in_all_forms_and_leaves_out_what_it_has_not() {
    let mut out = Vec::new();
    alloc::write(&allocation(), br#"{"ID":"around"}"#, &mut out);
    let document = value(&out);
    let ports = json!([{"HostNetwork": "default", "Label": "http", "To": 0, "Value": 20_500}]);
    let networks = json!([{
        "CIDR": "", "DNS": null, "Device": "lo", "DynamicPorts": ports, "IP": "127.0.0.1", "MBits": 1,
        "Mode": "", "ReservedPorts": null,
    }]);
    let flat = |cpu: i64, memory: i64, disk: i64, networks: &Value| json!({"CPU": cpu, "Devices": null, "DiskMB": disk, "IOPS": 0, "MemoryMB": memory, "Networks": networks});
    for (member, expected) in [
        ("Job", json!({"ID": "around"})),
        ("Name", json!("around.g[4]")),
        (
            "AllocatedResources",
            json!({
                "Shared": {"DiskMB": 300, "Networks": null,
                    "Ports": [{"HostIP": "127.0.0.1", "Label": "http", "To": 0, "Value": 20_500}]},
                "TaskLifecycles": {"t": null},
                "Tasks": {"t": {"Cpu": {"CpuShares": 20}, "Devices": null, "Memory": {"MemoryMB": 10},
                    "Networks": networks}},
            }),
        ),
        ("Resources", flat(20, 10, 300, &networks)),
        ("SharedResources", flat(0, 0, 300, &Value::Null)),
        ("TaskResources", json!({"t": flat(20, 10, 0, &networks)})),
        ("NetworkStatus", json!({"Address": "", "DNS": null, "InterfaceName": ""})),
        ("AllocModifyIndex", json!(8)),
    ] {
        assert_eq!(expected, document[member], "{member}");
    }
    let metric = document["Metrics"].as_object().unwrap();
    assert_eq!(Some(&json!(1)), metric.get("NodesEvaluated"));
    for member in ["QuotaExhausted", "ScoreMetaData", "Scores", "ClassFiltered", "DimensionExhausted"] {
        assert_eq!(Some(&Value::Null), metric.get(member), "{member}");
    }
    for absent in
        ["DesiredDescription", "PreviousAllocation", "NextAllocation", "DeploymentID", "FollowupEvalID"]
    {
        assert_eq!(None, document.get(absent), "{absent}");
    }
    let event = &document["TaskStates"]["t"]["Events"][0];
    assert_eq!(
        (&json!("Terminated"), &json!(3), &json!(true)),
        (&event["Type"], &event["ExitCode"], &event["FailsTask"])
    );
    assert_eq!("0001-01-01T00:00:00Z", document["TaskStates"]["t"]["FinishedAt"]);
    assert_eq!("2026-01-01T00:00:00Z", document["TaskStates"]["t"]["StartedAt"]);
}

#[test]
fn an_allocation_whose_job_is_forgotten_is_a_document_too() {
    let mut out = Vec::new();
    alloc::write(&state::Allocation { id: vec![1; 16], ..state::Allocation::default() }, b"", &mut out);
    let expected = json!({
        "ID": ids::text(&[1; 16]), "Name": ".[0]", "DesiredStatus": "run", "ClientStatus": "pending",
    });
    assert_eq!(expected, value(&out));
}

fn evaluation() -> state::Evaluation {
    state::Evaluation {
        id: vec![1; 16],
        namespace: "default".to_owned(),
        job_id: "basic".to_owned(),
        priority: 50,
        r#type: "service".to_owned(),
        triggered_by: "job-register".to_owned(),
        status: EvalStatus::Complete.into(),
        queued_allocations: [("web".to_owned(), 0)].into(),
        job_modify_index: 3,
        snapshot_index: 4,
        create_index: 3,
        modify_index: 5,
        create_time_ns: 6,
        modify_time_ns: 7,
        ..state::Evaluation::default()
    }
}

#[test]
fn an_evaluation_leaves_out_what_it_has_not() {
    let mut out = Vec::new();
    super::append(&EvalDocument::of(&evaluation()), &mut out);
    let expected = json!({
        "CreateIndex": 3, "CreateTime": 6, "ID": ids::text(&[1; 16]), "JobID": "basic", "JobModifyIndex": 3,
        "ModifyIndex": 5, "ModifyTime": 7, "Namespace": "default", "Priority": 50, "QueuedAllocations": {"web": 0},
        "SnapshotIndex": 4, "Status": "complete", "TriggeredBy": "job-register", "Type": "service",
    });
    assert_eq!(expected, value(&out));
}

#[test]
fn an_evaluation_that_found_no_room_says_why() {
    let metric = state::AllocMetric {
        nodes_evaluated: 1,
        nodes_exhausted: 1,
        nodes_available: [("dc1".to_owned(), 1)].into(),
        dimension_exhausted: [("cpu".to_owned(), 1)].into(),
        ..state::AllocMetric::default()
    };
    let eval = state::Evaluation {
        blocked_eval: vec![9; 16],
        failed_groups: [("g".to_owned(), metric)].into(),
        class_eligibility: [("v1:1".to_owned(), true)].into(),
        wait_until_ns: 1_767_225_600_000_000_000,
        ..evaluation()
    };
    let mut out = Vec::new();
    super::append(&EvalDocument::of(&eval), &mut out);
    let document = value(&out);
    assert_eq!(ids::text(&[9; 16]), document["BlockedEval"]);
    assert_eq!("2026-01-01T00:00:00Z", document["WaitUntil"]);
    assert_eq!(json!({"v1:1": true}), document["ClassEligibility"]);
    let failed = &document["FailedTGAllocs"]["g"];
    for (member, expected) in [
        ("ClassExhausted", Value::Null),
        ("CoalescedFailures", json!(0)),
        ("DimensionExhausted", json!({"cpu": 1})),
        ("NodesAvailable", json!({"dc1": 1})),
        ("NodesEvaluated", json!(1)),
        ("NodesFiltered", json!(0)),
        ("QuotaExhausted", Value::Null),
    ] {
        assert_eq!(expected, failed[member], "{member}");
    }
}

fn node() -> state::Node {
    state::Node {
        id: vec![3; 16],
        secret_hash: vec![77; 32],
        name: "host".to_owned(),
        datacenter: "dc1".to_owned(),
        http_addr: "10.0.0.1:4646".to_owned(),
        attributes: [("nomad.version".to_owned(), "0.1.0".to_owned())].into(),
        resources: Some(state::NodeResources {
            cpu_mhz: 4_000,
            memory_mb: 8_000,
            disk_mb: 500,
            networks: Vec::new(),
        }),
        drivers: [(
            "raw_exec".to_owned(),
            state::DriverInfo { detected: true, healthy: true, ..Default::default() },
        )]
        .into(),
        status: NodeStatus::Ready.into(),
        events: vec![state::NodeEvent {
            message: "Node registered".to_owned(),
            subsystem: "Cluster".to_owned(),
            ..state::NodeEvent::default()
        }],
        status_updated_at_ns: 7_999_999_999,
        create_index: 5,
        modify_index: 6,
        ..state::Node::default()
    }
}

#[test]
fn the_entry_of_a_node_has_its_address_and_version() {
    let mut out = Vec::new();
    super::append(&NodeStub::of(&node(), false), &mut out);
    let document = value(&out);
    for (member, expected) in [
        ("Address", json!("10.0.0.1")),
        ("CreateIndex", json!(5)),
        ("Drain", json!(false)),
        ("HostVolumes", Value::Null),
        ("NodeClass", json!("")),
        ("SchedulingEligibility", json!("eligible")),
        ("Status", json!("ready")),
        ("StatusDescription", json!("")),
        ("Version", json!("0.1.0")),
    ] {
        assert_eq!(Some(&expected), document.get(member), "{member}");
    }
    assert_eq!(None, document.get("NodeResources"));
    let mut with_resources = Vec::new();
    super::append(&NodeStub::of(&node(), true), &mut with_resources);
    assert_eq!(4_000, value(&with_resources)["NodeResources"]["Cpu"]["CpuShares"]);
}

#[test]
fn a_node_is_told_whole_but_for_its_secret() {
    let document = serde_json::to_value(NodeDocument::of(&node())).unwrap();
    for (member, expected) in [
        ("CSIControllerPlugins", Value::Null),
        ("CSINodePlugins", Value::Null),
        ("DrainStrategy", Value::Null),
        ("HostVolumes", Value::Null),
        ("SecretID", json!("")),
        ("StatusUpdatedAt", json!(7)),
        ("TLSEnabled", json!(false)),
        ("Meta", Value::Null),
    ] {
        assert_eq!(Some(&expected), document.get(member), "{member}");
    }
    assert_eq!((&json!(8_000), &json!(4_000)), {
        (&document["NodeResources"]["Memory"]["MemoryMB"], &document["Resources"]["CPU"])
    });
    assert_eq!("Node registered", document["Events"][0]["Message"]);
    assert_eq!(true, document["Drivers"]["raw_exec"]["Healthy"]);
    assert!(!document.to_string().contains("77,77"));
}

#[test]
fn answers_to_writes_have_the_members_that_clients_read() {
    let registered = ordu_proto::command::JobRegistered {
        index: 5,
        eval_id: vec![1; 16],
        eval_create_index: 5,
        job_modify_index: 4,
    };
    let expected = json!({
        "EvalCreateIndex": 5, "EvalID": ids::text(&[1; 16]), "Index": 5, "JobModifyIndex": 4, "KnownLeader": false,
        "LastContact": 0, "Warnings": "w",
    });
    assert_eq!(expected, serde_json::to_value(Registered::of(&registered, "w")).unwrap());
    let stopped = ordu_proto::command::JobDeregistered { index: 6, ..Default::default() };
    let expected = json!({
        "EvalCreateIndex": 0, "EvalID": "", "Index": 6, "JobModifyIndex": 0, "KnownLeader": false,
        "LastContact": 0, "VolumeEvalID": "", "VolumeEvalIndex": 0,
    });
    assert_eq!(expected, serde_json::to_value(Deregistered::of(&stopped)).unwrap());
}

#[test]
fn the_answer_about_versions_holds_how_current_it_is() {
    let tail = VersionsTail::of(None, 9, Freshness { known_leader: true, last_contact_ms: 0 });
    let expected =
        json!({"Diffs": null, "Index": 9, "KnownLeader": true, "LastContact": 0, "Versions": [{}]});
    assert_eq!(expected, value(&tail.after(b"[{}]".to_vec())));
}
