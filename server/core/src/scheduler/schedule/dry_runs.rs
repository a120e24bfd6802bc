//! Results of a dry run: counts for each group, the reasons for missing capacity, and the
//! evaluation that would wait for it.

use std::sync::Arc;

use ordu_proto::state::{AllocMetric, Allocation, ClientStatus, Deployment, EvalStatus, Evaluation, Job};
use serde_json::{Value, json};

use super::*;
use crate::job::{canonicalise, decode_register, job_row, spec_json};
use crate::scheduler::ScheduledJob;
use crate::scheduler::testing::{id, node};

/// A cluster with one node, on which one job may be registered and running.
struct Cluster {
    view: ClusterView,
    registered: Option<Registered>,
    allocs: Vec<Allocation>,
    deployment: Option<Deployment>,
}

struct Registered {
    row: Job,
    spec_json: Vec<u8>,
    job: Arc<ScheduledJob>,
}

impl Cluster {
    fn new() -> Cluster {
        let mut view = ClusterView::new();
        view.node_upserted(&node(1));
        Cluster { view, registered: None, allocs: Vec::new(), deployment: None }
    }

    /// Registers the job and places all of its allocations.
    fn register(&mut self, job: &Value) {
        let (row, spec_json, job) = self.hypothetical(job);
        let decision = self.decide(&row, &job, false);
        self.allocs.extend(decision.plan.place);
        for alloc in &mut self.allocs {
            alloc.set_client_status(ClientStatus::Running);
            self.view.alloc_changed(None, Some(alloc));
        }
        self.deployment = decision.plan.deployment;
        self.registered = Some(Registered { row, spec_json, job });
    }

    /// Returns the row, specification and version that a registration would create.
    fn hypothetical(&self, job: &Value) -> (Job, Vec<u8>, Arc<ScheduledJob>) {
        let body = json!({ "Job": job }).to_string();
        let mut request = decode_register(body.as_bytes()).unwrap();
        canonicalise(&mut request.job);
        let (mut row, json) = (job_row(&request.job, request.stop), spec_json(&request.job));
        (row.create_index, row.job_modify_index) = (10, 10);
        if let Some(registered) = &self.registered {
            if registered.spec_json == json && registered.row.stop == row.stop {
                return (registered.row.clone(), json, Arc::clone(&registered.job));
            }
            (row.version, row.job_modify_index) = (registered.row.version + 1, 11);
        }
        let job = Arc::new(ScheduledJob::from_spec(&row, &request.job));
        (row, json, job)
    }

    fn decide(&self, row: &Job, job: &ScheduledJob, dry_run: bool) -> Decision {
        let mut eval = Evaluation {
            id: id(77),
            namespace: row.namespace.clone(),
            job_id: row.id.clone(),
            r#type: row.r#type.clone(),
            priority: row.priority,
            job_modify_index: row.job_modify_index,
            triggered_by: "job-register".into(),
            ..Default::default()
        };
        eval.set_status(EvalStatus::Pending);
        let mut drawn = 1000;
        let versions = self.registered.iter().map(|it| (it.row.version, Arc::clone(&it.job)));
        let input = ScheduleInput {
            eval: &eval,
            job_row: Some(row),
            job: Some(job),
            versions: &versions.collect(),
            allocs: &self.allocs,
            deployment: self.deployment.as_ref(),
            view: &mut self.view.snapshot(),
            snapshot_index: 20,
            now_ns: 1_000_000,
            dry_run,
        };
        schedule(input, &mut || {
            drawn += 1;
            id(drawn).try_into().unwrap()
        })
    }

    fn plan(&self, job: &Value) -> Decision {
        let (row, _, job) = self.hypothetical(job);
        self.decide(&row, &job, true)
    }
}

/// Returns a service with two allocations, of which one is replaced at a time.
fn base() -> Value {
    json!({
        "ID": "plan", "Type": "service", "Datacenters": ["dc1"], "Meta": {"a": "1"},
        "Update": {"MaxParallel": 1, "ProgressDeadline": 120_000_000_000_i64, "HealthCheck": "task_states"},
        "TaskGroups": [{
            "Name": "web", "Count": 2, "EphemeralDisk": {"SizeMB": 150},
            "Tasks": [{
                "Name": "sleep", "Driver": "raw_exec", "Config": {"command": "/bin/sleep", "args": ["600"]},
                "Env": {"K": "v"}, "Resources": {"CPU": 20, "MemoryMB": 10},
            }],
        }],
    })
}

