//! The scheduler's plans through `apply`: what clients see of a service from its registration to its purge.

use std::collections::BTreeMap;

use ordu_proto::state::{Deployment, DriverInfo};
use serde_json::{Value, json};

use super::*;
use crate::job::{
    DeploymentDocument, canonicalise, decode_register, group_counts, job_row, parse_spec, spec_json,
};
use crate::scheduler::{Decision, JobVersions, ScheduleInput, ScheduledJob, schedule};

/// A cluster with a scheduler.
struct Stage {
    world: World,
    drawn: u64,
}

impl Stage {
    fn new() -> Stage {
        let driver = DriverInfo { detected: true, healthy: true, ..DriverInfo::default() };
        let mut world = World::new();
        world
            .accept(node_register(Node { drivers: [("raw_exec".into(), driver)].into(), ..node(100, 1000) }));
        Stage { world, drawn: 1_000 }
    }

    /// Registers the job, then schedules its evaluation and applies the decision.
    fn register(&mut self, job: &Value, eval: u64) -> Decision {
        let body = json!({ "Job": job }).to_string();
        let mut request = decode_register(body.as_bytes()).unwrap();
        canonicalise(&mut request.job);
        self.world.accept(JobRegister {
            job: Some(job_row(&request.job, request.stop)),
            spec_json: spec_json(&request.job),
            eval_id: id(eval).to_vec(),
            groups: group_counts(&request.job),
            ..Default::default()
        });
        self.evaluate(eval)
    }

    fn deregister(&mut self, job_id: &str, purge: bool, eval: u64) {
        self.world.accept(deregister(job_id, purge, eval));
        self.evaluate(eval);
    }

    fn evaluate(&mut self, eval: u64) -> Decision {
        let tables = &self.world.tables;
        let eval = self.world.eval(eval);
        let row = read::job(tables, "default", &eval.job_id).unwrap();
        let job = row.as_ref().map(|row| {
            let spec = parse_spec(&read::spec_of(tables, row).unwrap().json).unwrap();
            ScheduledJob::from_spec(row, &spec)
        });
        let allocs = read::allocs_of_job(tables, "default", &eval.job_id).unwrap();
        let deployment = read::latest_deployment(tables, "default", &eval.job_id).unwrap();
        let input = ScheduleInput {
            eval: &eval,
            job_row: row.as_ref(),
            job: job.as_ref(),
            versions: &JobVersions::new(),
            allocs: &allocs,
            deployment: deployment.as_ref(),
            view: &mut self.world.machine.view.snapshot(),
            snapshot_index: self.world.index,
            now_ns: self.world.time_ns,
            dry_run: false,
        };
        let decision = schedule(input, &mut || {
            self.drawn += 1;
            id(self.drawn)
        });
        if !decision.plan_is_empty() {
            self.world.accept(plans(vec![decision.plan.clone()]));
        }
        let evals = std::iter::once(&decision.eval).chain(&decision.blocked).cloned().collect();
        self.world.accept(EvalUpdate { evals });
        decision
    }

    fn deployments(&self, job_id: &str) -> Vec<Deployment> {
        let mut rows = read::deployments_of_job(&self.world.tables, "default", job_id).unwrap();
        rows.sort_by_key(|row| row.create_index);
        rows
    }

    /// Returns the latest deployment as clients see it, with placeholders for id, indexes and times.
    fn shown(&self, job_id: &str) -> Value {
        let row = read::latest_deployment(&self.world.tables, "default", job_id).unwrap().unwrap();
        let mut document = serde_json::to_value(DeploymentDocument::of(&row)).unwrap();
        for (name, value) in document.as_object_mut().unwrap() {
            if name.ends_with("Index") {
                assert_ne!(&json!(0), value, "{name}");
                *value = json!("<index>");
            }
        }
        document["ID"] = json!("<uuid>");
        let due = document["TaskGroups"]["web"]["RequireProgressBy"].take();
        assert!(!due.as_str().unwrap().starts_with("0001"), "the deadline runs");
        document["TaskGroups"]["web"]["RequireProgressBy"] = json!("<time>");
        document
    }

