//! What happens to allocations when the job, their nodes or the allocations themselves change.

use ordu_proto::api::job::DesiredUpdates;
use ordu_proto::state::{ClientStatus, DesiredStatus, NodeStatus, TaskState};

use crate::scheduler::Decision;
use crate::scheduler::testing::{World, group, id};
use crate::scheduler::view::is_terminal;

fn running(job_type: &str, count: i64) -> World {
    let mut world = World::new(3, job_type).with_groups(vec![group("g", count, 100, 100)]);
    world.settle();
    for alloc in world.live_ids("g") {
        world.set_client_status(&alloc, ClientStatus::Running);
    }
    world
}

#[test]
fn missing_allocations_take_the_lowest_free_names() {
    let mut world = running("service", 5);
    assert_eq!(world.names("g"), [0, 1, 2, 3, 4]);
    for name in [1, 3] {
        let alloc = world.live("g").iter().find(|it| it.name_index == name).map(|it| it.id.clone()).unwrap();
        world.change_alloc(&alloc, |alloc| alloc.set_desired_status(DesiredStatus::Stop));
    }
    world.settle();
    assert_eq!(world.names("g"), [0, 1, 2, 3, 4]);
}

#[test]
fn fewer_wanted_stops_the_highest_names() {
    let mut world = running("service", 5);
    world.change_job(|_, spec| spec.task_groups[0].count = Some(2));
    let decision = world.settle();
    assert_eq!(world.names("g"), [0, 1]);
    assert_eq!(decision.plan.stop.len(), 3);
    assert!(
        decision.plan.stop.iter().all(|it| it.desired_description == "alloc not needed due to job update")
    );
    assert_eq!(decision.plan.update.len(), 2, "the others take the new version in place");
    assert_eq!(decision.plan.place.len(), 0);
}

#[test]
fn of_too_many_services_the_failed_go_first() {
    let mut world = running("service", 3);
    let failed = world.live_ids("g")[0].clone();
    world.set_client_status(&failed, ClientStatus::Failed);
    world.change_job(|_, spec| spec.task_groups[0].count = Some(2));
    let decision = world.settle();
    assert_eq!((decision.plan.stop.len(), decision.plan.place.len()), (0, 0));
    assert_eq!(world.names("g"), [1, 2]);
}

#[test]
fn a_stopped_or_purged_job_stops_everything_and_places_nothing() {
    for purged in [false, true] {
        let mut world = running("service", 3);
        world.change_job(|row, _| row.stop = true);
        world.purged = purged;
        let decision = world.settle();
        assert_eq!((decision.plan.stop.len(), decision.plan.place.len()), (3, 0));
        assert!(decision.eval.queued_allocations.is_empty());
        assert!(world.live("g").is_empty());
        assert!(world.decide().plan_is_empty(), "what is stopped is not stopped again");
    }
}

#[test]
fn a_group_that_is_gone_stops_and_a_new_one_starts() {
    let mut world = running("service", 2);
    world.change_job(|_, spec| spec.task_groups[0].name = "h".into());
    world.settle();
    assert_eq!((world.names("g").len(), world.names("h")), (0, vec![0, 1]));
}

#[test]
fn what_cannot_change_on_the_fly_is_replaced_under_its_name() {
    let mut world = running("service", 2);
    let before = world.live_ids("g");
    world.change_job(|_, spec| drop(spec.task_groups[0].tasks[0].env.insert("K".into(), "v".into())));
    let decision = world.settle();
    assert_eq!((decision.plan.stop.len(), decision.plan.place.len(), decision.plan.update.len()), (2, 2, 0));
    assert!(
        decision
            .plan
            .stop
            .iter()
            .all(|it| it.desired_description == "alloc is being updated due to job update")
    );
    let previous: Vec<_> = world.live("g").iter().map(|alloc| alloc.previous_allocation.clone()).collect();
    assert_eq!((world.names("g"), previous), (vec![0, 1], before));
}

#[test]
fn an_update_without_room_leaves_the_old_one_running() {
    let mut world = running("service", 2);
    world.change_job(|_, spec| {
        spec.task_groups[0].tasks[0].resources.as_mut().unwrap().cpu = Some(9_000_000);
    });
    let decision = world.settle();
    assert!(decision.plan_is_empty());
    assert_eq!(world.live("g").len(), 2);
    assert_eq!(decision.eval.queued_allocations["g"], 2);
    assert_eq!(decision.eval.failed_groups["g"].coalesced_failures, 1);
}