const GROUP: &str = "/TaskGroups/0";
const TASK: &str = "/TaskGroups/0/Tasks/0";

/// Returns the base job with a member of the object at `pointer` replaced or added.
fn with(pointer: &str, name: &str, value: Value) -> Value {
    let mut job = base();
    job.pointer_mut(pointer).unwrap()[name] = value;
    job
}

fn running() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.register(&base());
    cluster
}

/// Returns the counts that are not zero.
fn counts(decision: &Decision) -> Value {
    let mut groups = serde_json::to_value(&decision.desired_updates).unwrap();
    for group in groups.as_object_mut().unwrap().values_mut() {
        assert_eq!(8, group.as_object().unwrap().len());
        group.as_object_mut().unwrap().retain(|_, count| *count != json!(0));
    }
    groups
}

#[test]
fn each_change_is_counted_group_by_group() {
    let two_groups = {
        let mut job = base();
        let other = json!({
            "Name": "g2", "Tasks": [{"Name": "t", "Driver": "raw_exec", "Resources": {"CPU": 20, "MemoryMB": 10}}],
        });
        job["TaskGroups"].as_array_mut().unwrap().push(other);
        job
    };
    let second_task = {
        let mut job = base();
        job["TaskGroups"][0]["Tasks"]
            .as_array_mut()
            .unwrap()
            .push(json!({"Name": "t2", "Driver": "raw_exec"}));
        job
    };
    let constraint = json!([{"LTarget": "${attr.kernel.name}", "RTarget": "linux", "Operand": "="}]);
    let restart =
        json!({"Attempts": 1, "Interval": 60_000_000_000_i64, "Delay": 1_000_000_000, "Mode": "fail"});
    let ports = json!({"CPU": 20, "MemoryMB": 10, "Networks": [{"DynamicPorts": [{"Label": "http"}]}]});
    let one_replaced = json!({"web": {"DestructiveUpdate": 1, "Ignore": 1}});
    let in_place = json!({"web": {"InPlaceUpdate": 2}});
    let cases = [
        ("unchanged", base(), json!({"web": {"Ignore": 2}})),
        ("count up", with(GROUP, "Count", json!(5)), json!({"web": {"InPlaceUpdate": 2, "Place": 3}})),
        ("count down", with(GROUP, "Count", json!(1)), json!({"web": {"InPlaceUpdate": 1, "Stop": 1}})),
        ("count zero", with(GROUP, "Count", json!(0)), json!({"web": {"Stop": 2}})),
        ("environment", with(TASK, "Env", json!({"K": "w"})), one_replaced.clone()),
        ("command", with(TASK, "Config", json!({"command": "/bin/true"})), one_replaced.clone()),
        ("resources", with(TASK, "Resources", json!({"CPU": 30, "MemoryMB": 10})), one_replaced.clone()),
        ("job meta", with("", "Meta", json!({"a": "2"})), one_replaced.clone()),
        ("task added", second_task, one_replaced.clone()),
        ("task renamed", with(TASK, "Name", json!("other")), one_replaced.clone()),
        ("ports", with(TASK, "Resources", ports), one_replaced),
        ("priority", with("", "Priority", json!(60)), in_place.clone()),
        ("kill time-out", with(TASK, "KillTimeout", json!(7_000_000_000_i64)), in_place.clone()),
        ("update policy", with("/Update", "MaxParallel", json!(2)), in_place.clone()),
        ("restart policy", with(GROUP, "RestartPolicy", restart), in_place.clone()),
        ("constraint that is met", with("", "Constraints", constraint), in_place.clone()),
        ("datacenter added", with("", "Datacenters", json!(["dc1", "dc2"])), in_place.clone()),
        ("all datacenters", with("", "Datacenters", json!(["*"])), in_place.clone()),
        ("datacenters of a glob", with("", "Datacenters", json!(["eu-*", "d*1"])), in_place),
        ("group added", two_groups, json!({"g2": {"Place": 1}, "web": {"InPlaceUpdate": 2}})),
        (
            "group renamed",
            with(GROUP, "Name", json!("web2")),
            json!({"web": {"Stop": 2}, "web2": {"Place": 2}}),
        ),
        ("stopped", with("", "Stop", json!(true)), json!({"web": {"Stop": 2}})),
    ];
    let cluster = running();
    for (name, job, expected) in cases {
        let decision = cluster.plan(&job);
        assert_eq!(expected, counts(&decision), "{name}");
        assert!(decision.eval.failed_groups.is_empty() && decision.blocked.is_none(), "{name}");
    }
    assert_eq!(json!({"web": {"Place": 2}}), counts(&Cluster::new().plan(&base())));
}

