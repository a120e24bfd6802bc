//! The bytes that releases have written to the log and into the tables.
//!
//! A failure means that servers would misread what another release wrote. Never change the bytes of a release: make
//! the change with new fields or a new command, and add a line (a new file for a new release) for the new bytes.

mod deployments;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use ordu_proto::command::{
    AutopilotWasSet, ClusterInit, Continued, FeatureLevelRaise, JobDispatched, JobEvaluate, JobRegistered,
    JobRevert, JobStability, PeriodicLaunched, PlanUpdate, Refusal, SummariesReconcile, TimeReset,
    TimeWasReset,
};
use ordu_proto::raft::{self, entry::Payload};
use ordu_proto::state::{
    AllocMetric, AnsweredRequest, AutopilotConfig, ClusterMeta, DriverInfo, JobSpec, NetworkResource,
    NodeAlloc, NodeEvent, NodeScore, PeriodicLaunchRecord, RescheduleEvent, TaskEvent, TaskState,
};

use self::deployments::{full_deployment, rollout};
use super::super::{Answer, Reconciled, read_envelope, tagged};
use super::*;
use crate::state::TableIndexes;

/// Number of tables in the first servers.
const FIRST_TABLES: usize = 13;

const RELEASE_0_1: &str = include_str!("golden/0.1.hex");

/// Returns the lines of the golden file: a name, a space, the bytes in hex.
fn golden() -> BTreeMap<&'static str, Vec<u8>> {
    let lines = RELEASE_0_1.lines().map(|line| {
        let (name, hex) = line.split_once(' ').unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (name, (0..hex.len()).step_by(2).map(byte).collect())
    });
    lines.collect()
}

#[derive(Default)]
struct Pinned {
    seen: BTreeSet<&'static str>,
    wrong: Vec<String>,
}

impl Pinned {
    fn bytes(&mut self, name: &'static str, bytes: &[u8]) -> Option<Vec<u8>> {
        assert!(self.seen.insert(name), "{name} twice");
        let golden = golden().get(name).cloned();
        if golden.as_deref() != Some(bytes) {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            self.wrong.push(format!("{name} {hex}"));
        }
        golden
    }

    fn message<M: Message + Default + PartialEq + Debug>(&mut self, name: &'static str, value: &M) {
        assert!(!value.encode_to_vec().is_empty(), "{name} says something");
        if let Some(bytes) = self.bytes(name, &value.encode_to_vec()) {
            assert_eq!(value, &M::decode(&bytes[..]).unwrap(), "{name}");
        }
    }

    fn command<C: Command + Clone + Debug + PartialEq>(&mut self, name: &'static str, command: C) {
        let bytes = envelope(Some(id(7)), 3, 1_700_000_000_000_000_000, command.clone()).encode_to_vec();
        if let Some(golden) = self.bytes(name, &bytes) {
            let read = read_envelope(golden.clone().into()).unwrap();
            assert_eq!((read.head.fence_term, read.head.feature_level), (3, C::LEVEL), "{name}");
            let (_, encoded) = tagged::find(golden.into(), |number| number == C::NUMBER).unwrap().unwrap();
            assert_eq!(command, C::decode(encoded).unwrap(), "{name}");
        }
    }

    fn outcome(&mut self, name: &'static str, outcome: &Outcome) {
        if let Some(bytes) = self.bytes(name, &outcome.encode_to_vec()) {
            assert_eq!(outcome, &Outcome::decode(bytes).unwrap(), "{name}");
        }
    }

    /// Compares the lines seen with those in the file.
    fn finish(self) {
        assert!(self.wrong.is_empty(), "other bytes than those of the release:\n{}\n", self.wrong.join("\n"));
        assert_eq!(golden().into_keys().collect::<BTreeSet<_>>(), self.seen);
    }
}

fn full_job() -> Job {
    Job {
        parent_id: "parent".into(),
        region: "global".into(),
        datacenters: vec!["dc1".into(), "dc2".into()],
        periodic: true,
        parameterized: true,
        dispatched: true,
        stop: true,
        status: "running".into(),
        status_description: "words".into(),
        version: 3,
        stable: true,
        submit_time_ns: 5,
        create_index: 11,
        modify_index: 13,
        job_modify_index: 12,
        ..job("app/web")
    }
}