    /// Returns the position of the deployment that each evaluation names.
    fn named(&self, job_id: &str) -> BTreeMap<Id, Option<usize>> {
        let deployments = self.deployments(job_id);
        let evals = read::evals_of_job(&self.world.tables, "default", job_id).unwrap();
        let named = |eval: Evaluation| {
            let position = deployments.iter().position(|row| row.id == eval.deployment_id);
            (Id::try_from(eval.id).unwrap(), position)
        };
        evals.into_iter().map(named).collect()
    }
}

fn service(job_id: &str, cpu_mhz: i64) -> Value {
    json!({
        "ID": job_id, "Name": job_id, "Type": "service", "Priority": 50, "Datacenters": ["dc1"],
        "TaskGroups": [{"Name": "web", "Count": 1, "Tasks": [{
            "Name": "sleep", "Driver": "raw_exec", "Config": {"command": "/bin/sleep", "args": ["600"]},
            "Resources": {"CPU": cpu_mhz, "MemoryMB": 10},
        }]}],
    })
}

fn expected(version: u64, status: &str, description: &str) -> Value {
    json!({
        "CreateIndex": "<index>", "ID": "<uuid>", "IsMultiregion": false, "JobCreateIndex": "<index>",
        "JobID": "basic", "JobModifyIndex": "<index>", "JobSpecModifyIndex": "<index>", "JobVersion": version,
        "ModifyIndex": "<index>", "Namespace": "default", "Status": status, "StatusDescription": description,
        "TaskGroups": {"web": {
            "AutoPromote": false, "AutoRevert": false, "DesiredCanaries": 0, "DesiredTotal": 1, "HealthyAllocs": 0,
            "PlacedAllocs": 1, "PlacedCanaries": null, "ProgressDeadline": 600_000_000_000_i64, "Promoted": false,
            "RequireProgressBy": "<time>", "UnhealthyAllocs": 0,
        }},
    })
}

#[test]
fn a_service_s_deployments_are_shown_from_its_registration_to_after_its_purge() {
    let running = |version| expected(version, "running", "Deployment is running");
    let cancelled = |version| expected(version, "cancelled", "Cancelled because job is stopped");
    let mut stage = Stage::new();
    stage.register(&service("basic", 20), 1);
    assert_eq!(running(0), stage.shown("basic"));
    stage.register(&service("basic", 20), 2);
    assert_eq!((running(0), 1), (stage.shown("basic"), stage.deployments("basic").len()));
    stage.deregister("basic", false, 3);
    assert_eq!(cancelled(0), stage.shown("basic"));
    stage.register(&service("basic", 20), 4);
    assert_eq!((running(2), 2), (stage.shown("basic"), stage.deployments("basic").len()));
    stage.deregister("basic", true, 5);
    assert!(!stage.world.has_job("basic"));
    assert_eq!(cancelled(2), stage.shown("basic"));
    let named = [(1, Some(0)), (2, Some(0)), (3, Some(0)), (4, Some(1)), (5, Some(1))];
    assert_eq!(BTreeMap::from(named.map(|(eval, position)| (id(eval), position))), stage.named("basic"));
    let allocs = read::allocs_of_job(&stage.world.tables, "default", "basic").unwrap();
    let mut carried: Vec<Vec<u8>> = allocs.into_iter().map(|alloc| alloc.deployment_id).collect();
    carried.sort();
    assert_eq!(stage.deployments("basic").into_iter().map(|row| row.id).collect::<Vec<_>>(), carried);
}

#[test]
fn a_service_without_room_has_a_deployment_which_what_waits_does_not_name() {
    let mut stage = Stage::new();
    let blocked = stage.register(&service("blocked", 9_000_000), 1).blocked.unwrap();
    assert_eq!(0, stage.deployments("blocked")[0].groups["web"].placed_allocs);
    let waiting = Id::try_from(blocked.id).unwrap();
    assert_eq!(BTreeMap::from([(id(1), Some(0)), (waiting, None)]), stage.named("blocked"));
    stage.register(&service("blocked", 20), 2);
    let rows = stage.deployments("blocked");
    assert_eq!("Cancelled due to newer version of job", rows[0].status_description);
    assert_eq!((1, 1), (rows[1].job_version, rows[1].groups["web"].placed_allocs));
}