#[test]
fn a_policy_of_more_at_a_time_replaces_more_and_none_replaces_all() {
    for (parallel, expected) in [
        (1, json!({"web": {"DestructiveUpdate": 1, "Ignore": 4}})),
        (3, json!({"web": {"DestructiveUpdate": 3, "Ignore": 2}})),
        (9, json!({"web": {"DestructiveUpdate": 5}})),
        (0, json!({"web": {"DestructiveUpdate": 5}})),
    ] {
        let of_five = |value: &str| {
            let mut job = with(GROUP, "Count", json!(5));
            job["Update"]["MaxParallel"] = json!(parallel);
            job["TaskGroups"][0]["Tasks"][0]["Env"] = json!({"K": value});
            job
        };
        let mut cluster = Cluster::new();
        cluster.register(&of_five("v"));
        assert_eq!(expected, counts(&cluster.plan(&of_five("w"))), "{parallel} at a time");
    }
}

#[test]
fn what_is_placed_counts_against_the_policy_first() {
    let mut job = with(GROUP, "Count", json!(3));
    job["Update"]["MaxParallel"] = json!(2);
    job["TaskGroups"][0]["Tasks"][0]["Env"] = json!({"K": "w"});
    let expected = json!({"web": {"Place": 1, "DestructiveUpdate": 1, "Ignore": 1}});
    assert_eq!(expected, counts(&running().plan(&job)));
}

#[test]
fn what_is_applied_replaces_all_at_once() {
    let cluster = running();
    let (row, _, job) = cluster.hypothetical(&with(TASK, "Env", json!({"K": "w"})));
    let decision = cluster.decide(&row, &job, false);
    assert_eq!(json!({"web": {"DestructiveUpdate": 2}}), counts(&decision));
    assert_eq!((2, 2), (decision.plan.stop.len(), decision.plan.place.len()));
}

#[test]
fn the_deployment_under_way_takes_from_what_may_be_replaced() {
    let mut cluster = running();
    // One allocation is of the running version, the other of an earlier one.
    cluster.allocs[1].job_version = 7;
    let expected =
        [(0, json!({"web": {"Ignore": 2}})), (1, json!({"web": {"Ignore": 1, "DestructiveUpdate": 1}}))];
    cluster.allocs[1].deployment_id.clear();
    for (healthy, expected) in expected {
        let deployment = cluster.deployment.as_mut().unwrap();
        deployment.groups.get_mut("web").unwrap().healthy_allocs = healthy;
        assert_eq!(expected, counts(&cluster.plan(&base())), "{healthy} healthy");
    }
}

/// Returns a group's failure metric as in the API, without empty members.
fn failure(decision: &Decision) -> Value {
    let AllocMetric {
        nodes_evaluated,
        nodes_filtered,
        nodes_available,
        class_filtered,
        constraint_filtered,
        nodes_exhausted,
        class_exhausted,
        dimension_exhausted,
        coalesced_failures,
        ..
    } = &decision.eval.failed_groups["web"];
    assert!(class_filtered.is_empty() && class_exhausted.is_empty(), "the node is of no class");
    assert_eq!((0, 1), (*coalesced_failures, decision.eval.failed_groups.len()));
    json!([
        nodes_evaluated,
        nodes_filtered,
        nodes_exhausted,
        nodes_available,
        constraint_filtered,
        dimension_exhausted
    ])
}

