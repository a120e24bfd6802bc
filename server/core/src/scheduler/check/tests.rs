//! Which plans fit, for each node and across several plans.

use std::collections::BTreeMap;

use ordu_proto::command::{PlanStop, PlanUpdate};
use ordu_proto::state::{
    AllocatedResources, AllocatedTaskResources, DesiredStatus, NetworkResource, Node, NodeResources,
    NodeStatus, Port,
};

use super::*;

fn id(number: u8) -> Vec<u8> {
    vec![number; 16]
}

fn ports(values: &[i32]) -> Vec<Port> {
    values.iter().map(|&value| Port { value, ..Default::default() }).collect()
}

/// Returns a node with 1000 MHz, 1000 MB of memory and 1000 MB of disk that reserves port 22.
fn node(number: u8) -> Node {
    let own = NetworkResource { reserved_ports: ports(&[22]), ..Default::default() };
    let mut node = Node {
        id: id(number),
        resources: Some(NodeResources {
            cpu_mhz: 1000,
            memory_mb: 1000,
            disk_mb: 1000,
            ..Default::default()
        }),
        reserved: Some(NodeResources { networks: vec![own], ..Default::default() }),
        ..Default::default()
    };
    node.set_status(NodeStatus::Ready);
    node
}

fn resources(cpu_mhz: i64, memory_mb: i64, disk_mb: i64, held: &[i32]) -> AllocatedResources {
    let task = AllocatedTaskResources { cpu_mhz, memory_mb, ..Default::default() };
    AllocatedResources {
        tasks: [("t".into(), task)].into(),
        disk_mb,
        ports: ports(held),
        ..Default::default()
    }
}

fn alloc(number: u8, on: u8, resources: AllocatedResources) -> Allocation {
    let mut alloc =
        Allocation { id: id(number), node_id: id(on), resources: Some(resources), ..Default::default() };
    alloc.set_desired_status(DesiredStatus::Run);
    alloc
}

fn stop(number: u8) -> PlanStop {
    PlanStop { alloc_id: id(number), ..Default::default() }
}

fn update(number: u8, resources: AllocatedResources) -> PlanUpdate {
    PlanUpdate { alloc_id: id(number), resources: Some(resources), ..Default::default() }
}

/// Two nodes. Allocation 1 holds 600 of each resource and port 80 of node 1.
struct World {
    view: ClusterView,
    rows: BTreeMap<Vec<u8>, Allocation>,
}

impl World {
    fn new() -> World {
        let held = alloc(1, 1, resources(600, 600, 600, &[80]));
        let mut view = ClusterView::new();
        view.node_upserted(&node(1));
        view.node_upserted(&node(2));
        view.alloc_changed(None, Some(&held));
        World { view, rows: [(held.id.clone(), held)].into() }
    }

    fn check(&self, plan: &Plan) -> BTreeMap<Vec<u8>, RefusalReason> {
        PlanCheck::new(&self.view).verdict(plan, &mut |id| self.rows.get(id).cloned()).refused
    }
}

#[test]
fn a_part_is_refused_for_the_first_thing_that_does_not_fit() {
    let cases = [
        ("fits to the last unit", resources(400, 400, 400, &[81]), None),
        ("cpu", resources(401, 400, 400, &[]), Some(RefusalReason::Cpu)),
        ("memory", resources(400, 401, 400, &[]), Some(RefusalReason::Memory)),
        ("disk", resources(400, 400, 401, &[]), Some(RefusalReason::Disk)),
        ("port of another allocation", resources(1, 1, 1, &[80]), Some(RefusalReason::Port)),
        ("port that the node reserves", resources(1, 1, 1, &[22]), Some(RefusalReason::Port)),
    ];
    for (name, ask, expected) in cases {
        let plan = Plan { place: vec![alloc(9, 1, ask)], ..Default::default() };
        assert_eq!(World::new().check(&plan).get(&id(1)).copied(), expected, "{name}");
    }
}

