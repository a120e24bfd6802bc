//! Children of parameterized and periodic jobs.

use ordu_proto::command::{JobDispatch, JobDispatched, PeriodicLaunch, PeriodicLaunched, SummariesReconcile};
use serde_json::{Value, json};

use super::*;
use crate::limits::DISPATCH_PAYLOAD_BYTES_MAX;

const SECOND: i64 = 1_000_000_000;

pub(super) fn parameterized(job_id: &str, payload: &str) -> JobRegister {
    let spec = json!({
        "ID": job_id, "Meta": {"m": "default"}, "TaskGroups": [{"Name": "g", "Count": 1}],
        "ParameterizedJob": {"Payload": payload, "MetaRequired": ["must"], "MetaOptional": ["may"]},
    });
    let row = Job { parameterized: true, r#type: "batch".into(), ..job(job_id) };
    register(row, &spec.to_string(), None)
}

pub(super) fn periodic(job_id: &str, schedule: &Value) -> JobRegister {
    let spec = json!({"ID": job_id, "TaskGroups": [{"Name": "g", "Count": 1}], "Periodic": schedule});
    let row = Job { periodic: true, r#type: "batch".into(), ..job(job_id) };
    register(row, &spec.to_string(), None)
}

pub(super) fn dispatch(job_id: &str, meta: &[(&str, &str)], payload: &[u8], eval: u64) -> JobDispatch {
    JobDispatch {
        namespace: "default".into(),
        job_id: job_id.into(),
        meta: meta.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        payload: payload.into(),
        idempotency_token: String::new(),
        id_suffix: (eval as u32).to_be_bytes().into(),
        eval_id: id(eval).to_vec(),
        id_prefix: String::new(),
    }
}

pub(super) fn launch(job_id: &str, launch_ns: i64, eval: u64) -> PeriodicLaunch {
    PeriodicLaunch {
        namespace: "default".into(),
        job_id: job_id.into(),
        launch_ns,
        forced: false,
        eval_id: id(eval).to_vec(),
    }
}

pub(super) fn forced(job_id: &str, eval: u64) -> PeriodicLaunch {
    PeriodicLaunch { forced: true, ..launch(job_id, 0, eval) }
}

impl World {
    fn dispatched(&mut self, command: JobDispatch) -> JobDispatched {
        self.answer(command)
    }

    fn launched(&mut self, command: PeriodicLaunch) -> PeriodicLaunched {
        self.answer(command)
    }

    fn spec(&self, job_id: &str) -> (Value, Vec<u8>) {
        let stored = read::spec_of(&self.tables, &self.job(job_id)).unwrap();
        (serde_json::from_slice(&stored.json).unwrap(), stored.payload)
    }

    /// Returns the numbers of pending, running and dead children.
    pub(super) fn children(&self, job_id: &str) -> (i64, i64, i64) {
        let summary = self.summary(job_id).unwrap();
        (summary.children_pending, summary.children_running, summary.children_dead)
    }

    /// Completes the job's evaluation without any placement.
    fn end(&mut self, eval: u64) {
        self.accept(eval_status(self, eval, EvalStatus::Complete));
    }
}

const MUST: &[(&str, &str)] = &[("must", "1")];

#[test]
fn a_dispatch_makes_a_child_with_its_payload_and_the_metadata_of_both() {
    let mut world = World::new();
    world.accept(parameterized("p", "optional"));
    world.time_ns = 1_700_000_000 * SECOND;
    let answer = world.dispatched(dispatch("p", &[("must", "1"), ("may", "2")], b"hello", 0xabcd));
    assert_eq!("p/dispatch-1700000000-0000abcd", answer.child_id);
    assert_eq!((12, 12, 12), (answer.index, answer.child_create_index, answer.eval_create_index));
    let child = world.job(&answer.child_id);
    assert_eq!(
        ("p", true, false, 0),
        (&*child.parent_id, child.dispatched, child.parameterized, child.version)
    );
    assert_eq!((child.id.as_str(), "pending"), (child.name.as_str(), child.status.as_str()));
    let (spec, payload) = world.spec(&child.id);
    assert_eq!(
        (&json!(child.id), &json!({"m": "default", "may": "2", "must": "1"})),
        (&spec["ID"], &spec["Meta"])
    );
    assert_eq!(json!("optional"), spec["ParameterizedJob"]["Payload"]);
    assert_eq!(b"hello".to_vec(), payload);
    let eval = world.eval(0xabcd);
    assert_eq!(
        (child.id.as_str(), "job-register", "batch"),
        (&*eval.job_id, &*eval.triggered_by, &*eval.r#type)
    );
    assert!(world.summary(&child.id).unwrap().groups.contains_key("g"));
}

#[test]
fn the_parent_counts_its_children_by_their_status() {
    let mut world = World::new();
    world.accept(node_register(node(100, 1000)));
    world.accept(parameterized("p", "optional"));
    let child = world.dispatched(dispatch("p", MUST, b"", 1)).child_id;
    let other = world.dispatched(dispatch("p", MUST, b"", 2)).child_id;
    assert_eq!((2, 0, 0), world.children("p"));
    let placed = Allocation { eval_id: id(1).to_vec(), ..world.placement(50, &child, 100, 10) };
    world.accept(plans(vec![plan(vec![placed])]));
    assert_eq!((1, 1, 0), world.children("p"));
    world.end(1);
    world.accept(report(50, ClientStatus::Complete));
    assert_eq!((1, 0, 1), world.children("p"));
    world.accept(deregister(&child, true, 3));
    world.accept(deregister(&other, true, 4));
    assert_eq!((0, 0, 2), world.children("p"), "children that are gone were dead");
    assert_eq!("running", world.status("p"));
    world.accept(deregister("p", true, 5));
    world.accept(parameterized("p", "optional"));
    assert_eq!((0, 0, 0), world.children("p"), "another job of the name has no children yet");
}

#[test]
fn a_dispatch_that_the_job_does_not_permit_is_refused() {
    let mut world = World::new();
    world.accept(parameterized("optional", "optional"));
    world.accept(parameterized("required", "required"));
    world.accept(parameterized("forbidden", "forbidden"));
    world.accept(registered("plain", "{}", 1));
    world.accept(parameterized("stopped", "optional"));
    world.accept(deregister("stopped", false, 2));
    let most = vec![b'x'; DISPATCH_PAYLOAD_BYTES_MAX];
    let more = vec![b'x'; DISPATCH_PAYLOAD_BYTES_MAX + 1];
    world.dispatched(dispatch("optional", MUST, &most, 3));
    let cases: [(JobDispatch, &str); 8] = [
        (dispatch("none", MUST, b"", 4), "parameterized job not found"),
        (dispatch("plain", MUST, b"", 4), "Specified job \"plain\" is not a parameterized job"),
        (dispatch("stopped", MUST, b"", 4), "Specified job \"stopped\" is stopped"),
        (dispatch("required", MUST, b"", 4), "Payload is not provided but required by parameterized job"),
        (dispatch("forbidden", MUST, b"x", 4), "Payload provided but forbidden by parameterized job"),
        (dispatch("optional", MUST, &more, 4), "Payload exceeds maximum size; 16385 > 16384"),
        (
            dispatch("optional", &[("must", ""), ("b", ""), ("a", "")], b"", 4),
            "Dispatch request included unpermitted metadata keys: [a b]",
        ),
        (dispatch("optional", &[("may", "")], b"", 4), "Dispatch did not provide required meta keys: [must]"),
    ];
    for (command, text) in cases {
        assert_eq!((500, text.to_owned()), world.refused(command));
    }
}

#[test]
fn dispatches_of_one_token_make_one_child_for_as_long_as_it_is_there() {
    let mut world = World::new();
    world.accept(parameterized("p", "optional"));
    world.accept(parameterized("q", "optional"));
    let token = |job_id: &str, token: &str, eval| JobDispatch {
        idempotency_token: token.into(),
        ..dispatch(job_id, MUST, b"", eval)
    };
    let first = world.dispatched(token("p", "t", 1));
    let second = world.dispatched(token("p", "t", 2));
    assert_eq!(JobDispatched { index: second.index, ..first.clone() }, second);
    assert!(read::eval(&world.tables, &id(2)).unwrap().is_none(), "nothing is evaluated again");
    assert_ne!(first.child_id, world.dispatched(token("p", "other", 3)).child_id);
    assert!(world.dispatched(token("q", "t", 4)).child_id.starts_with("q/"));
    world.reload();
    assert_eq!(first.child_id, world.dispatched(token("p", "t", 5)).child_id);
    world.accept(deregister(&first.child_id, true, 6));
    assert_ne!(first.child_id, world.dispatched(token("p", "t", 7)).child_id);
}

fn every_minute(more: &Value) -> Value {
    let mut schedule = json!({"Enabled": true, "Spec": "* * * * *", "SpecType": "cron"});
    let more = more.as_object().cloned().unwrap_or_default();
    schedule.as_object_mut().unwrap().extend(more);
    schedule
}

#[test]
fn a_launch_makes_a_child_once_whoever_proposes_it() {
    let mut world = World::new();
    world.accept(periodic("p", &every_minute(&json!({}))));
    let first = world.launched(launch("p", 60 * SECOND, 1));
    assert_eq!("p/periodic-60", first.child_id);
    let child = world.job(&first.child_id);
    assert_eq!(("p", false, false), (&*child.parent_id, child.periodic, child.dispatched));
    assert_eq!(Value::Null, world.spec(&child.id).0["Periodic"]);
    assert_eq!("periodic-job", world.eval(1).triggered_by);
    for late in [60 * SECOND, 59 * SECOND] {
        assert_eq!("", world.launched(launch("p", late, 2)).child_id);
    }
    world.reload();
    assert_eq!("", world.launched(launch("p", 60 * SECOND, 2)).child_id);
    assert_eq!("p/periodic-120", world.launched(launch("p", 120 * SECOND, 3)).child_id);
    assert_eq!((2, 0, 0), world.children("p"));
}

#[test]
fn what_a_schedule_names_before_it_came_into_force_is_not_launched() {
    let mut world = World::new();
    world.time_ns = 90 * SECOND;
    world.accept(periodic("p", &every_minute(&json!({}))));
    assert_eq!("", world.launched(launch("p", 60 * SECOND, 1)).child_id);
    // Registering the same job again does not cancel due launches.
    world.time_ns = 130 * SECOND;
    world.accept(periodic("p", &every_minute(&json!({}))));
    assert_eq!("p/periodic-120", world.launched(launch("p", 120 * SECOND, 2)).child_id);
    // A changed schedule starts anew, and so does a stopped one.
    world.time_ns = 190 * SECOND;
    world.accept(periodic("p", &every_minute(&json!({"Spec": "*/2 * * * *"}))));
    assert_eq!("", world.launched(launch("p", 180 * SECOND, 3)).child_id);
    world.accept(deregister("p", false, 4));
    world.time_ns = 310 * SECOND;
    world.accept(periodic("p", &every_minute(&json!({"Spec": "*/2 * * * *"}))));
    assert_eq!("", world.launched(launch("p", 300 * SECOND, 5)).child_id);
    assert_eq!("p/periodic-360", world.launched(launch("p", 360 * SECOND, 6)).child_id);
}

#[test]
fn a_launch_is_passed_over_while_an_earlier_one_runs_if_the_job_says_so() {
    let mut world = World::new();
    world.accept(periodic("p", &every_minute(&json!({"ProhibitOverlap": true}))));
    world.launched(launch("p", 60 * SECOND, 1));
    assert_eq!("", world.launched(launch("p", 120 * SECOND, 2)).child_id);
    world.end(1);
    assert_eq!("", world.launched(launch("p", 120 * SECOND, 3)).child_id, "it was decided on");
    assert_eq!("p/periodic-180", world.launched(launch("p", 180 * SECOND, 4)).child_id);
}

#[test]
fn a_forced_launch_is_now_and_leaves_the_schedule_alone() {
    let mut world = World::new();
    world.accept(periodic("p", &every_minute(&json!({"ProhibitOverlap": true}))));
    world.time_ns = 90 * SECOND;
    assert_eq!("p/periodic-90", world.launched(forced("p", 1)).child_id);
    assert_eq!("p/periodic-90", world.launched(forced("p", 2)).child_id, "one second is one child");
    assert_eq!("p/periodic-90", world.eval(2).job_id);
    world.end(1);
    world.end(2);
    assert_eq!("p/periodic-60", world.launched(launch("p", 60 * SECOND, 3)).child_id);
}

#[test]
fn only_a_periodic_job_that_is_tracked_is_launched() {
    let mut world = World::new();
    world.accept(registered("plain", "{}", 1));
    world.accept(periodic("off", &every_minute(&json!({"Enabled": false}))));
    world.accept(periodic("stopped", &every_minute(&json!({}))));
    world.accept(deregister("stopped", false, 2));
    let untracked = |id: &str| {
        format!("force launch for job {id:?} failed: can't force run non-tracked job {id:?} (default)")
    };
    for (job_id, text) in [
        ("none", "job not found".to_owned()),
        ("plain", "can't force launch non-periodic job".to_owned()),
        ("off", untracked("off")),
        ("stopped", untracked("stopped")),
    ] {
        assert_eq!((500, text), world.refused(forced(job_id, 3)), "{job_id}");
    }
}

#[test]
fn counting_anew_finds_what_was_counted() {
    let mut world = World::new();
    world.accept(node_register(node(100, 1000)));
    world.accept(parameterized("p", "optional"));
    let child = world.dispatched(dispatch("p", MUST, b"", 1)).child_id;
    world.dispatched(dispatch("p", MUST, b"", 2));
    world.accept(plans(vec![plan(vec![world.placement(50, &child, 100, 10)])]));
    world.accept(report(50, ClientStatus::Running));
    let before = [world.summary("p"), world.summary(&child)];
    world.accept(SummariesReconcile::default());
    assert_eq!(before, [world.summary("p"), world.summary(&child)]);

    let broken = JobSummary { children_running: 7, live_allocations: 9, ..world.summary("p").unwrap() };
    let mut tx = Tx::new(&world.tables, read::indexes(&world.tables).unwrap());
    tx.put(Table::JobSummaries, key::job("default", "p"), &broken);
    tx.keep_entry();
    let (writes, _) = tx.finish();
    world.tables.commit(writes);
    world.accept(SummariesReconcile::default());
    assert_eq!((1, 1, 0), world.children("p"));
    assert_eq!(0, world.summary("p").unwrap().live_allocations);
}
