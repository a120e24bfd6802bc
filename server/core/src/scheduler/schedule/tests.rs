//! How evaluations end, and invariants of random sequences of cluster changes.

use ordu_proto::api::job::UpdateStrategy;
use ordu_proto::state::{Allocation, NodeStatus};
use proptest::prelude::*;

use super::*;
use crate::scheduler::testing::{World, constraint, group, id, ports};
use crate::scheduler::view::is_terminal;
use crate::scheduler::{JobVersions, is_active_deployment};

#[test]
fn a_job_that_is_placed_whole_completes_its_evaluation() {
    let mut world = World::new(2, "service").with_groups(vec![group("g", 2, 100, 100)]);
    let decision = world.settle();
    assert_eq!((decision.ending, decision.eval.status()), (Ending::Complete, EvalStatus::Complete));
    assert_eq!(decision.eval.queued_allocations, [("g".to_owned(), 0)].into());
    assert!(decision.eval.failed_groups.is_empty() && decision.blocked.is_none());
    assert_eq!((decision.eval.snapshot_index, decision.plan.snapshot_index), (10, 10));
    let alloc = &decision.plan.place[0];
    assert_eq!(
        (alloc.job_id.as_str(), alloc.job_type.as_str(), alloc.job_create_index),
        ("job", "service", 5)
    );
    assert_eq!((alloc.desired_status(), alloc.client_status()), (DesiredStatus::Run, ClientStatus::Pending));
    assert_eq!((&alloc.eval_id, alloc.node_name.starts_with("node-")), (&decision.eval.id, true));
}

#[test]
fn what_finds_no_room_waits_in_a_blocked_evaluation() {
    let mut world = World::new(1, "service").with_groups(vec![group("g", 3, 2000, 100)]);
    let decision = world.settle();
    let blocked = decision.blocked.unwrap();
    assert_eq!((decision.ending, decision.plan.place.len()), (Ending::Complete, 2));
    assert_eq!(decision.eval.queued_allocations["g"], 1);
    assert_eq!(decision.eval.blocked_eval, blocked.id);
    assert_eq!(blocked.previous_eval, decision.eval.id);
    assert_eq!(blocked.status(), EvalStatus::Blocked);
    assert_eq!(blocked.triggered_by, "queued-allocs");
    assert_eq!(blocked.status_description, "created to place remaining allocations");
    assert_eq!(
        (blocked.class_eligibility.values().collect::<Vec<_>>(), blocked.escaped_computed_class),
        (vec![&true], false)
    );
    assert_eq!(blocked.snapshot_index, decision.eval.snapshot_index);
}

#[test]
fn classes_that_do_not_fit_or_were_not_met_are_told_apart() {
    let mut world = World::new(3, "service").with_groups(vec![group("g", 1, 9000, 100)]);
    world.spec.constraints = vec![constraint("${meta.a}", "=", "1")];
    world.change_node(1, |node| drop(node.meta.insert("a".into(), "1".into())));
    world.change_node(2, |node| drop(node.meta.insert("a".into(), "2".into())));
    world.change_node(3, |node| node.datacenter = "dc9".into());
    let class = |world: &World, number| world.view.class_and_datacenter(&id(number)).unwrap().0.to_owned();
    let expected = [(class(&world, 1), true), (class(&world, 2), false)];
    let blocked = world.decide().blocked.unwrap();
    assert_eq!(blocked.class_eligibility, expected.into());
}

#[test]
fn a_blocked_evaluation_stays_one_until_all_is_placed() {
    let mut world = World::new(1, "service").with_groups(vec![group("g", 3, 2000, 100)]);
    let blocked = world.settle().blocked.unwrap();
    let again = world.decide_eval(&blocked);
    assert!(again.plan_is_empty() && again.blocked.is_none());
    assert_eq!((again.ending, again.eval.status()), (Ending::Blocked, EvalStatus::Blocked));
    assert_eq!((&again.eval.id, again.eval.snapshot_index), (&blocked.id, 11));
    assert!(!again.stays_as_written(&blocked), "why it waits is not written yet");
    assert!(world.decide_eval(&again.eval).stays_as_written(&again.eval));
    world.put_node(crate::scheduler::testing::node(2));
    let placed = world.decide_eval(&blocked);
    assert_eq!((placed.ending, placed.eval.status()), (Ending::Complete, EvalStatus::Complete));
    assert_eq!((placed.plan.place.len(), placed.eval.status_description.as_str()), (1, ""));
}

#[test]
fn an_evaluation_that_would_cost_too_much_fails_in_words_and_changes_nothing() {
    let mut world = World::new(40, "service").with_groups(vec![group("g", 3, 100, 100)]);
    world.settle();
    // The expression is the same for all nodes, but the text it is matched against is unique to each node.
    for number in 1..=40 {
        world.change_node(number, |node| {
            node.meta.insert("unique.text".into(), "x".repeat(200_000));
        });
    }
    world.change_job(|_, spec| {
        spec.task_groups.push(group("h", 1, 100, 100));
        spec.constraints = vec![constraint("${meta.unique.text}", "regexp", "x(\\pL{5}){3}")];
    });
    let decision = world.decide();
    assert_eq!((decision.ending, decision.eval.status()), (Ending::OverBudget, EvalStatus::Failed));
    assert!(decision.plan_is_empty() && decision.blocked.is_none(), "{decision:?}");
    let said = decision.eval.status_description;
    assert!(said.contains("100000000 steps"), "{said}");
}

