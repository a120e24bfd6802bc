//! Choice of nodes and placement metrics.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::api::job::{Affinity, TaskGroup};
use ordu_proto::state::{
    AllocMetric, Allocation, ClientStatus, DriverInfo, NetworkResource, Node, NodeResources, Port,
};
use proptest::prelude::*;

use super::score::{Score, binpack};
use crate::scheduler::Usage;
use crate::scheduler::testing::{World, constraint, group, id, node, ports};
use crate::scheduler::view::{Capacity, ClusterView};

fn failure(world: &mut World) -> AllocMetric {
    world.decide().eval.failed_groups["g"].clone()
}

fn counts(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
    pairs.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
}

fn constrained(nodes: u64, left: &str, operand: &str, right: &str) -> World {
    let mut wanted = group("g", 1, 100, 100);
    wanted.constraints = vec![constraint(left, operand, right)];
    World::new(nodes, "service").with_groups(vec![wanted])
}

#[test]
fn a_constraint_is_named_once_a_class_and_the_class_for_its_other_nodes() {
    let mut world = constrained(3, "${meta.nowhere}", "=", "x");
    world.change_node(3, |node| node.node_class = "big".into());
    let metric = failure(&mut world);
    assert_eq!((metric.nodes_evaluated, metric.nodes_filtered, metric.nodes_exhausted), (3, 3, 0));
    let expected = counts(&[("${meta.nowhere} = x", 2), ("computed class ineligible", 1)]);
    assert_eq!(metric.constraint_filtered, expected);
    assert_eq!(metric.class_filtered, counts(&[("big", 1)]));
    assert_eq!(metric.nodes_available, counts(&[("dc1", 3)]));
}

#[test]
fn what_is_unique_to_nodes_is_asked_of_each() {
    let mut world = constrained(5, "${node.unique.name}", "=", "node-4");
    let decision = world.settle();
    assert_eq!(world.live("g")[0].node_id, id(4));
    assert!(decision.eligibility.escaped);
    let metric = decision.plan.place[0].metrics.clone().unwrap();
    assert_eq!(metric.constraint_filtered, counts(&[("${node.unique.name} = node-4", 4)]));
}

#[test]
fn drivers_must_be_detected_and_healthy() {
    let states = [(true, true, true), (true, false, false), (false, false, false)];
    for (detected, healthy, feasible) in states {
        let mut world = World::new(1, "service").with_groups(vec![group("g", 1, 100, 100)]);
        let driver = DriverInfo { detected, healthy, ..Default::default() };
        world.change_node(1, |node| drop(node.drivers.insert("raw_exec".into(), driver)));
        let decision = world.decide();
        assert_eq!(decision.plan.place.len() == 1, feasible);
        if !feasible {
            let metric = &decision.eval.failed_groups["g"];
            assert_eq!(metric.constraint_filtered, counts(&[("missing drivers", 1)]));
        }
    }
}

#[test]
fn a_node_is_exhausted_in_the_first_dimension_that_is_short() {
    let cases = [
        (group("g", 1, 4001, 9000), "cpu"),
        (group("g", 1, 4000, 8001), "memory"),
        (TaskGroup { ephemeral_disk: None, ..group("g", 1, 100, 100) }, "disk"),
    ];
    for (wanted, dimension) in cases {
        let mut world = World::new(2, "service").with_groups(vec![wanted]);
        for number in 1..=2 {
            world.change_node(number, |node| {
                node.node_class = "big".into();
                node.resources.as_mut().unwrap().disk_mb = 299;
            });
        }
        let metric = failure(&mut world);
        assert_eq!((metric.nodes_evaluated, metric.nodes_exhausted), (2, 2));
        assert_eq!(metric.dimension_exhausted, counts(&[(dimension, 2)]));
        assert_eq!(metric.class_exhausted, counts(&[("big", 2)]));
    }
}

#[test]
fn nodes_elsewhere_or_closed_are_not_looked_at() {
    let mut world = World::new(3, "service").with_groups(vec![group("g", 1, 100, 100)]);
    world.change_node(1, |node| node.datacenter = "dc2".into());
    world.change_node(2, |node| node.ineligible = true);
    world.change_node(3, |node| node.set_status(ordu_proto::state::NodeStatus::Initializing));
    let metric = failure(&mut world);
    assert_eq!((metric.nodes_evaluated, metric.nodes_filtered), (0, 0));
    assert_eq!(metric.nodes_available, counts(&[("dc1", 0)]));
}