#[test]
fn why_there_is_no_room_is_told_with_the_evaluation_that_would_wait_for_it() {
    let nowhere = {
        let mut job = with(GROUP, "Count", json!(3));
        job["TaskGroups"][0]["Constraints"] =
            json!([{"LTarget": "${meta.nowhere}", "RTarget": "x", "Operand": "="}]);
        job
    };
    let one_replaced = json!({"web": {"DestructiveUpdate": 1, "Ignore": 1}});
    let ask = |cpu: i64, memory: i64| with(TASK, "Resources", json!({"CPU": cpu, "MemoryMB": memory}));
    let cases = [
        // The node's class was found infeasible when the existing allocations were checked.
        (
            nowhere,
            json!({"web": {"Place": 1, "Ignore": 2}}),
            json!([1, 1, 0, {"dc1": 1}, {"computed class ineligible": 1}, {}]),
            vec![false],
        ),
        (
            with("", "Datacenters", json!(["dc9"])),
            one_replaced.clone(),
            json!([0, 0, 0, {"dc9": 0}, {}, {}]),
            vec![],
        ),
        (
            with("", "Datacenters", json!(["dc9", "eu-*"])),
            one_replaced.clone(),
            json!([0, 0, 0, {"dc9": 0}, {}, {}]),
            vec![],
        ),
        (ask(9_000_000, 10), one_replaced.clone(), json!([1, 0, 1, {"dc1": 1}, {}, {"cpu": 1}]), vec![true]),
        (
            ask(20, 9_000_000),
            one_replaced.clone(),
            json!([1, 0, 1, {"dc1": 1}, {}, {"memory": 1}]),
            vec![true],
        ),
        (
            with(GROUP, "EphemeralDisk", json!({"SizeMB": 900_000_000})),
            one_replaced.clone(),
            json!([1, 0, 1, {"dc1": 1}, {}, {"disk": 1}]),
            vec![true],
        ),
        (
            with(TASK, "Driver", json!("no-such-driver")),
            one_replaced,
            json!([1, 1, 0, {"dc1": 1}, {"missing drivers": 1}, {}]),
            vec![false],
        ),
    ];
    let cluster = running();
    for (job, expected, failed, classes) in cases {
        let decision = cluster.plan(&job);
        assert_eq!((expected, failed), (counts(&decision), failure(&decision)), "{job}");
        let blocked = decision.blocked.unwrap();
        assert_eq!(classes, blocked.class_eligibility.values().copied().collect::<Vec<_>>());
        assert_eq!((&id(77), &id(77)), (&decision.eval.id, &blocked.previous_eval));
        assert_eq!(
            ("queued-allocs", "created to place remaining allocations", EvalStatus::Blocked),
            (blocked.triggered_by.as_str(), blocked.status_description.as_str(), blocked.status())
        );
        assert_eq!((11, 50), (blocked.job_modify_index, blocked.priority));
        assert_eq!((1_000_000, 1_000_000), (blocked.create_time_ns, blocked.modify_time_ns));
        assert!(blocked.deployment_id.is_empty() && blocked.queued_allocations.is_empty());
    }
}

#[test]
fn a_job_that_only_launches_children_is_counted_as_one_of_them() {
    for launches in
        [("Periodic", json!({"Spec": "0 0 1 1 *"})), ("ParameterizedJob", json!({"Payload": "optional"}))]
    {
        let mut job = with("", launches.0, launches.1);
        job["Type"] = json!("batch");
        job.as_object_mut().unwrap().remove("Update");
        let decision = Cluster::new().plan(&job);
        assert_eq!(json!({"web": {"Place": 2}}), counts(&decision));
        assert!(decision.plan.deployment.is_none() && decision.eval.deployment_id.is_empty());
    }
}

#[test]
fn a_job_that_is_stopped_before_it_ran_changes_nothing() {
    let decision = Cluster::new().plan(&with("", "Stop", json!(true)));
    assert_eq!(json!({"web": {}}), counts(&decision));
    assert!(decision.plan_is_empty());
}
