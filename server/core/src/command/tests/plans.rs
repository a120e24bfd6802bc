//! Plans: the parts that fit take effect, node by node; refused nodes are named.

use ordu_proto::command::{PlanApplied, PlanResult, PlanUpdate};

use super::*;

/// A job with an evaluation and two nodes of 100 MHz.
fn world() -> World {
    let mut world = World::new();
    world.accept(node_register(node(100, 100)));
    world.accept(node_register(node(101, 100)));
    world.accept(registered("a", "{1}", 1));
    world
}

fn results(outcome: Outcome) -> Vec<PlanResult> {
    outcome.answer::<PlanApplied>().expect("plans are answered as such").results
}

fn refused(node: u64) -> Vec<Vec<u8>> {
    vec![id(node).to_vec()]
}

#[test]
fn what_fits_is_placed_with_its_indexes_and_secondary_keys() {
    let mut world = world();
    let placed = results(world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 60)])])));
    assert_eq!(vec![PlanResult { refused_nodes: Vec::new(), placed: 1, ..Default::default() }], placed);
    let alloc = world.alloc(50);
    let index = world.index;
    assert_eq!((index, index, index), (alloc.create_index, alloc.modify_index, alloc.alloc_modify_index));
    let ids = |allocs: Vec<Allocation>| allocs.into_iter().map(|alloc| alloc.id).collect::<Vec<_>>();
    let only = vec![id(50).to_vec()];
    assert_eq!(only, ids(read::allocs_of_job(&world.tables, "default", "a").unwrap()));
    assert_eq!(only, ids(read::allocs_of_node(&world.tables, &id(100)).unwrap()));
    assert_eq!(only, ids(read::allocs_of_eval(&world.tables, &id(1)).unwrap()));
    assert_eq!((60, 0), (world.used_cpu_mhz(100), world.used_cpu_mhz(101)));
    assert_eq!(("running".to_owned(), 1), (world.status("a"), world.group("a").starting));
}

#[test]
fn a_node_s_part_that_does_not_fit_is_refused_whole_and_the_others_take_effect() {
    let mut world = world();
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 60)])]));
    let mixed = Plan {
        stop: vec![stop(50)],
        ..plan(vec![world.placement(51, "a", 100, 101), world.placement(52, "a", 101, 60)])
    };
    assert_eq!(
        vec![PlanResult { refused_nodes: refused(100), placed: 1, ..Default::default() }],
        results(world.accept(plans(vec![mixed])))
    );
    assert_eq!(DesiredStatus::Run, world.alloc(50).desired_status(), "what was to replace it did not come");
    assert!(!world.has_alloc(51) && world.has_alloc(52));
    assert_eq!((60, 60), (world.used_cpu_mhz(100), world.used_cpu_mhz(101)));
}

#[test]
fn an_all_at_once_plan_takes_effect_whole_or_not_at_all() {
    let mut world = world();
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 101, 60)])]));
    let before = world.state_rows();
    let whole = Plan {
        all_at_once: true,
        stop: vec![stop(50)],
        ..plan(vec![world.placement(51, "a", 100, 101), world.placement(52, "a", 101, 60)])
    };
    let both = vec![id(100).to_vec(), id(101).to_vec()];
    let answer = results(world.accept(plans(vec![whole.clone()])));
    assert_eq!(vec![PlanResult { refused_nodes: both, placed: 0, ..Default::default() }], answer);
    assert_eq!(before, world.state_rows());
    let fits = Plan { place: vec![world.placement(52, "a", 101, 60)], ..whole };
    assert_eq!(1, results(world.accept(plans(vec![fits])))[0].placed);
}

#[test]
fn a_stop_frees_room_for_its_own_plan_and_for_the_next_in_the_entry() {
    let mut world = world();
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 100)])]));
    let swap = Plan { stop: vec![stop(50)], ..plan(vec![world.placement(51, "a", 100, 70)]) };
    let next = plan(vec![world.placement(52, "a", 100, 30)]);
    let over = plan(vec![world.placement(53, "a", 100, 1)]);
    let answer = results(world.accept(plans(vec![swap, next, over])));
    assert_eq!(vec![1, 1, 0], answer.iter().map(|result| result.placed).collect::<Vec<_>>());
    assert_eq!(refused(100), answer[2].refused_nodes);
    assert_eq!(100, world.used_cpu_mhz(100));
    assert_eq!(DesiredStatus::Stop, world.alloc(50).desired_status());
}

#[test]
fn what_one_plan_stopped_another_in_the_entry_does_not_give_back_again() {
    let mut world = world();
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 100)])]));
    let first = Plan { stop: vec![stop(50)], ..plan(vec![world.placement(51, "a", 100, 100)]) };
    let second = Plan { stop: vec![stop(50)], ..plan(vec![world.placement(52, "a", 100, 100)]) };
    let answer = results(world.accept(plans(vec![first, second])));
    assert_eq!(vec![1, 0], answer.iter().map(|result| result.placed).collect::<Vec<_>>());
    assert_eq!(100, world.used_cpu_mhz(100));
}

