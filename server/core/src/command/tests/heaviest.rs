//! The most expensive single entries that clients and leaders can have logged. The tests print what each costs
//! (`--nocapture`); the bounds are in `limits`.

use std::time::Instant;

use ordu_proto::api::job::{JobSpec as Spec, ParameterizedJobConfig, TaskGroup};
use ordu_proto::command::{JobDispatch, JobDispatched, SummariesReconcile};

use super::*;
use crate::job::spec_json;
use crate::limits::{JOB_BODY_BYTES_MAX, JOB_PARENT_BYTES_MAX, PLAN_WHOLE_CHANGES_MAX};

/// A world that prints the cost of each entry.
struct Timed(World);

impl Timed {
    fn accept(&mut self, what: &str, command: impl Into<Proposal>) -> Outcome {
        let command = command.into();
        let bytes = envelope(None, 0, self.0.time_ns + 1_000, command.clone()).encode_to_vec().len();
        #[expect(clippy::disallowed_methods, reason = "the time is told, and nothing follows from it")]
        let start = Instant::now();
        let answer = self.0.accept(command);
        println!("{what}: {:.1} MB, {} ms", bytes as f64 / 1e6, start.elapsed().as_millis());
        answer
    }
}

/// Returns a specification of about `bytes` bytes, changed by `edit`.
fn spec(bytes: usize, edit: impl FnOnce(&mut Spec)) -> String {
    let mut spec = Spec { id: "big".into(), job_type: Some("service".into()), ..Spec::default() };
    // Like most large jobs: many small members, not one long text.
    let members = (0..bytes / 32).map(|number| (format!("key-{number:08}"), "value-8".to_owned()));
    spec.meta = members.collect();
    edit(&mut spec);
    String::from_utf8(spec_json(&spec)).unwrap()
}

#[test]
fn the_heaviest_registrations_and_dispatches_are_taken() {
    let mut world = Timed(World::new());
    // A body with all defaults filled in may be many times larger.
    let large = spec(6 * JOB_BODY_BYTES_MAX, |_| {});
    assert!(large.len() > 4 * JOB_BODY_BYTES_MAX, "{}", large.len());
    world.accept("the largest job", registered("big", &large, 1));
    world.accept("the same again", registered("big", &large, 2));
    world.accept("its next version", registered("big", &format!("{large} "), 3));
    let counted = spec(6 * JOB_BODY_BYTES_MAX, |spec| {
        spec.task_groups = vec![TaskGroup { name: "g".into(), count: Some(3), ..TaskGroup::default() }];
    });
    world.accept("one with a group", registered("big", &counted, 4));
    let kept = counted.replace(r#""Count":3"#, r#""Count":4"#);
    assert_ne!(kept, counted);
    let kept = JobRegister { preserve_counts: true, ..register(job("big"), &kept, Some(5)) };
    world.accept("it again, its counts kept", kept);
    assert_eq!(counted, world.0.spec_text("big"));

    let mut parent = job("parent");
    parent.parameterized = true;
    let spec = spec(JOB_PARENT_BYTES_MAX, |spec| {
        let meta_optional = vec!["key-00000001".into(), "key-new".into()];
        spec.parameterized_job = Some(ParameterizedJobConfig { meta_optional, ..Default::default() });
    });
    world.accept("the largest parent", register(parent, &spec, None));
    let dispatch = JobDispatch {
        namespace: "default".into(),
        job_id: "parent".into(),
        meta: [("key-00000001".into(), "other".into()), ("key-new".into(), "new".into())].into(),
        id_suffix: vec![7; 4],
        eval_id: id(9).to_vec(),
        ..JobDispatch::default()
    };
    let answer = world.accept("its dispatch", dispatch);
    assert!(answer.answer::<JobDispatched>().is_some(), "{answer:?}");
}

#[test]
fn the_heaviest_plans_and_reports_are_taken() {
    let mut world = Timed(World::new());
    world.accept("a job", registered("many", "{}", 1));
    world.accept(
        "a node",
        node_register(Node {
            resources: Some(NodeResources {
                cpu_mhz: 1 << 40,
                memory_mb: 1 << 40,
                disk_mb: 1 << 40,
                networks: Vec::new(),
            }),
            ..node(1, 0)
        }),
    );
    let count = PLAN_WHOLE_CHANGES_MAX as u64;
    let place: Vec<Allocation> = (10..10 + count).map(|at| world.0.placement(at, "many", 1, 1)).collect();
    world.accept(&format!("a plan of {count} placements"), plans(vec![plan(place)]));
    let update = |number| report(number, ClientStatus::Running).updates;
    // As many reports as a server puts into one entry.
    let reported = 2_048;
    let updates = (10..10 + reported).flat_map(update).collect();
    world.accept(&format!("{reported} reports"), AllocClientUpdate { updates });
    world.accept("the node is down", node_status(1, NodeStatus::Down));
    world.accept("all is counted anew", SummariesReconcile::default());
    let stops = (10..10 + count).map(stop).collect();
    let stopping = Plan { eval_id: id(1).to_vec(), stop: stops, ..Plan::default() };
    world.accept(&format!("a plan of {count} stops"), plans(vec![stopping]));
    world.accept("the job is removed", deregister("many", true, 3));
}