#[test]
fn an_update_takes_the_room_of_what_it_replaces() {
    let mut world = World::new(1, "service").with_groups(vec![group("g", 1, 3000, 100)]);
    world.settle();
    world.change_job(|_, spec| drop(spec.task_groups[0].tasks[0].env.insert("K".into(), "v".into())));
    let decision = world.settle();
    assert_eq!((decision.plan.place.len(), decision.eval.failed_groups.len()), (1, 0));
}

#[test]
fn an_allocation_whose_node_may_not_have_it_any_more_is_replaced() {
    let mut world = running("service", 2);
    world
        .put_node(ordu_proto::state::Node { datacenter: "dc2".into(), ..crate::scheduler::testing::node(9) });
    world.change_job(|_, spec| spec.datacenters = vec!["dc2".into()]);
    world.settle();
    assert!(world.live("g").iter().all(|alloc| alloc.node_id == id(9)));
}

#[test]
fn an_allocation_of_an_earlier_job_of_the_name_is_replaced() {
    let mut world = running("service", 1);
    let before = world.live_ids("g");
    world.change_job(|row, _| row.create_index += 100);
    world.settle();
    let now = world.live("g");
    assert_eq!(now.len(), 1);
    assert_eq!((now[0].job_create_index, &now[0].previous_allocation), (105, &before[0]));
}

#[test]
fn allocations_of_a_node_that_is_down_or_gone_are_lost_and_replaced() {
    for job_type in ["service", "batch"] {
        for gone in [false, true] {
            let mut world = running(job_type, 4);
            let lost_node = world.live("g")[0].node_id.clone();
            let lost: Vec<Vec<u8>> =
                world.live("g").iter().filter(|it| it.node_id == lost_node).map(|it| it.id.clone()).collect();
            if gone {
                world.view.node_removed(&lost_node);
            } else {
                let mut down = world.nodes[&lost_node].clone();
                down.set_status(NodeStatus::Down);
                world.put_node(down);
            }
            let decision = world.settle();
            assert_eq!(decision.plan.stop.len(), lost.len());
            for alloc in &lost {
                let row = &world.allocs[alloc];
                assert_eq!(row.client_status(), ClientStatus::Lost);
                assert_eq!(row.desired_description, "alloc is lost since its node is down");
                assert_eq!(world.allocs[&row.next_allocation].name_index, row.name_index);
            }
            assert_eq!(world.names("g"), [0, 1, 2, 3]);
            assert!(world.live("g").iter().all(|alloc| alloc.node_id != lost_node));
            assert!(world.decide().plan_is_empty());
        }
    }
}

#[test]
fn what_was_being_stopped_on_a_node_that_went_down_is_marked_lost() {
    let mut world = running("service", 1);
    let alloc = world.live("g")[0].clone();
    world.change_job(|row, _| row.stop = true);
    world.settle();
    let mut down = world.nodes[&alloc.node_id].clone();
    down.set_status(NodeStatus::Down);
    world.put_node(down);
    world.settle();
    assert_eq!(world.allocs[&alloc.id].client_status(), ClientStatus::Lost);
    assert!(world.decide().plan_is_empty());
}

#[test]
fn a_failed_allocation_keeps_its_place_until_a_version_starts_it_anew() {
    let mut world = running("service", 2);
    let failed = world.live_ids("g")[0].clone();
    world.set_client_status(&failed, ClientStatus::Failed);
    assert!(world.decide().plan_is_empty());
    world.change_job(|_, spec| spec.task_groups[0].tasks[0].kill_timeout = Some(7));
    let in_place = world.settle();
    assert_eq!(
        (in_place.plan.place.len(), in_place.plan.update.len()),
        (0, 1),
        "the other takes it in place"
    );
    world.change_job(|_, spec| drop(spec.task_groups[0].tasks[0].env.insert("K".into(), "v".into())));
    world.settle();
    assert_eq!(world.names("g"), [0, 1]);
}