fn full_alloc() -> Allocation {
    let network = NetworkResource {
        mode: "host".into(),
        device: "eth0".into(),
        cidr: "10.0.0.0/8".into(),
        ip: "10.0.0.1".into(),
        mbits: 10,
        reserved_ports: vec![port(80)],
        dynamic_ports: vec![Port { to: 8080, host_network: "default".into(), ..port(20_001) }],
    };
    let event = TaskEvent {
        r#type: "Started".into(),
        time_ns: 9,
        display_message: "Task started by client".into(),
        details: [("k".into(), "v".into())].into(),
    };
    let task = TaskState {
        state: "running".into(),
        failed: true,
        restarts: 2,
        last_restart_ns: 3,
        started_at_ns: 4,
        finished_at_ns: 5,
        events: vec![event],
    };
    let mut alloc = Allocation {
        name_index: 2,
        node_name: "node-1".into(),
        desired_description: "why".into(),
        client_description: "how".into(),
        task_states: [("t".into(), task)].into(),
        metrics: Some(full_metric()),
        deployment_id: id(3).to_vec(),
        previous_allocation: id(4).to_vec(),
        next_allocation: id(5).to_vec(),
        followup_eval_id: id(6).to_vec(),
        create_index: 21,
        modify_index: 23,
        alloc_modify_index: 22,
        create_time_ns: 1,
        modify_time_ns: 2,
        ..placement_of(50, &full_job(), 100, 500)
    };
    let resources = alloc.resources.as_mut().unwrap();
    resources.disk_mb = 300;
    resources.networks = vec![network];
    resources.ports = vec![port(8080)];
    alloc
}

fn full_metric() -> AllocMetric {
    let one = |name: &str| BTreeMap::from([(name.to_owned(), 1)]);
    AllocMetric {
        nodes_evaluated: 9,
        nodes_filtered: 3,
        nodes_available: one("dc1"),
        class_filtered: one("small"),
        constraint_filtered: one("${attr.kernel.name} = linux"),
        nodes_exhausted: 2,
        class_exhausted: one("big"),
        dimension_exhausted: one("cpu"),
        scores: vec![NodeScore {
            node_id: id(100).to_vec(),
            norm_score: 0.5,
            scores: [("binpack".into(), 0.5)].into(),
        }],
        allocation_time_ns: 77,
        coalesced_failures: 4,
    }
}

fn full_eval() -> Evaluation {
    Evaluation {
        id: id(1).to_vec(),
        namespace: "default".into(),
        job_id: "app/web".into(),
        priority: 50,
        r#type: "service".into(),
        triggered_by: "job-register".into(),
        node_id: id(100).to_vec(),
        node_modify_index: 8,
        deployment_id: id(3).to_vec(),
        status: EvalStatus::Blocked.into(),
        status_description: "words".into(),
        wait_until_ns: 1,
        wait_ns: 2,
        next_eval: id(4).to_vec(),
        previous_eval: id(5).to_vec(),
        blocked_eval: id(6).to_vec(),
        failed_groups: [("g".into(), full_metric())].into(),
        class_eligibility: [("v1:abc".into(), true)].into(),
        escaped_computed_class: true,
        queued_allocations: [("g".into(), 3)].into(),
        job_modify_index: 12,
        snapshot_index: 13,
        create_index: 14,
        modify_index: 15,
        create_time_ns: 16,
        modify_time_ns: 17,
    }
}

fn full_node() -> Node {
    let pair = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let driver = DriverInfo {
        attributes: pair("driver.raw_exec", "1"),
        detected: true,
        healthy: true,
        health_description: "Healthy".into(),
        update_time_ns: 4,
    };
    let event = NodeEvent {
        message: "Node registered".into(),
        subsystem: "Cluster".into(),
        details: pair("a", "b"),
        time_ns: 5,
        create_index: 6,
    };
    Node {
        node_class: "big".into(),
        computed_class: "v1:abc".into(),
        http_addr: "10.0.0.1:4646".into(),
        tls_enabled: true,
        attributes: pair("kernel.name", "linux"),
        meta: pair("rack", "r1"),
        links: pair("consul", "x"),
        reserved: Some(NodeResources { cpu_mhz: 100, memory_mb: 200, disk_mb: 300, networks: Vec::new() }),
        drivers: [("raw_exec".into(), driver)].into(),
        status: NodeStatus::Down.into(),
        status_description: "words".into(),
        ineligible: true,
        drain: true,
        events: vec![event],
        status_updated_at_ns: 7,
        create_index: 8,
        modify_index: 9,
        ..node(100, 4000)
    }
}