#[test]
fn a_type_without_a_scheduler_fails_in_words() {
    let mut world = World::new(1, "sysbatch").with_groups(vec![group("g", 1, 1, 1)]);
    let decision = world.decide();
    assert_eq!((decision.ending, decision.eval.status()), (Ending::Failed, EvalStatus::Failed));
    assert_eq!(decision.eval.status_description, "there is no scheduler for jobs of type \"sysbatch\"");
    assert!(decision.plan_is_empty());
}

#[test]
fn jobs_that_only_launch_children_are_not_placed() {
    for change in [|row: &mut Job| row.periodic = true, |row: &mut Job| row.parameterized = true] {
        let mut world = World::new(1, "batch").with_groups(vec![group("g", 1, 1, 1)]);
        change(&mut world.row);
        assert!(world.decide().plan_is_empty());
    }
}

#[test]
fn the_plan_says_whether_it_takes_effect_whole() {
    let mut world = World::new(1, "service").with_groups(vec![group("g", 1, 1, 1)]);
    world.spec.all_at_once = true;
    assert!(world.decide().plan.all_at_once);
}

#[test]
fn a_worker_may_decide_several_jobs_on_one_view() {
    let mut world = World::new(1, "service").with_groups(vec![group("g", 3, 1000, 100)]);
    let job = ScheduledJob::from_spec(&world.row, &world.spec);
    let mut view = world.view.snapshot();
    let mut drawn = 0;
    let mut placed = Vec::new();
    for _ in 0..2 {
        let input = ScheduleInput {
            eval: &world.eval(),
            job_row: Some(&world.row),
            job: Some(&job),
            versions: &JobVersions::new(),
            allocs: &[],
            deployment: None,
            view: &mut view,
            snapshot_index: 1,
            now_ns: 0,
            dry_run: false,
        };
        let decision = schedule(input, &mut || {
            drawn += 1;
            id(drawn).try_into().unwrap()
        });
        placed.push(decision.plan.place.len());
        world.apply(&decision.plan);
    }
    assert_eq!(placed, [3, 1], "the second sees what the first took");
}

#[derive(Clone, Debug)]
enum Event {
    Count { group: usize, count: i64 },
    Env(u8),
    Ask { group: usize, cpu_mhz: i64 },
    KillTimeout(i64),
    Stop(bool),
    Rename(u8),
    NodeDown(u64),
    NodeUp(u64),
    Ineligible(u64, bool),
    Client { pick: usize, status: ClientStatus },
    NewJob,
}

fn event() -> impl Strategy<Value = Event> {
    let status = prop_oneof![
        Just(ClientStatus::Running),
        Just(ClientStatus::Complete),
        Just(ClientStatus::Failed),
        Just(ClientStatus::Lost),
    ];
    prop_oneof![
        4 => (0..2_usize, 0..8_i64).prop_map(|(group, count)| Event::Count { group, count }),
        2 => any::<u8>().prop_map(Event::Env),
        2 => (0..2_usize, 1..4000_i64).prop_map(|(group, cpu_mhz)| Event::Ask { group, cpu_mhz }),
        1 => (0..9_i64).prop_map(Event::KillTimeout),
        1 => any::<bool>().prop_map(Event::Stop),
        1 => (0..3_u8).prop_map(Event::Rename),
        2 => (1..7_u64).prop_map(Event::NodeDown),
        3 => (1..7_u64).prop_map(Event::NodeUp),
        1 => (1..7_u64, any::<bool>()).prop_map(|(node, yes)| Event::Ineligible(node, yes)),
        5 => (any::<usize>(), status).prop_map(|(pick, status)| Event::Client { pick, status }),
        1 => Just(Event::NewJob),
    ]
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Count { group, count } => {
            world.change_job(|_, spec| spec.task_groups[group].count = Some(count))
        }
        Event::Env(value) => world.change_job(|_, spec| {
            spec.task_groups[0].tasks[0].env.insert("K".into(), value.to_string());
        }),
        Event::Ask { group, cpu_mhz } => world.change_job(|_, spec| {
            spec.task_groups[group].tasks[0].resources.as_mut().unwrap().cpu = Some(cpu_mhz);
        }),
        Event::KillTimeout(value) => {
            world.change_job(|_, spec| spec.task_groups[0].tasks[0].kill_timeout = Some(value));
        }
        Event::Stop(stop) => world.change_job(|row, _| row.stop = stop),
        Event::Rename(value) => world.change_job(|_, spec| spec.task_groups[1].name = format!("h{value}")),
        Event::NodeDown(number) => world.change_node(number, |node| node.set_status(NodeStatus::Down)),
        Event::NodeUp(number) => world.change_node(number, |node| node.set_status(NodeStatus::Ready)),
        Event::Ineligible(number, yes) => world.change_node(number, |node| node.ineligible = yes),
        Event::Client { pick, status } => {
            let open: Vec<Vec<u8>> =
                world.allocs.values().filter(|it| !is_terminal(it)).map(|it| it.id.clone()).collect();
            if !open.is_empty() {
                world.set_client_status(&open[pick % open.len()], status);
            }
        }
        Event::NewJob => world.change_job(|row, _| row.create_index += 1),
    }
}