#[test]
fn two_placements_of_one_plan_do_not_share_a_port() {
    let ask = || resources(1, 1, 1, &[7000]);
    let plan = Plan { place: vec![alloc(8, 2, ask()), alloc(9, 2, ask())], ..Default::default() };
    assert_eq!(World::new().check(&plan), [(id(2), RefusalReason::Port)].into());
}

#[test]
fn what_a_plan_stops_makes_room_for_what_it_places() {
    let plan = Plan {
        stop: vec![stop(1)],
        place: vec![alloc(9, 1, resources(1000, 1000, 1000, &[80]))],
        ..Default::default()
    };
    assert!(World::new().check(&plan).is_empty());
}

#[test]
fn a_stop_named_twice_makes_room_once() {
    let plan = Plan {
        stop: vec![stop(1), stop(1)],
        place: vec![alloc(9, 1, resources(1001, 1, 1, &[]))],
        ..Default::default()
    };
    assert_eq!(World::new().check(&plan), [(id(1), RefusalReason::Cpu)].into());
}

#[test]
fn a_stop_of_a_terminal_allocation_makes_no_room() {
    let mut world = World::new();
    let ended = world.rows.get_mut(&id(1)).expect("it is there");
    let before = ended.clone();
    ended.set_desired_status(DesiredStatus::Stop);
    world.view.alloc_changed(Some(&before), Some(ended));
    let plan = Plan {
        stop: vec![stop(1)],
        place: vec![alloc(9, 1, resources(1001, 1, 1, &[]))],
        ..Default::default()
    };
    assert_eq!(world.check(&plan), [(id(1), RefusalReason::Cpu)].into());
}

type ViewChange = fn(&mut ClusterView);

#[test]
fn only_nodes_that_are_open_take_new_allocations() {
    let cases: [(&str, ViewChange, Option<RefusalReason>); 4] = [
        ("open", |_| {}, None),
        (
            "ineligible",
            |view| view.node_upserted(&Node { ineligible: true, ..node(1) }),
            Some(RefusalReason::NodeClosed),
        ),
        (
            "down",
            |view| {
                let mut down = node(1);
                down.set_status(NodeStatus::Down);
                view.node_upserted(&down);
            },
            Some(RefusalReason::NodeClosed),
        ),
        ("gone", |view| view.node_removed(&id(1)), Some(RefusalReason::NodeUnknown)),
    ];
    for (name, change, expected) in cases {
        let mut world = World::new();
        change(&mut world.view);
        let place = Plan { place: vec![alloc(9, 1, resources(1, 1, 1, &[]))], ..Default::default() };
        assert_eq!(world.check(&place).get(&id(1)).copied(), expected, "place: {name}");
        let stops = Plan { stop: vec![stop(1)], ..Default::default() };
        assert!(world.check(&stops).is_empty(), "stop: {name}");
    }
}

#[test]
fn an_update_in_place_stays_on_a_node_that_takes_nothing_new() {
    let mut world = World::new();
    world.view.node_upserted(&Node { ineligible: true, ..node(1) });
    let same = Plan { update: vec![update(1, resources(600, 600, 600, &[80]))], ..Default::default() };
    assert!(world.check(&same).is_empty());
    let mut small = node(1);
    small.resources = Some(NodeResources { cpu_mhz: 10, memory_mb: 10, disk_mb: 10, ..Default::default() });
    world.view.node_upserted(&small);
    assert!(world.check(&same).is_empty(), "it is as full as it was");
    let more = Plan { update: vec![update(1, resources(601, 600, 600, &[80]))], ..Default::default() };
    assert_eq!(world.check(&more), [(id(1), RefusalReason::Cpu)].into());
}

#[test]
fn other_nodes_parts_take_effect_unless_all_must() {
    let place = vec![alloc(8, 1, resources(900, 1, 1, &[])), alloc(9, 2, resources(900, 1, 1, &[]))];
    let mut plan = Plan { place, ..Default::default() };
    assert_eq!(World::new().check(&plan), [(id(1), RefusalReason::Cpu)].into());
    plan.all_at_once = true;
    let expected = [(id(1), RefusalReason::Cpu), (id(2), RefusalReason::AllAtOnce)];
    assert_eq!(World::new().check(&plan), expected.into());
}