fn commands(pinned: &mut Pinned) {
    let register = JobRegister {
        enforce_index: true,
        enforced_job_modify_index: 12,
        ..register(full_job(), "{\"ID\":\"app/web\"}", Some(1))
    };
    pinned.command("command.job_register", register);
    pinned.command("command.job_deregister", deregister("app/web", true, 1));
    let evaluate = JobEvaluate {
        namespace: "default".into(),
        job_id: "app/web".into(),
        eval_id: id(1).to_vec(),
        force_reschedule: true,
    };
    pinned.command("command.job_evaluate", evaluate);
    pinned.command("command.eval_update", EvalUpdate { evals: vec![full_eval()] });
    let plan = Plan {
        namespace: "default".into(),
        job_id: "app/web".into(),
        priority: 50,
        all_at_once: true,
        stop: vec![PlanStop {
            client_status: ClientStatus::Lost.into(),
            followup_eval_id: id(2).to_vec(),
            ..stop(51)
        }],
        update: vec![PlanUpdate {
            alloc_id: id(52).to_vec(),
            job_version: 4,
            eval_id: id(1).to_vec(),
            resources: full_alloc().resources,
            ..Default::default()
        }],
        snapshot_index: 20,
        ..plan(vec![full_alloc()])
    };
    pinned.command("command.plan_apply", plans(vec![plan]));
    pinned.command("command.plan_apply.deployments", plans(vec![rollout()]));
    let update = AllocClientState {
        alloc_id: id(50).to_vec(),
        client_status: ClientStatus::Failed.into(),
        client_description: "told".into(),
        task_states: full_alloc().task_states,
        ..AllocClientState::default()
    };
    pinned.command("command.alloc_client_update", AllocClientUpdate { updates: vec![update.clone()] });
    let stamped = AllocClientState { node_id: id(100).to_vec(), stamp: 1_700_000_000_000_000_001, ..update };
    pinned.command("command.alloc_client_update.stamped", AllocClientUpdate { updates: vec![stamped] });
    pinned.command("command.node_register", node_register(full_node()));
    pinned.command("command.node_status_update", node_status(100, NodeStatus::Down));
    let mut dispatch = super::children::dispatch("app/web", &[("must", "1")], b"hello", 1);
    dispatch.idempotency_token = "token".into();
    pinned.command("command.job_dispatch", dispatch);
    let revert = JobRevert {
        namespace: "default".into(),
        job_id: "app/web".into(),
        version: 3,
        enforced_prior_version: Some(0),
        eval_id: id(1).to_vec(),
    };
    pinned.command("command.job_revert", revert);
    let stability =
        JobStability { namespace: "default".into(), job_id: "app/web".into(), version: 3, stable: true };
    pinned.command("command.job_stability", stability);
    pinned.command("command.periodic_launch", super::children::launch("app/web", 60_000_000_000, 1));
    let reconcile = SummariesReconcile::default();
    pinned.command("command.summaries_reconcile", reconcile);
    let reset = TimeReset { time_ns: 1_700_000_000_000_000_000, tolerance_ns: 5_000_000_000, after: vec![] };
    pinned.command("command.time_reset", reset);
    let rest = SummariesReconcile { after: b"default\0app".to_vec() };
    pinned.command("command.summaries_reconcile_behind", rest);
    let rest = TimeReset { after: vec![1, 2], ..TimeReset::default() };
    pinned.command("command.time_reset_behind", rest);
    pinned.command("command.autopilot_set", super::autopilot::set(full_autopilot(), Some(7)));
    let init = |feature_level| ClusterInit { cluster_id: id(8).to_vec(), feature_level };
    pinned.command("command.cluster_init", init(0));
    pinned.command("command.cluster_init_at_a_level", init(1));
    pinned.command("command.feature_level_raise", FeatureLevelRaise { level: 1 });
}

fn full_autopilot() -> AutopilotConfig {
    AutopilotConfig {
        cleanup_dead_servers: true,
        last_contact_threshold_ns: 1,
        max_trailing_logs: 2,
        min_quorum: 3,
        server_stabilization_time_ns: 4,
        enable_redundancy_zones: true,
        disable_upgrade_migration: true,
        enable_custom_upgrades: true,
        create_index: 5,
        modify_index: 6,
    }
}