/// Checks the invariants after a plan is applied.
fn verify(world: &mut World, decision: &Decision) {
    for node in world.nodes.keys() {
        let (Some(capacity), Some((used, _))) = (world.view.capacity(node), world.view.used(node)) else {
            continue;
        };
        assert!(used.cpu_mhz <= capacity.cpu_mhz && used.memory_mb <= capacity.memory_mb);
        assert!(used.disk_mb <= capacity.disk_mb);
        assert!(used.ports.is_sorted_by(|left, right| left < right), "no port is held twice");
    }
    let active = world.deployments.iter().filter(|it| is_active_deployment(it));
    for deployment in active {
        assert!(!world.row.stop, "a stopped job rolls nothing out");
        assert_eq!(
            (world.row.create_index, world.row.version),
            (deployment.job_create_index, deployment.job_version)
        );
    }
    for alloc in world.allocs.values().filter(|alloc| !alloc.deployment_id.is_empty()) {
        assert!(
            world.deployments.iter().any(|it| it.id == alloc.deployment_id),
            "a deployment that there is"
        );
    }
    let groups: Vec<(String, i64)> =
        world.spec.task_groups.iter().map(|group| (group.name.clone(), group.count())).collect();
    if world.row.stop {
        assert!(decision.plan.place.is_empty());
        assert!(world.allocs.values().all(is_terminal));
        return;
    }
    for (name, count) in &groups {
        let live = world.live(name);
        assert!(live.len() as i64 <= *count, "{name}: {} of {count}", live.len());
        let names = world.names(name);
        assert!(names.is_sorted_by(|left, right| left < right), "{name}: {names:?}");
        assert!(live.iter().all(|alloc| alloc.job_create_index <= world.row.create_index));
    }
    let known: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
    let strays =
        world.allocs.values().filter(|it| !is_terminal(it) && !known.contains(&it.task_group.as_str()));
    assert_eq!(strays.count(), 0, "groups that are gone have no live allocations");
    let queued: i64 = decision.eval.queued_allocations.values().sum();
    assert_eq!(queued > 0, !decision.eval.failed_groups.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_plans_fit_and_settle(
        is_batch in any::<bool>(),
        events in proptest::collection::vec(event(), 1..25),
    ) {
        let mut first = group("g", 3, 500, 500);
        first.networks = vec![ports(2, &[])];
        first.update = Some(UpdateStrategy { max_parallel: Some(1), ..Default::default() });
        let mut second = group("h0", 2, 1500, 100);
        second.networks = vec![ports(1, &[9000])];
        let job_type = if is_batch { "batch" } else { "service" };
        let mut world = World::new(6, job_type).with_groups(vec![first, second]);
        for event in events {
            happen(&mut world, event);
            let decision = world.decide();
            let again = world.decide();
            let same_places = |left: &Allocation, right: &Allocation| {
                (&left.node_id, left.name_index) == (&right.node_id, right.name_index)
            };
            // The second decision draws other ids; everything else is equal.
            let mut pairs = decision.plan.place.iter().zip(&again.plan.place);
            prop_assert_eq!(decision.plan.place.len(), again.plan.place.len());
            prop_assert!(pairs.all(|(left, right)| same_places(left, right)));
            prop_assert_eq!(&decision.plan.stop, &again.plan.stop);
            let updated = |decision: &Decision| {
                decision.plan.update.iter().map(|it| (it.alloc_id.clone(), it.job_version)).collect::<Vec<_>>()
            };
            prop_assert_eq!(updated(&decision), updated(&again));
            prop_assert_eq!(&decision.desired_updates, &again.desired_updates);
            // `apply` panics if the plan check refuses any part.
            world.apply(&decision.plan);
            verify(&mut world, &decision);
            // Updates free capacity on their previous nodes, which may allow further placements. But the job settles
            // eventually, and at once if nothing failed.
            let mut last = decision;
            for round in 0.. {
                let next = world.decide();
                if next.plan_is_empty() {
                    break;
                }
                let failed = !last.eval.failed_groups.is_empty();
                prop_assert!(failed, "nothing failed, yet more changes: {:?}", next.plan);
                prop_assert!(round < 20, "it does not settle: {:?}", next.plan);
                world.apply(&next.plan);
                verify(&mut world, &next);
                last = next;
            }
        }
    }
}
