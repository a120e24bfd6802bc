//! When a deployment begins, which allocations join it, and when it ends.

use ordu_proto::api::job::{TaskGroup, UpdateStrategy};
use ordu_proto::state::{ClientStatus, Deployment, DeploymentStatus, NodeStatus};

use super::*;
use crate::scheduler::testing::{World, group, id};

const DEADLINE_NS: i64 = 600_000_000_000;

/// Returns a group with an update policy.
fn rolling(name: &str, count: i64, cpu_mhz: i64) -> TaskGroup {
    let update = UpdateStrategy {
        max_parallel: Some(1),
        auto_revert: Some(true),
        auto_promote: Some(true),
        progress_deadline: Some(DEADLINE_NS),
        ..Default::default()
    };
    TaskGroup { update: Some(update), ..group(name, count, cpu_mhz, 100) }
}

/// Returns a world with a placed service of two allocations.
fn world() -> World {
    let mut world = World::new(2, "service").with_groups(vec![rolling("g", 2, 100)]);
    world.row.modify_index = 9;
    world.row.job_modify_index = 8;
    world.settle();
    world
}

fn change_env(world: &mut World, value: &str) {
    world.change_job(|_, spec| drop(spec.task_groups[0].tasks[0].env.insert("K".into(), value.into())));
}

fn ended(decision: &Decision) -> Vec<(&[u8], DeploymentStatus, &str)> {
    let updates = &decision.plan.deployment_updates;
    let told = updates.iter().map(|it| (&*it.deployment_id, it.status(), it.status_description.as_str()));
    told.collect()
}

fn latest(world: &World) -> &Deployment {
    world.deployments.last().unwrap()
}

/// Returns the deployment ids of the group's live allocations.
fn carried(world: &World, group: &str) -> Vec<Vec<u8>> {
    world.live(group).iter().map(|alloc| alloc.deployment_id.clone()).collect()
}

#[test]
fn a_version_that_is_placed_first_begins_a_deployment_that_all_its_allocations_carry() {
    let world = world();
    let deployment = latest(&world);
    assert_eq!(
        ("default", "job", 0, 5, 9, 8),
        (
            deployment.namespace.as_str(),
            deployment.job_id.as_str(),
            deployment.job_version,
            deployment.job_create_index,
            deployment.job_modify_index,
            deployment.job_spec_modify_index
        )
    );
    assert_eq!(
        (DeploymentStatus::Running, "Deployment is running"),
        (deployment.status(), deployment.status_description.as_str())
    );
    let state = &deployment.groups["g"];
    assert_eq!((2, DEADLINE_NS), (state.desired_total, state.progress_deadline_ns));
    assert!(state.auto_revert && state.auto_promote && !state.promoted);
    assert_eq!((0, 0, 0), (state.placed_allocs, state.desired_canaries, state.require_progress_by_ns));
    assert_eq!(vec![deployment.id.clone(); 2], carried(&world, "g"));
}

#[test]
fn a_version_has_one_deployment_which_its_later_evaluations_name() {
    let mut world = world();
    let deployment = latest(&world).id.clone();
    let again = world.settle();
    assert!(again.plan_is_empty());
    assert_eq!(deployment, again.eval.deployment_id);
    let lost = world.live_ids("g")[0].clone();
    world.set_client_status(&lost, ClientStatus::Complete);
    let replaced = world.settle();
    assert_eq!((1, None), (replaced.plan.place.len(), replaced.plan.deployment));
    assert_eq!(vec![deployment; 2], carried(&world, "g"));
}

#[test]
fn a_newer_version_ends_the_deployment_and_begins_its_own() {
    for in_place in [false, true] {
        let mut world = world();
        let first = latest(&world).id.clone();
        if in_place {
            world.change_job(|_, spec| spec.task_groups[0].tasks[0].kill_timeout = Some(7));
        } else {
            change_env(&mut world, "w");
        }
        let decision = world.settle();
        let description = "Cancelled due to newer version of job";
        assert_eq!(vec![(&*first, DeploymentStatus::Cancelled, description)], ended(&decision));
        let second = latest(&world).clone();
        assert_eq!((1, 2), (second.job_version, second.groups["g"].desired_total));
        assert_eq!(vec![second.id.clone(); 2], carried(&world, "g"));
        assert_eq!(second.id, decision.eval.deployment_id);
        assert_eq!(if in_place { 2 } else { 0 }, decision.plan.update.len());
        assert!(world.decide().plan_is_empty(), "it ends once and begins once");
    }
}

