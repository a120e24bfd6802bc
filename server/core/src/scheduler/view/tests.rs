//! Compares the view with a plain model of the same nodes and allocations.

use std::collections::BTreeMap;

use ordu_proto::state::{
    AllocatedResources, AllocatedTaskResources, Allocation, ClientStatus, DesiredStatus, DriverInfo, Node,
    NodeResources, NodeStatus, Port,
};
use proptest::prelude::*;

use super::*;

fn id(number: u16) -> Vec<u8> {
    let mut id = vec![0; 16];
    id[14..].copy_from_slice(&number.to_be_bytes());
    id
}

fn node(number: u16) -> Node {
    let resources = NodeResources { cpu_mhz: 4000, memory_mb: 8000, disk_mb: 50_000, ..Default::default() };
    let mut node =
        Node { id: id(number), datacenter: "dc1".into(), resources: Some(resources), ..Default::default() };
    node.set_status(NodeStatus::Ready);
    node
}

fn alloc(number: u16, on: u16, cpu_mhz: i64, ports: &[u16]) -> Allocation {
    let task = AllocatedTaskResources { cpu_mhz, memory_mb: 2 * cpu_mhz, ..Default::default() };
    let ports = ports.iter().map(|&port| Port { value: port.into(), ..Default::default() }).collect();
    let resources =
        AllocatedResources { tasks: [("t".into(), task)].into(), disk_mb: 10, ports, ..Default::default() };
    let mut alloc =
        Allocation { id: id(number), node_id: id(on), resources: Some(resources), ..Default::default() };
    alloc.set_desired_status(DesiredStatus::Run);
    alloc
}

fn used(view: &ClusterView, on: u16) -> (i64, Vec<u16>, u32) {
    view.used(&id(on)).map_or((0, Vec::new(), 0), |(usage, live)| (usage.cpu_mhz, usage.ports, live))
}

#[test]
fn capacity_is_what_the_node_has_less_what_it_reserves() {
    let mut view = ClusterView::new();
    let reserved = NodeResources { cpu_mhz: 500, memory_mb: 9000, ..Default::default() };
    view.node_upserted(&Node { reserved: Some(reserved), ..node(1) });
    let capacity = view.capacity(&id(1)).expect("the node is there");
    assert_eq!((capacity.cpu_mhz, capacity.memory_mb, capacity.disk_mb), (3500, 0, 50_000));
}

#[test]
fn a_driver_is_lacking_where_there_are_nodes_and_none_has_it_in_health() {
    let mut view = ClusterView::new();
    let of = |number, driver: &str, healthy| {
        let info = DriverInfo { detected: true, healthy, ..Default::default() };
        Node { drivers: [(driver.to_owned(), info)].into(), computed_class: String::new(), ..node(number) }
    };
    assert!(!view.lacks_driver("exec"), "there are no nodes");
    view.node_upserted(&of(1, "exec", false));
    assert!(view.lacks_driver("exec"));
    view.node_upserted(&of(1, "exec", true));
    view.node_upserted(&of(2, "exec", true));
    view.node_removed(&id(1));
    assert!(!view.lacks_driver("exec") && view.lacks_driver("docker"));
    view.node_upserted(&of(2, "docker", true));
    assert!(view.lacks_driver("exec") && !view.lacks_driver("docker"));
}

type NodeChange = fn(&mut Node);

#[test]
fn a_node_takes_allocations_only_while_ready_and_eligible() {
    let cases: [(&str, NodeChange, NodeCondition); 5] = [
        ("ready", |_| {}, NodeCondition::Open),
        ("initializing", |node| node.set_status(NodeStatus::Initializing), NodeCondition::Closed),
        ("ineligible", |node| node.ineligible = true, NodeCondition::Closed),
        ("draining", |node| node.drain = true, NodeCondition::Closed),
        ("down", |node| node.set_status(NodeStatus::Down), NodeCondition::Down),
    ];
    let mut view = ClusterView::new();
    for (name, change, expected) in cases {
        let mut changed = node(1);
        change(&mut changed);
        view.node_upserted(&changed);
        assert_eq!(view.condition(&id(1)), expected, "{name}");
    }
    view.node_removed(&id(1));
    assert_eq!(view.condition(&id(1)), NodeCondition::Unknown);
    assert_eq!(view.node_count(), 0);
}

#[test]
fn an_allocation_stops_counting_when_the_servers_stop_it_or_it_ends() {
    let mut view = ClusterView::new();
    view.node_upserted(&node(1));
    let running = alloc(1, 1, 100, &[8080]);
    view.alloc_changed(None, Some(&running));
    assert_eq!(used(&view, 1), (100, vec![8080], 1));
    let mut stopping = running.clone();
    stopping.set_desired_status(DesiredStatus::Stop);
    view.alloc_changed(Some(&running), Some(&stopping));
    assert_eq!(used(&view, 1), (0, vec![], 0));
    let mut stopped = stopping.clone();
    stopped.set_client_status(ClientStatus::Complete);
    view.alloc_changed(Some(&stopping), Some(&stopped));
    view.alloc_changed(Some(&stopped), None);
    assert_eq!(used(&view, 1), (0, vec![], 0));
}