#[test]
fn distinct_hosts_keeps_a_group_or_the_whole_job_apart() {
    for of_job in [false, true] {
        let mut world = World::new(3, "service").with_groups(vec![group("g", 2, 1, 1), group("h", 2, 1, 1)]);
        let rule = constraint("", "distinct_hosts", "true");
        if of_job {
            world.spec.constraints = vec![rule];
        } else {
            world.spec.task_groups.iter_mut().for_each(|group| group.constraints = vec![rule.clone()]);
        }
        let decision = world.settle();
        let hosts = |world: &World, group| -> BTreeSet<Vec<u8>> {
            world.live(group).iter().map(|alloc| alloc.node_id.clone()).collect()
        };
        assert_eq!(hosts(&world, "g").len(), 2);
        if of_job {
            assert_eq!(hosts(&world, "h").len(), 1, "three nodes, four wanted");
            assert!(hosts(&world, "g").is_disjoint(&hosts(&world, "h")));
            let metric = &decision.eval.failed_groups["h"];
            assert_eq!(metric.constraint_filtered, counts(&[("distinct_hosts", 3)]));
        } else {
            assert_eq!(hosts(&world, "h").len(), 2);
        }
    }
}

#[test]
fn distinct_property_allows_so_many_for_each_value() {
    let mut wanted = group("g", 10, 1, 1);
    wanted.constraints = vec![constraint("${meta.rack}", "distinct_property", "2")];
    let mut world = World::new(5, "service").with_groups(vec![wanted]);
    for number in 1..=4 {
        world.change_node(number, |node| drop(node.meta.insert("rack".into(), format!("r{}", number % 2))));
    }
    let decision = world.settle();
    assert_eq!(world.live("g").len(), 4);
    let metric = &decision.eval.failed_groups["g"];
    let expected = counts(&[
        ("distinct_property: ${meta.rack}=r0 used by 2 allocs", 2),
        ("distinct_property: ${meta.rack}=r1 used by 2 allocs", 2),
        ("missing property \"${meta.rack}\"", 1),
    ]);
    assert_eq!(metric.constraint_filtered, expected);
    world.change_job(|_, spec| drop(spec.task_groups[0].tasks[0].env.insert("K".into(), "v".into())));
    let update = world.settle();
    assert_eq!(update.plan.place.len(), 4, "each takes the place that it frees");
}

#[test]
fn affinities_draw_and_repel() {
    for (weight, expected) in [(100, true), (-100, false)] {
        let mut wanted = group("g", 1, 100, 100);
        let left = "${node.unique.name}".to_owned();
        wanted.affinities =
            vec![Affinity { left, right: "node-2".into(), operand: "=".into(), weight: Some(weight) }];
        let mut world = World::new(2, "service").with_groups(vec![wanted]);
        // Without the affinity, the other node would be chosen.
        world.change_node(2, |node| {
            node.resources.as_mut().unwrap().cpu_mhz = if expected { 9000 } else { 500 }
        });
        let decision = world.settle();
        assert_eq!(world.live("g")[0].node_id == id(2), expected);
        let metric = decision.plan.place[0].metrics.as_ref().unwrap();
        let of_node_2 = metric.scores.iter().find(|score| score.node_id == id(2)).unwrap();
        assert_eq!(of_node_2.scores["node-affinity"], f64::from(weight) / 100.0);
    }
}

#[test]
fn a_node_where_the_last_attempt_failed_is_not_the_first_choice() {
    let mut world = World::new(2, "service").with_groups(vec![group("g", 1, 2000, 2000)]);
    world.settle();
    let first = world.live("g")[0].clone();
    world.set_client_status(&first.id, ClientStatus::Failed);
    world.change_job(|_, spec| drop(spec.task_groups[0].tasks[0].env.insert("K".into(), "v".into())));
    // The node of the failure would have the better bin-packing score.
    let other = if first.node_id == id(1) { 2 } else { 1 };
    world.change_node(other, |node| node.resources.as_mut().unwrap().cpu_mhz = 100_000);
    let decision = world.settle();
    assert_eq!(world.live("g")[0].node_id, id(other));
    let metric = decision.plan.place[0].metrics.as_ref().unwrap();
    let penalised = metric.scores.iter().find(|score| score.node_id == first.node_id).unwrap();
    assert_eq!(penalised.scores["node-reschedule-penalty"], -1.0);
}