#[test]
fn a_stop_or_a_purge_ends_the_deployment_and_names_it() {
    for purged in [false, true] {
        let mut world = world();
        let deployment = latest(&world).id.clone();
        world.change_job(|row, _| row.stop = true);
        world.purged = purged;
        let decision = world.settle();
        let description = "Cancelled because job is stopped";
        assert_eq!(vec![(&*deployment, DeploymentStatus::Cancelled, description)], ended(&decision));
        assert_eq!(deployment, decision.eval.deployment_id);
        let again = world.decide();
        assert!(again.plan_is_empty());
        assert_eq!(deployment, again.eval.deployment_id);
    }
}

#[test]
fn a_job_that_is_started_again_begins_a_deployment_anew() {
    let mut world = world();
    let first = latest(&world).id.clone();
    world.change_job(|row, _| row.stop = true);
    world.settle();
    world.change_job(|row, _| row.stop = false);
    let decision = world.settle();
    assert!(ended(&decision).is_empty(), "it had ended before");
    assert_ne!(first, latest(&world).id);
    assert_eq!(2, latest(&world).job_version);
}

#[test]
fn a_later_job_of_the_same_id_ends_the_former_one_s_deployment() {
    let mut world = world();
    let first = latest(&world).id.clone();
    world.change_job(|row, _| row.create_index += 1);
    let decision = world.settle();
    assert_eq!(first, ended(&decision)[0].0);
    assert_eq!(6, latest(&world).job_create_index);
}

#[test]
fn there_are_no_deployments_without_a_policy_nor_of_batch_jobs() {
    let without = [
        ("service", group("g", 2, 100, 100)),
        ("service", {
            let mut group = rolling("g", 2, 100);
            group.update.as_mut().unwrap().max_parallel = Some(0);
            group
        }),
        ("batch", rolling("g", 2, 100)),
    ];
    for (job_type, group) in without {
        let mut world = World::new(2, job_type).with_groups(vec![group]);
        let decision = world.settle();
        assert!(world.deployments.is_empty() && decision.eval.deployment_id.is_empty(), "{job_type}");
        assert_eq!(vec![Vec::<u8>::new(); 2], carried(&world, "g"));
    }
}

#[test]
fn a_deployment_is_of_the_groups_that_have_a_policy_and_something_to_do() {
    let groups = vec![rolling("g", 1, 100), group("plain", 1, 100, 100), rolling("none", 0, 100)];
    let mut world = World::new(2, "service").with_groups(groups);
    world.settle();
    let deployment = latest(&world);
    assert_eq!(vec!["g"], deployment.groups.keys().collect::<Vec<_>>());
    assert_eq!(
        (vec![deployment.id.clone()], vec![Vec::new()]),
        (carried(&world, "g"), carried(&world, "plain"))
    );
}

#[test]
fn a_deployment_begins_where_nothing_finds_room_and_what_waits_joins_it_later() {
    let mut world = World::new(0, "service").with_groups(vec![rolling("g", 1, 100)]);
    let decision = world.settle();
    let deployment = latest(&world).id.clone();
    assert_eq!(deployment, decision.eval.deployment_id);
    let blocked = decision.blocked.unwrap();
    assert!(blocked.deployment_id.is_empty());
    let still = world.decide_eval(&blocked);
    assert_eq!((Ending::Blocked, true), (still.ending, still.eval.deployment_id.is_empty()));
    world.put_node(crate::scheduler::testing::node(1));
    let placed = world.decide_eval(&blocked);
    world.apply(&placed.plan);
    assert_eq!((1, deployment.clone()), (world.deployments.len(), placed.eval.deployment_id));
    assert_eq!(vec![deployment], carried(&world, "g"));
}

#[test]
fn a_version_that_ran_before_there_were_deployments_begins_none_for_what_it_lost() {
    let mut world = world();
    world.deployments.clear();
    for alloc in world.live_ids("g") {
        world.change_alloc(&alloc, |alloc| alloc.deployment_id.clear());
    }
    let node = world.live("g")[0].node_id.clone();
    let mut down = world.nodes[&node].clone();
    down.set_status(NodeStatus::Down);
    world.put_node(down);
    let decision = world.settle();
    assert!(!decision.plan.place.is_empty() && decision.plan.deployment.is_none());
    change_env(&mut world, "w");
    assert!(world.settle().plan.deployment.is_some(), "but its next version does");
}

#[test]
fn ids_are_drawn_for_deployments_as_for_all_else() {
    let mut world = World::new(2, "service").with_groups(vec![rolling("g", 2, 100)]);
    let decision = world.decide();
    let deployment = decision.plan.deployment.unwrap().id;
    let mut drawn: Vec<Vec<u8>> = decision.plan.place.into_iter().map(|alloc| alloc.id).collect();
    drawn.push(deployment);
    drawn.sort();
    assert_eq!((1..=3).map(|number| id((1 << 32) + number)).collect::<Vec<_>>(), drawn);
}