#[test]
fn use_of_a_node_that_is_gone_or_not_yet_there_is_remembered() {
    let mut view = ClusterView::new();
    let held = alloc(1, 1, 100, &[]);
    view.alloc_changed(None, Some(&held));
    view.node_upserted(&node(1));
    assert_eq!(used(&view, 1).0, 100);
    view.node_removed(&id(1));
    view.node_upserted(&node(1));
    assert_eq!(used(&view, 1).0, 100);
    view.node_removed(&id(1));
    view.alloc_changed(Some(&held), None);
    assert!(view.used(&id(1)).is_none(), "nothing is left of the node");
}

#[test]
fn a_snapshot_and_its_view_do_not_see_each_others_changes() {
    let mut view = ClusterView::new();
    view.node_upserted(&node(1));
    let mut snapshot = view.snapshot();
    view.alloc_changed(None, Some(&alloc(1, 1, 100, &[1])));
    snapshot.alloc_changed(None, Some(&alloc(2, 1, 7, &[2])));
    view.node_upserted(&node(2));
    assert_eq!(used(&view, 1), (100, vec![1], 1));
    assert_eq!(used(&snapshot, 1), (7, vec![2], 1));
    assert_eq!((view.node_count(), snapshot.node_count()), (2, 1));
}

#[test]
fn classes_are_forgotten_with_their_last_node() {
    let mut view = ClusterView::new();
    for round in 0..50 {
        let mut changed = node(1);
        changed.meta.insert("round".into(), round.to_string());
        view.node_upserted(&changed);
    }
    assert!(view.classes.table_len() <= 2, "one class lives, one joins before it leaves");
}

#[test]
fn rows_with_ids_that_are_not_sixteen_bytes_change_nothing() {
    let mut view = ClusterView::new();
    view.node_upserted(&Node { id: vec![1; 3], ..node(1) });
    view.alloc_changed(None, Some(&Allocation { node_id: vec![], ..alloc(1, 1, 1, &[]) }));
    assert_eq!(view.node_count(), 0);
    assert!(view.slots.is_empty());
}

#[derive(Clone, Debug)]
enum Event {
    Node(u16),
    NodeGone(u16),
    Alloc(u16, u16, i64, Vec<u16>, bool),
    AllocGone(u16),
}

fn event() -> impl Strategy<Value = Event> {
    let on = 0..600_u16;
    let ports = proptest::collection::btree_set(1_u16..5, 0..3).prop_map(|ports| ports.into_iter().collect());
    prop_oneof![
        on.clone().prop_map(Event::Node),
        on.clone().prop_map(Event::NodeGone),
        (0..40_u16, on, 0..1000_i64, ports, any::<bool>())
            .prop_map(|(number, on, cpu, ports, live)| Event::Alloc(number, on, cpu, ports, live)),
        (0..40_u16).prop_map(Event::AllocGone),
    ]
}

proptest! {
    #[test]
    fn the_view_equals_the_sum_of_the_live_allocations(events in proptest::collection::vec(event(), 0..300)) {
        let mut view = ClusterView::new();
        let mut rows: BTreeMap<u16, Allocation> = BTreeMap::new();
        let mut nodes = std::collections::BTreeSet::new();
        for event in events {
            match event {
                Event::Node(number) => {
                    nodes.insert(number);
                    view.node_upserted(&node(number));
                }
                Event::NodeGone(number) => {
                    nodes.remove(&number);
                    view.node_removed(&id(number));
                }
                Event::Alloc(number, on, cpu, ports, live) => {
                    let mut row = alloc(number, on, cpu, &ports);
                    if !live {
                        row.set_client_status(ClientStatus::Failed);
                    }
                    view.alloc_changed(rows.get(&number), Some(&row));
                    rows.insert(number, row);
                }
                Event::AllocGone(number) => view.alloc_changed(rows.remove(&number).as_ref(), None),
            }
        }
        prop_assert_eq!(view.node_count(), nodes.len());
        let mut rebuilt = ClusterView::new();
        nodes.iter().for_each(|&number| rebuilt.node_upserted(&node(number)));
        rows.values().for_each(|row| rebuilt.alloc_changed(None, Some(row)));
        for on in 0..600 {
            let live = rows.values().filter(|row| row.node_id == id(on) && !is_terminal(row));
            let cpu: i64 = live.clone().map(|row| Usage::of(row.resources.as_ref()).cpu_mhz).sum();
            prop_assert_eq!(used(&view, on).0, cpu);
            prop_assert_eq!(used(&view, on).2 as usize, live.count());
            prop_assert_eq!(used(&view, on), used(&rebuilt, on));
            prop_assert_eq!(view.condition(&id(on)), rebuilt.condition(&id(on)));
        }
    }
}
