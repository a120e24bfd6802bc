//! Node registration and node status changes.

use super::*;

fn world() -> World {
    let mut world = World::new();
    world.accept(node_register(node(100, 100)));
    world
}

fn evals_of(world: &World, job_id: &str) -> Vec<Evaluation> {
    let evals = read::evals_of_job(&world.tables, "default", job_id).unwrap();
    evals.into_iter().filter(|eval| eval.triggered_by == "node-update").collect()
}

#[test]
fn a_new_node_is_ready_and_its_history_is_the_servers() {
    let mut world = World::new();
    let boastful =
        Node { events: vec![Default::default(); 99], status_description: "x".into(), ..node(100, 100) };
    let answer = world.answer(node_register(boastful));
    assert!(answer.created);
    let node = world.node(100);
    assert_eq!((NodeStatus::Ready, ""), (node.status(), node.status_description.as_str()));
    assert_eq!(
        vec!["Node registered"],
        node.events.iter().map(|event| event.message.as_str()).collect::<Vec<_>>()
    );
    assert_eq!((11, 11, 2_000), (node.create_index, node.modify_index, node.status_updated_at_ns));
    assert!(!node.computed_class.is_empty());
}

#[test]
fn a_known_node_must_prove_its_secret() {
    let mut world = world();
    let stranger = Node { secret_hash: vec![1; 32], ..node(100, 9999) };
    let text = "node secret ID does not match. Not registering node.".to_owned();
    assert_eq!((403, text), world.refused(node_register(stranger)));
    assert_eq!(Some(100), world.machine.view.capacity(&id(100)).map(|capacity| capacity.cpu_mhz));
    let nameless = Node { id: vec![1], ..node(100, 1) };
    assert_eq!(400, world.refused(node_register(nameless)).0);
}

#[test]
fn a_node_that_registers_again_keeps_what_operators_said_of_it() {
    let mut world = world();
    let answer = world.answer(node_register(Node { ineligible: true, ..node(100, 200) }));
    assert!(!answer.created);
    let node = world.node(100);
    assert_eq!(
        (false, 11, 12, 1),
        (node.ineligible, node.create_index, node.modify_index, node.events.len())
    );
    assert_eq!(Some(200), world.machine.view.capacity(&id(100)).map(|capacity| capacity.cpu_mhz));
}

#[test]
fn jobs_on_a_node_are_evaluated_once_each_when_it_goes_and_when_it_comes_back() {
    let mut world = world();
    for (number, job_id) in [(1, "a"), (2, "b"), (3, "idle")] {
        world.accept(registered(job_id, "{1}", number));
    }
    let place = vec![
        world.placement(50, "a", 100, 1),
        world.placement(51, "a", 100, 1),
        world.placement(52, "b", 100, 1),
    ];
    world.accept(plans(vec![plan(place)]));
    world.accept(report(52, ClientStatus::Complete));
    world.accept(node_status(100, NodeStatus::Down));
    assert_eq!(
        (1, 0, 0),
        (evals_of(&world, "a").len(), evals_of(&world, "b").len(), evals_of(&world, "idle").len())
    );
    let eval = &evals_of(&world, "a")[0];
    assert_eq!((id(100).to_vec(), world.index), (eval.node_id.clone(), eval.node_modify_index));
    assert_eq!(NodeStatus::Down, world.node(100).status());

    let before = world.state_rows();
    world.accept(node_status(100, NodeStatus::Down));
    world.accept(node_status(999, NodeStatus::Down));
    assert_eq!(before, world.state_rows(), "what is known changes nothing");

    world.accept(node_register(node(100, 100)));
    assert_eq!(2, evals_of(&world, "a").len());
    assert_eq!(NodeStatus::Ready, world.node(100).status());
    let messages: Vec<String> = world.node(100).events.into_iter().map(|event| event.message).collect();
    assert_eq!(vec!["Node registered", "Node heartbeat missed", "Node re-registered"], messages);
}

#[test]
fn a_job_is_evaluated_once_for_all_nodes_that_go_down_together() {
    let mut world = world();
    world.accept(node_register(node(101, 100)));
    for (number, job_id) in [(1, "a"), (2, "b")] {
        world.accept(registered(job_id, "{1}", number));
    }
    let place = vec![
        world.placement(50, "a", 100, 1),
        world.placement(51, "a", 101, 1),
        world.placement(52, "b", 101, 1),
    ];
    world.accept(plans(vec![plan(place)]));
    let change = |number| NodeStatusChange {
        node_id: id(number).to_vec(),
        status: NodeStatus::Down.into(),
        event_message: "Node heartbeat missed".into(),
    };
    let changes = vec![change(101), change(100)];
    world.accept(NodeStatusUpdate { changes, eval_seed: vec![8; 16] });
    for job_id in ["a", "b"] {
        let nodes: Vec<_> = evals_of(&world, job_id).into_iter().map(|eval| eval.node_id).collect();
        assert_eq!(vec![id(101).to_vec()], nodes, "{job_id}");
    }
}

#[test]
fn allocations_told_to_stop_and_those_of_purged_jobs_are_not_forgotten_on_a_dead_node() {
    let mut world = world();
    world.accept(registered("a", "{1}", 1));
    world.accept(registered("gone", "{1}", 2));
    let place = vec![world.placement(50, "a", 100, 1), world.placement(51, "gone", 100, 1)];
    world.accept(plans(vec![plan(place)]));
    world.accept(plans(vec![Plan { stop: vec![stop(50)], ..plan(Vec::new()) }]));
    world.accept(deregister("gone", true, 3));
    world.accept(node_status(100, NodeStatus::Down));
    assert_eq!((1, 1), (evals_of(&world, "a").len(), evals_of(&world, "gone").len()));
    assert_eq!("service", evals_of(&world, "gone")[0].r#type);
}

#[test]
fn ten_events_of_a_node_are_kept() {
    let mut world = world();
    for _ in 0..8 {
        world.accept(node_status(100, NodeStatus::Down));
        world.accept(node_status(100, NodeStatus::Ready));
    }
    let events = world.node(100).events;
    assert_eq!(10, events.len());
    assert_eq!(Some(world.index), events.last().map(|event| event.create_index));
}