#[test]
fn plans_of_one_entry_count_those_before_them() {
    let world = World::new();
    let mut lookup = |id: &[u8]| world.rows.get(id).cloned();
    let mut check = PlanCheck::new(&world.view);
    let place = |number, on, cpu, held: &[i32]| Plan {
        place: vec![alloc(number, on, resources(cpu, 1, 1, held))],
        ..Default::default()
    };
    assert!(check.check(&place(2, 2, 700, &[9000]), &mut lookup).is_empty());
    assert_eq!(check.check(&place(3, 2, 301, &[]), &mut lookup), [id(2)].into(), "the first took 700");
    assert_eq!(check.check(&place(4, 2, 1, &[9000]), &mut lookup), [id(2)].into(), "the first took the port");
    assert!(check.check(&place(5, 2, 300, &[]), &mut lookup).is_empty(), "what was refused took nothing");
    let stopping = Plan { stop: vec![stop(1)], ..Default::default() };
    assert!(check.check(&stopping, &mut lookup).is_empty());
    assert!(check.check(&place(6, 1, 1000, &[80]), &mut lookup).is_empty(), "the stop made room");
    let again = Plan { stop: vec![stop(1)], ..place(7, 1, 1, &[]) };
    assert_eq!(check.check(&again, &mut lookup), [id(1)].into(), "but only once");
}

#[test]
fn a_refused_all_at_once_plan_takes_no_room() {
    let world = World::new();
    let mut lookup = |id: &[u8]| world.rows.get(id).cloned();
    let mut check = PlanCheck::new(&world.view);
    let place = vec![alloc(8, 1, resources(900, 1, 1, &[])), alloc(9, 2, resources(900, 1, 1, &[]))];
    check.check(&Plan { place, all_at_once: true, ..Default::default() }, &mut lookup);
    let next = Plan { place: vec![alloc(7, 2, resources(1000, 1, 1, &[]))], ..Default::default() };
    assert!(check.check(&next, &mut lookup).is_empty());
}

#[test]
fn the_accepted_part_holds_no_stop_update_or_placement_on_a_refused_node() {
    let world = World::new();
    let plan = Plan {
        stop: vec![stop(1)],
        update: vec![update(1, resources(600, 600, 600, &[80]))],
        place: vec![alloc(8, 1, resources(2000, 1, 1, &[])), alloc(9, 2, resources(1, 1, 1, &[]))],
        ..Default::default()
    };
    let mut lookup = |id: &[u8]| world.rows.get(id).cloned();
    let verdict = PlanCheck::new(&world.view).verdict(&plan, &mut lookup);
    let accepted = accepted_part(plan, &verdict, &mut lookup);
    assert!(accepted.stop.is_empty() && accepted.update.is_empty());
    assert_eq!(accepted.place.len(), 1);
    assert_eq!(accepted.place[0].node_id, id(2));
}

#[test]
fn what_is_left_of_a_refused_plan_has_its_deployments_unless_it_takes_effect_whole_or_not_at_all() {
    let world = World::new();
    for all_at_once in [false, true] {
        let plan = Plan {
            place: vec![alloc(8, 1, resources(2000, 1, 1, &[]))],
            deployment: Some(Default::default()),
            deployment_updates: vec![Default::default()],
            all_at_once,
            ..Default::default()
        };
        let mut lookup = |id: &[u8]| world.rows.get(id).cloned();
        let verdict = PlanCheck::new(&world.view).verdict(&plan, &mut lookup);
        let accepted = accepted_part(plan, &verdict, &mut lookup);
        assert!(accepted.place.is_empty());
        assert_eq!(all_at_once, crate::scheduler::plan_is_empty(&accepted));
    }
}