#[test]
fn dynamic_ports_are_in_their_range_and_never_clash() {
    let mut wanted = group("g", 40, 1, 1);
    wanted.networks = vec![ports(3, &[])];
    wanted.tasks[0].resources.as_mut().unwrap().networks = vec![ports(2, &[])];
    let mut world = World::new(1, "service").with_groups(vec![wanted]);
    world.settle();
    let mut given = BTreeSet::new();
    for alloc in world.live("g") {
        let usage = Usage::of(alloc.resources.as_ref());
        assert_eq!(usage.ports.len(), 5);
        let resources = alloc.resources.as_ref().unwrap();
        assert_eq!((resources.ports.len(), resources.networks[0].dynamic_ports.len()), (3, 3));
        assert_eq!(resources.networks[0].ip, "10.0.0.1");
        assert_eq!(resources.tasks["t"].networks[0].dynamic_ports.len(), 2);
        for port in usage.ports {
            assert!((20_000..=32_000).contains(&port));
            assert!(given.insert(port), "port {port} was given twice");
        }
    }
}

#[test]
fn static_ports_are_free_on_one_node_once() {
    let mut wanted = group("g", 3, 1, 1);
    wanted.networks = vec![ports(0, &[8080])];
    let mut world = World::new(3, "service").with_groups(vec![wanted]);
    let own = NetworkResource {
        reserved_ports: vec![Port { value: 8080, ..Default::default() }],
        ..Default::default()
    };
    world.change_node(3, |node| {
        node.reserved = Some(NodeResources { networks: vec![own], ..Default::default() })
    });
    let decision = world.settle();
    assert_eq!(world.live("g").len(), 2);
    let metric = &decision.eval.failed_groups["g"];
    assert_eq!(metric.dimension_exhausted, counts(&[("network: reserved port collision s8080=8080", 3)]));
}

#[test]
fn ports_need_a_network_and_bridges_need_a_bridge() {
    let mut wanted = group("g", 1, 1, 1);
    wanted.networks = vec![ports(1, &[])];
    let mut world = World::new(1, "service").with_groups(vec![wanted.clone()]);
    world.change_node(1, |node| node.resources.as_mut().unwrap().networks.clear());
    assert_eq!(failure(&mut world).dimension_exhausted, counts(&[("network: no networks available", 1)]));
    wanted.networks[0].mode = "bridge".into();
    let mut world = World::new(1, "service").with_groups(vec![wanted]);
    assert_eq!(failure(&mut world).constraint_filtered, counts(&[("missing network", 1)]));
    let bridge = NetworkResource { mode: "bridge".into(), ..Default::default() };
    world.change_node(1, |node| node.resources.as_mut().unwrap().networks.push(bridge));
    assert_eq!(world.decide().plan.place.len(), 1);
}

fn first_choice(world: &mut World, eval: u64) -> Vec<u8> {
    let eval = ordu_proto::state::Evaluation { id: id(eval), ..world.eval() };
    world.decide_eval(&eval).plan.place[0].node_id.clone()
}

#[test]
fn equal_nodes_are_chosen_by_the_evaluation_and_not_by_their_order() {
    let mut forward = World::new(50, "service").with_groups(vec![group("g", 1, 100, 100)]);
    let mut backward = World::new(0, "service").with_groups(vec![group("g", 1, 100, 100)]);
    (1..=50).rev().for_each(|number| backward.put_node(node(number)));
    let choices: BTreeSet<Vec<u8>> = (0..20).map(|eval| first_choice(&mut forward, eval)).collect();
    assert!(choices.len() > 10, "evaluations side by side mostly choose different nodes");
    for eval in 0..20 {
        assert_eq!(first_choice(&mut forward, eval), first_choice(&mut backward, eval));
    }
}