fn rows(pinned: &mut Pinned) {
    pinned.message("row.autopilot", &full_autopilot());
    pinned.message("row.job", &full_job());
    pinned.message("row.job_spec", &JobSpec { json: b"{\"ID\":\"app/web\"}".to_vec(), ..Default::default() });
    pinned.message("row.job.child", &Job { idempotency_token: "token".into(), ..full_job() });
    let of_child = JobSpec { json: b"{\"ID\":\"app/web\"}".to_vec(), payload: b"hello".to_vec() };
    pinned.message("row.job_spec.child", &of_child);
    let launched =
        PeriodicLaunchRecord { launch_ns: 7, create_index: 8, modify_index: 9, ..Default::default() };
    pinned.message("row.periodic_launch", &launched);
    pinned.message("row.periodic_launch.reset", &PeriodicLaunchRecord { reset_index: 10, ..launched });
    let event = RescheduleEvent {
        time_ns: 7,
        previous_alloc_id: id(49).to_vec(),
        previous_node_id: id(100).to_vec(),
        delay_ns: 8,
    };
    let rescheduled = Allocation { force_reschedule: true, reschedule_events: vec![event], ..full_alloc() };
    pinned.message("row.allocation.rescheduled", &rescheduled);
    pinned.message("row.allocation.stamped", &Allocation { client_stamp: 9, ..full_alloc() });
    pinned.message("row.node_alloc", &NodeAlloc { alloc_modify_index: 7, over: true });
    let group = TaskGroupSummary { queued: 1, complete: 2, failed: 3, running: 4, starting: 5, lost: 6 };
    let summary = JobSummary {
        namespace: "default".into(),
        job_id: "app/web".into(),
        groups: [("g".into(), group)].into(),
        children_pending: 1,
        children_running: 2,
        children_dead: 3,
        create_index: 4,
        modify_index: 5,
        live_allocations: 6,
        open_evaluations: 7,
        purged: true,
    };
    pinned.message("row.job_summary", &summary);
    pinned.message("row.evaluation", &full_eval());
    pinned.message("row.allocation", &full_alloc());
    pinned.message("row.node", &full_node());
    pinned.message("row.deployment", &full_deployment());
    pinned.message(
        "row.cluster_meta",
        &ClusterMeta { cluster_id: id(8).to_vec(), time_ns: 5, feature_level: 1, answers_dropped_to: 0 },
    );
    let registered =
        JobRegistered { index: 11, eval_id: id(1).to_vec(), eval_create_index: 11, job_modify_index: 11 };
    let answer = Outcome::Answered(registered.to_encoded());
    pinned.outcome("outcome.job_registered", &answer);
    let dispatched = JobDispatched {
        index: 11,
        child_id: "app/web/dispatch-1-00000001".into(),
        child_create_index: 11,
        eval_id: id(1).to_vec(),
        eval_create_index: 11,
    };
    let answer_of_dispatch = Outcome::Answered(dispatched.to_encoded());
    pinned.outcome("outcome.job_dispatched", &answer_of_dispatch);
    let launched = PeriodicLaunched {
        index: 11,
        child_id: "app/web/periodic-60".into(),
        eval_id: id(1).to_vec(),
        eval_create_index: 11,
    };
    let answer_of_launch = Outcome::Answered(launched.to_encoded());
    pinned.outcome("outcome.periodic_launched", &answer_of_launch);
    let reset =
        TimeWasReset { index: 11, before_ns: 7, time_ns: 5, launches: 2, evaluations: 3, after: vec![] };
    let answer_of_reset = Outcome::Answered(reset.to_encoded());
    pinned.outcome("outcome.time_was_reset", &answer_of_reset);
    let part = TimeWasReset { index: 11, after: vec![1, 2], ..TimeWasReset::default() };
    let answer_of_part = Outcome::Answered(part.to_encoded());
    pinned.outcome("outcome.time_was_reset_in_part", &answer_of_part);
    let continued = Continued { index: 11, after: b"default\0app".to_vec() };
    let answer_of_a_part = Outcome::Answered(Reconciled::Continued(continued).to_encoded());
    pinned.outcome("outcome.continued", &answer_of_a_part);
    let set = AutopilotWasSet { index: 11, updated: true };
    let answer_of_autopilot = Outcome::Answered(set.to_encoded());
    pinned.outcome("outcome.autopilot_was_set", &answer_of_autopilot);
    let refusal = Outcome::Refused(Refusal { status: 500, text: "no".into() });
    pinned.outcome("outcome.refused", &refusal);
    let answered = AnsweredRequest { index: 11, outcome: answer.encode_to_vec() };
    pinned.message("row.answered_request", &answered);
    let mut indexes = TableIndexes::default();
    for (number, table) in Table::ALL.into_iter().enumerate() {
        indexes.set(table, number as u64 + 1);
    }
    // First the tables of the first servers, then the later ones: the row only ever grows at its end.
    let encoded = indexes.encode();
    let (first, later) = encoded.split_at(8 * FIRST_TABLES);
    pinned.bytes("row.table_indexes", first);
    pinned.bytes("row.table_indexes.later", later);
    assert_eq!(indexes, TableIndexes::decode(&encoded).unwrap());
}