#[test]
fn a_port_is_given_once() {
    let mut world = world();
    let with_port = |number: u64| {
        let mut alloc = world.placement(number, "a", 100, 1);
        alloc.resources.as_mut().unwrap().ports.push(port(8080));
        plan(vec![alloc])
    };
    let both = plans(vec![with_port(50), with_port(51)]);
    let answer = results(world.accept(both));
    assert_eq!(vec![1, 0], answer.iter().map(|result| result.placed).collect::<Vec<_>>());
}

#[test]
fn nodes_that_are_gone_or_down_take_nothing() {
    let mut world = world();
    world.accept(node_status(101, NodeStatus::Down));
    for node in [101, 102] {
        let answer = results(world.accept(plans(vec![plan(vec![world.placement(50, "a", node, 1)])])));
        assert_eq!(
            vec![PlanResult { refused_nodes: refused(node), placed: 0, ..Default::default() }],
            answer
        );
    }
}

#[test]
fn a_plan_that_is_proposed_twice_is_counted_once() {
    let mut world = world();
    let command = plans(vec![plan(vec![world.placement(50, "a", 100, 60)])]);
    world.accept(command.clone());
    world.accept(report(50, ClientStatus::Running));
    let alloc = world.alloc(50);
    assert_eq!(0, results(world.accept(command))[0].placed);
    assert_eq!(alloc, world.alloc(50));
    assert_eq!((60, 1, 0), (world.used_cpu_mhz(100), world.group("a").running, world.group("a").starting));
    let place = vec![world.placement(51, "a", 100, 10), world.placement(51, "a", 100, 10)];
    assert_eq!(1, results(world.accept(plans(vec![plan(place)])))[0].placed);
    assert_eq!(70, world.used_cpu_mhz(100));
}

#[test]
fn a_plan_of_a_job_that_was_purged_meanwhile_takes_no_effect() {
    let mut world = world();
    let place = vec![world.placement(50, "a", 100, 60)];
    world.accept(deregister("a", true, 2));
    let answer = results(world.accept(plans(vec![plan(place)])));
    assert_eq!(vec![PlanResult { refused_nodes: refused(100), placed: 0, ..Default::default() }], answer);
    assert!(!world.has_alloc(50));
}

#[test]
fn an_update_moves_the_version_the_resources_and_the_evaluation() {
    let mut world = world();
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 60)])]));
    world.accept(registered("a", "{2}", 2));
    let resources = world.placement(9, "a", 100, 90).resources;
    let update = PlanUpdate {
        alloc_id: id(50).to_vec(),
        job_version: 1,
        eval_id: id(2).to_vec(),
        resources,
        ..Default::default()
    };
    world.accept(plans(vec![Plan { update: vec![update.clone()], ..plan(Vec::new()) }]));
    let alloc = world.alloc(50);
    assert_eq!(
        (1, id(2).to_vec(), world.index),
        (alloc.job_version, alloc.eval_id, alloc.alloc_modify_index)
    );
    assert_eq!(90, world.used_cpu_mhz(100));
    assert!(read::allocs_of_eval(&world.tables, &id(1)).unwrap().is_empty());
    assert_eq!(1, read::allocs_of_eval(&world.tables, &id(2)).unwrap().len());
    let too_much = PlanUpdate { resources: world.placement(9, "a", 100, 101).resources, ..update };
    let answer = results(world.accept(plans(vec![Plan { update: vec![too_much], ..plan(Vec::new()) }])));
    assert_eq!(refused(100), answer[0].refused_nodes);
    assert_eq!(90, world.used_cpu_mhz(100));
}

#[test]
fn a_replacement_is_linked_with_what_it_replaces() {
    let mut world = world();
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 60)])]));
    let lost = PlanStop { client_status: ClientStatus::Lost.into(), ..stop(50) };
    let next = Allocation { previous_allocation: id(50).to_vec(), ..world.placement(51, "a", 101, 60) };
    world.accept(plans(vec![Plan { stop: vec![lost], ..plan(vec![next]) }]));
    let previous = world.alloc(50);
    assert_eq!((ClientStatus::Lost, id(51).to_vec()), (previous.client_status(), previous.next_allocation));
    assert_eq!((1, 1), (world.group("a").lost, world.group("a").starting));
    assert_eq!((0, 60), (world.used_cpu_mhz(100), world.used_cpu_mhz(101)));
}

#[test]
fn what_a_node_said_last_stands_against_a_plan_that_thinks_it_lost() {
    let mut world = world();
    world.accept(plans(vec![plan(vec![world.placement(50, "a", 100, 60)])]));
    world.accept(report(50, ClientStatus::Complete));
    let lost = PlanStop { client_status: ClientStatus::Lost.into(), ..stop(50) };
    world.accept(plans(vec![Plan { stop: vec![lost], ..plan(Vec::new()) }]));
    assert_eq!(ClientStatus::Complete, world.alloc(50).client_status());
    assert_eq!((1, 0), (world.group("a").complete, world.group("a").lost));
}

#[test]
fn an_allocation_s_id_has_sixteen_bytes() {
    let mut world = world();
    let place = vec![
        world.placement(50, "a", 100, 1),
        Allocation { id: vec![1], ..world.placement(51, "a", 100, 1) },
    ];
    let refusal = world.refused(plans(vec![plan(place)]));
    assert_eq!((500, "an allocation's id has sixteen bytes".to_owned()), refusal);
    assert_eq!(0, world.used_cpu_mhz(100));
}