#[test]
fn metrics_tell_of_the_five_best_nodes_for_the_first_placements_of_a_group() {
    let mut world = World::new(10, "batch").with_groups(vec![group("g", 20, 100, 100)]);
    let decision = world.settle();
    for (position, alloc) in decision.plan.place.iter().enumerate() {
        let metric = alloc.metrics.as_ref().unwrap();
        assert_eq!(metric.scores.len(), if position < super::FULLY_TOLD_PLACEMENTS { 5 } else { 1 });
        assert_eq!(metric.scores[0].node_id, alloc.node_id, "the best is the one chosen");
        assert!(metric.scores.is_sorted_by(|left, right| left.norm_score >= right.norm_score));
        assert_eq!((metric.nodes_evaluated, metric.nodes_filtered), (10, 0));
    }
}

/// Computes the node's score directly from its definition.
fn plain_score(view: &ClusterView, node: &[u8], ask: &Usage, same_group: u32, desired: u32) -> Option<f64> {
    let capacity = view.capacity(node)?;
    let (used, _) = view.used(node).unwrap_or_default();
    let after = Capacity {
        cpu_mhz: used.cpu_mhz + ask.cpu_mhz,
        memory_mb: used.memory_mb + ask.memory_mb,
        disk_mb: used.disk_mb + ask.disk_mb,
    };
    let fits = after.cpu_mhz <= capacity.cpu_mhz
        && after.memory_mb <= capacity.memory_mb
        && after.disk_mb <= capacity.disk_mb;
    fits.then(|| Score::new(binpack(&capacity, &after), same_group, desired, false, 0.0).normalized)
}

proptest! {
    #[test]
    fn every_placement_takes_the_best_node_of_all(
        sizes in proptest::collection::vec((0..6000_i64, 0..6000_i64), 1..12),
        asks in proptest::collection::vec((1..2500_i64, 1..2500_i64, 0..8_i64), 1..3),
    ) {
        let groups = asks.iter().enumerate().map(|(number, &(cpu, memory, count))| {
            group(&format!("g{number}"), count, cpu, memory)
        });
        let mut world = World::new(0, "service").with_groups(groups.collect());
        for (number, &(cpu_mhz, memory_mb)) in sizes.iter().enumerate() {
            let resources = NodeResources { cpu_mhz, memory_mb, disk_mb: 1000, ..Default::default() };
            world.put_node(Node { resources: Some(resources), ..node(number as u64) });
        }
        let decision = world.decide();
        let mut view = world.view.snapshot();
        let mut same: BTreeMap<(String, Vec<u8>), u32> = BTreeMap::new();
        let best = |view: &ClusterView, alloc: &Allocation, same: &BTreeMap<(String, Vec<u8>), u32>| {
            let ask = Usage::of(alloc.resources.as_ref());
            let number: usize = alloc.task_group[1..].parse().unwrap();
            let of = |node: &[u8]| {
                let same = same.get(&(alloc.task_group.clone(), node.to_vec())).copied().unwrap_or(0);
                plain_score(view, node, &ask, same, asks[number].2 as u32)
            };
            let all = world.nodes.keys().filter_map(|node| of(node));
            (of(&alloc.node_id), all.fold(f64::NEG_INFINITY, f64::max))
        };
        for alloc in &decision.plan.place {
            let (chosen, best) = best(&view, alloc, &same);
            prop_assert_eq!(chosen, Some(best));
            view.alloc_changed(None, Some(alloc));
            *same.entry((alloc.task_group.clone(), alloc.node_id.clone())).or_insert(0) += 1;
        }
        for (number, &(cpu_mhz, memory_mb, count)) in asks.iter().enumerate() {
            let name = format!("g{number}");
            let placed = decision.plan.place.iter().filter(|alloc| alloc.task_group == name).count();
            prop_assert_eq!(decision.eval.queued_allocations[&name], count - placed as i64);
            // Nothing that fits in the end was left unplaced.
            let ask = Usage { cpu_mhz, memory_mb, disk_mb: 10, ports: vec![] };
            let room = world.nodes.keys().any(|node| plain_score(&view, node, &ask, 0, 1).is_some());
            prop_assert!(placed as i64 == count || !room);
        }
    }
}