fn log(pinned: &mut Pinned) {
    let server = raft::Server {
        name: "s1".into(),
        rpc_addr: "10.0.0.1:4647".into(),
        http_addr: "10.0.0.1:4646".into(),
        datacenter: "dc1".into(),
        serf_addr: "10.0.0.1:4648".into(),
    };
    let membership = raft::Membership {
        configs: vec![raft::VoterSet { ids: vec![1, 2, 3] }, raft::VoterSet { ids: vec![2, 3, 4] }],
        servers: [(1, server)].into(),
    };
    let log_id = Some(raft::LogId { term: 3, index: 11 });
    let entry = |payload| raft::Entry { log_id, payload: Some(payload) };
    pinned.message("log.blank", &entry(Payload::Blank(raft::Blank {})));
    pinned.message("log.command", &entry(Payload::Command(b"envelope".to_vec().into())));
    pinned.message("log.membership", &entry(Payload::Membership(membership.clone())));
    pinned.message("log.vote", &raft::VoteState { term: 3, voted_for: Some(1), committed: true });
    pinned.message("log.marker", &raft::LogMeta { log_id });
    pinned.message("row.applied", &raft::LogId { term: 3, index: 11 });
    let stored = raft::StoredMembership { log_id, membership: Some(membership) };
    pinned.message("row.membership", &stored);
    let file = raft::SnapshotFile { name: "000012.sst".into(), size_bytes: 9, crc32: 7 };
    let header = raft::SnapshotHeader {
        cluster_id: id(8).to_vec(),
        target: 2,
        vote: Some(raft::VoteState { term: 3, voted_for: Some(1), committed: true }),
        last_log_id: log_id,
        membership: Some(stored),
        files: vec![file],
        format: 0,
    };
    pinned.message("snapshot.header", &header);
}

fn keys(pinned: &mut Pinned) {
    let names = Table::ALL.map(Table::name);
    let (first, later) = names.split_at(FIRST_TABLES);
    let keys: [(&str, Vec<u8>); 11] = [
        ("key.by_token", key::by_token("default", "app/web", "token")),
        ("key.job", key::job("default", "app/web")),
        ("key.job_version", key::job_version("default", "app/web", 3)),
        ("key.job_spec", key::job_spec("default", "app/web", 11, 3)),
        ("key.by_job", key::by_job("default", "app/web", &id(50))),
        ("key.deployment_by_job", key::deployment_by_job("default", "app/web", 11, &id(50))),
        ("key.by_id", key::by_id(&id(100), &id(50))),
        ("key.request", key::index(11)),
        (
            "key.meta",
            [key::meta::CLUSTER, key::meta::APPLIED, key::meta::MEMBERSHIP, key::meta::INDEXES].join(&0),
        ),
        ("key.tables", first.join(",").into_bytes()),
        ("key.tables.later", later.join(",").into_bytes()),
    ];
    for (name, bytes) in keys {
        pinned.bytes(name, &bytes);
    }
}

#[test]
fn what_is_logged_and_stored_is_what_the_release_wrote_byte_for_byte() {
    let mut pinned = Pinned::default();
    commands(&mut pinned);
    rows(&mut pinned);
    log(&mut pinned);
    keys(&mut pinned);
    pinned.finish();
}

/// The final state hash of this log. Another hash means that a command decides differently than before, and servers of
/// two releases would diverge. (Tables that a release adds are part of the hash.)
#[test]
fn a_given_log_leads_to_the_state_that_the_release_reached() {
    let mut world = World::new();
    world.accept(ClusterInit { cluster_id: id(8).to_vec(), feature_level: 0 });
    world.accept(node_register(node(100, 1000)));
    world.accept(registered("a", "{1}", 1));
    world.accept(plans(vec![plan(vec![
        world.placement(50, "a", 100, 10),
        world.placement(51, "a", 100, 2000),
    ])]));
    world.accept(report(50, ClientStatus::Running));
    world.accept(registered("a", "{2}", 2));
    world.accept(eval_status(&world, 1, EvalStatus::Complete));
    world.accept(node_status(100, NodeStatus::Down));
    world.accept(deregister("a", false, 3));
    world.accept(registered("b", "{1}", 4));
    world.accept(deregister("b", true, 5));
    let hash: String = world.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    expect_test::expect!["c9934f6d3c60bbf8d51d975481e76a01f4049924278d7d0638e9021c9fac76d6"].assert_eq(&hash);
}