#[test]
fn batch_work_that_is_done_is_never_done_again() {
    let mut world = running("batch", 3);
    for alloc in world.live_ids("g") {
        world.set_client_status(&alloc, ClientStatus::Complete);
    }
    for number in 1..=3 {
        world.change_node(number, |node| node.set_status(NodeStatus::Down));
    }
    assert!(world.decide().plan_is_empty());
}

#[test]
fn batch_work_that_ended_before_its_node_said_so_is_done() {
    let mut world = running("batch", 1);
    let alloc = world.live("g")[0].clone();
    let dead = TaskState { state: "dead".into(), ..Default::default() };
    world.change_alloc(&alloc.id, |alloc| drop(alloc.task_states.insert("t".into(), dead)));
    for number in 1..=3 {
        world.change_node(number, |node| node.set_status(NodeStatus::Down));
    }
    assert!(world.decide().plan_is_empty());
}

#[test]
fn batch_work_of_an_older_version_runs_again() {
    let mut world = running("batch", 2);
    let before = world.live_ids("g");
    world.set_client_status(&before[0], ClientStatus::Complete);
    world.set_client_status(&before[1], ClientStatus::Failed);
    assert!(world.decide().plan_is_empty(), "not without a change");
    world.change_job(|_, spec| spec.priority = Some(60));
    let decision = world.settle();
    assert_eq!((decision.plan.place.len(), world.names("g")), (2, vec![0, 1]));
}

#[test]
fn fewer_batch_allocations_keep_those_of_the_lowest_names() {
    let mut world = running("batch", 4);
    let ids = world.live_ids("g");
    world.set_client_status(&ids[3], ClientStatus::Complete);
    world.change_job(|_, spec| spec.task_groups[0].count = Some(2));
    let decision = world.settle();
    assert_eq!(decision.plan.place.len(), 0);
    assert_eq!(world.names("g"), [0, 1]);
}

#[test]
fn a_service_that_ended_well_is_started_again() {
    let mut world = running("service", 1);
    let ended = world.live_ids("g")[0].clone();
    world.set_client_status(&ended, ClientStatus::Complete);
    world.settle();
    assert_eq!(world.names("g"), [0]);
    assert!(is_terminal(&world.allocs[&ended]));
    assert_eq!(world.stopped(), 0);
}

fn counts(decision: &Decision) -> [u64; 5] {
    let DesiredUpdates { ignore, place, stop, in_place_update, destructive_update, .. } =
        decision.desired_updates["g"];
    [ignore, place, stop, in_place_update, destructive_update]
}

#[test]
fn what_is_lost_is_counted_as_stopped_and_placed_and_what_failed_as_left_alone() {
    let mut world = running("service", 3);
    let failed = world.live_ids("g")[0].clone();
    world.set_client_status(&failed, ClientStatus::Failed);
    let lost = world.live("g")[0].node_id.clone();
    let count = world.live("g").iter().filter(|alloc| alloc.node_id == lost).count() as u64;
    let mut node = world.nodes[&lost].clone();
    node.set_status(NodeStatus::Down);
    world.put_node(node);
    assert_eq!([3 - count, count, count, 0, 0], counts(&world.settle()));
    assert_eq!([3, 0, 0, 0, 0], counts(&world.settle()), "what is stopped is not counted again");
}

#[test]
fn what_a_batch_job_has_done_is_counted_as_left_alone_in_this_version_and_the_next() {
    let mut world = running("batch", 2);
    for alloc in world.live_ids("g") {
        world.set_client_status(&alloc, ClientStatus::Complete);
    }
    assert_eq!([2, 0, 0, 0, 0], counts(&world.settle()));
    world.change_job(|_, spec| drop(spec.task_groups[0].tasks[0].env.insert("K".into(), "v".into())));
    assert_eq!([2, 2, 0, 0, 0], counts(&world.settle()));
}

#[test]
fn a_group_that_is_gone_is_counted_for_as_long_as_it_stops_something() {
    let mut world = running("service", 2);
    world.change_job(|_, spec| spec.task_groups[0].name = "h".into());
    let decision = world.settle();
    assert_eq!([0, 0, 2, 0, 0], counts(&decision));
    assert_eq!(2, decision.desired_updates["h"].place);
    assert_eq!(vec!["h"], world.settle().desired_updates.keys().collect::<Vec<_>>());
}
