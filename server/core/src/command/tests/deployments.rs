//! Deployments: plans begin and end them, and each allocation that joins one is counted.

use ordu_proto::command::{DeploymentUpdate, PlanUpdate};
use ordu_proto::state::{Deployment, DeploymentState, DeploymentStatus};

use super::*;
use crate::state::rows::Deployments;

const DEADLINE_NS: i64 = 600_000_000_000;

/// A job with an evaluation and two nodes of 100 MHz.
fn world() -> World {
    let mut world = World::new();
    world.accept(node_register(node(100, 100)));
    world.accept(node_register(node(101, 100)));
    world.accept(registered("a", "{1}", 1));
    world
}

impl World {
    fn deployment(&self, number: u64) -> Deployment {
        let row = read::deployment(&self.tables, &id(number)).unwrap();
        row.unwrap_or_else(|| panic!("no deployment {number}"))
    }

    /// Returns a deployment of the job's current version.
    fn new_deployment(&self, number: u64, job_id: &str) -> Deployment {
        let job = self.job(job_id);
        let group = DeploymentState {
            desired_total: 2,
            progress_deadline_ns: DEADLINE_NS,
            ..DeploymentState::default()
        };
        Deployment {
            id: id(number).to_vec(),
            namespace: job.namespace,
            job_id: job.id,
            job_version: job.version,
            job_create_index: job.create_index,
            groups: [("g".into(), group)].into(),
            status: DeploymentStatus::Running.into(),
            ..Deployment::default()
        }
    }

    /// Returns a placement that is part of a deployment.
    fn rolled_out(&self, number: u64, node: u64, cpu_mhz: i64, deployment: u64) -> Allocation {
        Allocation { deployment_id: id(deployment).to_vec(), ..self.placement(number, "a", node, cpu_mhz) }
    }

    /// Returns how many allocations the deployment's group has placed, and its progress deadline.
    fn progress(&self, number: u64) -> (i64, i64) {
        let group = &self.deployment(number).groups["g"];
        (group.placed_allocs, group.require_progress_by_ns)
    }
}

fn cancelled(number: u64) -> DeploymentUpdate {
    DeploymentUpdate {
        deployment_id: id(number).to_vec(),
        status: DeploymentStatus::Cancelled.into(),
        status_description: "Cancelled due to newer version of job".to_owned(),
    }
}

fn begins(deployment: Deployment, place: Vec<Allocation>) -> Plan {
    Plan { deployment: Some(deployment), ..plan(place) }
}

#[test]
fn a_deployment_begins_with_its_plan_and_counts_what_was_placed() {
    let mut world = world();
    let place = vec![world.rolled_out(50, 100, 60, 7), world.rolled_out(51, 101, 60, 7)];
    world.accept(plans(vec![begins(world.new_deployment(7, "a"), place)]));
    let row = world.deployment(7);
    assert_eq!((world.index, world.index), (row.create_index, row.modify_index));
    assert_eq!((world.time_ns, world.time_ns), (row.create_time_ns, row.modify_time_ns));
    assert_eq!((2, world.time_ns + DEADLINE_NS), world.progress(7));
    assert_eq!(world.index, world.index_of(Table::Deployments));
    assert_eq!(vec![row], read::deployments_of_job(&world.tables, "default", "a").unwrap());
    assert_eq!(id(7).to_vec(), world.alloc(50).deployment_id);
}

#[test]
fn one_plan_writes_a_deployment_once() {
    let mut world = world();
    let place = vec![world.rolled_out(50, 100, 60, 7), world.rolled_out(51, 101, 60, 7)];
    let command = plans(vec![begins(world.new_deployment(7, "a"), place)]);
    let bytes = envelope(None, 0, 1, command).encode_to_vec();
    let changes = world.batch(&[bytes]).remove(0).changes;
    let rows = changes.iter().filter_map(|change| {
        let row = change.of::<Deployments>()?.new.as_ref()?;
        Some(row.groups["g"].placed_allocs)
    });
    assert_eq!(vec![2], rows.collect::<Vec<_>>());
}

#[test]
fn what_was_refused_is_not_counted_and_joins_when_it_is_placed_later() {
    let mut world = world();
    let place = vec![world.rolled_out(50, 100, 60, 7), world.rolled_out(51, 101, 160, 7)];
    world.accept(plans(vec![begins(world.new_deployment(7, "a"), place)]));
    let (_, required_by_ns) = world.progress(7);
    assert_eq!(1, world.progress(7).0);
    world.accept(plans(vec![plan(vec![world.rolled_out(52, 101, 60, 7)])]));
    assert_eq!((2, required_by_ns), world.progress(7), "the deadline began with the first");
    let row = world.deployment(7);
    assert!(row.create_index < row.modify_index && row.modify_index == world.index);
}

#[test]
fn a_deployment_begins_though_nothing_of_it_finds_room() {
    let mut world = world();
    world.accept(plans(vec![begins(world.new_deployment(7, "a"), Vec::new())]));
    assert_eq!((0, 0), world.progress(7), "no deadline runs while nothing is placed");
}

#[test]
fn a_plan_in_several_parts_or_proposed_twice_begins_one_deployment() {
    let mut world = world();
    let deployment = world.new_deployment(7, "a");
    let part =
        |world: &World, number, node| begins(deployment.clone(), vec![world.rolled_out(number, node, 60, 7)]);
    let (first, second) = (part(&world, 50, 100), part(&world, 51, 101));
    world.accept(plans(vec![first.clone()]));
    world.accept(plans(vec![second]));
    assert_eq!(2, world.progress(7).0);
    let before = world.deployment(7);
    world.accept(plans(vec![first]));
    assert_eq!(before, world.deployment(7));
}

#[test]
fn an_allocation_that_takes_the_version_in_place_joins_the_deployment_once() {
    let mut world = world();
    let place = vec![world.rolled_out(50, 100, 60, 7)];
    world.accept(plans(vec![begins(world.new_deployment(7, "a"), place)]));
    world.accept(registered("a", "{2}", 2));
    let update = PlanUpdate {
        alloc_id: id(50).to_vec(),
        job_version: 1,
        eval_id: id(2).to_vec(),
        deployment_id: id(8).to_vec(),
        ..PlanUpdate::default()
    };
    let plan = Plan {
        update: vec![update],
        deployment_updates: vec![cancelled(7)],
        ..begins(world.new_deployment(8, "a"), Vec::new())
    };
    for _ in 0..2 {
        world.accept(plans(vec![plan.clone()]));
        assert_eq!((1, 1), (world.progress(7).0, world.progress(8).0));
        assert_eq!(id(8).to_vec(), world.alloc(50).deployment_id);
    }
    let latest = read::latest_deployment(&world.tables, "default", "a").unwrap();
    assert_eq!(Some(world.deployment(8)), latest);
    let ended = world.deployment(7);
    assert_eq!(
        (DeploymentStatus::Cancelled, "Cancelled due to newer version of job"),
        (ended.status(), ended.status_description.as_str())
    );
}

#[test]
fn an_update_that_names_no_deployment_leaves_the_allocation_in_its_own() {
    let mut world = world();
    let place = vec![world.rolled_out(50, 100, 60, 7)];
    world.accept(plans(vec![begins(world.new_deployment(7, "a"), place)]));
    world.accept(registered("a", "{2}", 2));
    let update = PlanUpdate { alloc_id: id(50).to_vec(), job_version: 1, ..PlanUpdate::default() };
    world.accept(plans(vec![Plan { update: vec![update], ..plan(Vec::new()) }]));
    assert_eq!((id(7).to_vec(), 1), (world.alloc(50).deployment_id, world.progress(7).0));
}

#[test]
fn what_is_over_stays_over_and_what_is_unknown_is_no_one_s_concern() {
    let mut world = world();
    world.accept(plans(vec![begins(world.new_deployment(7, "a"), Vec::new())]));
    world.accept(plans(vec![Plan { deployment_updates: vec![cancelled(7)], ..plan(Vec::new()) }]));
    let before = world.deployment(7);
    let late = DeploymentUpdate { status: DeploymentStatus::Running.into(), ..cancelled(7) };
    let updates = vec![late, cancelled(7), cancelled(9), DeploymentUpdate::default()];
    world.accept(plans(vec![Plan { deployment_updates: updates, ..plan(Vec::new()) }]));
    assert_eq!(before, world.deployment(7));
    world.accept(plans(vec![plan(vec![world.rolled_out(50, 100, 1, 9)])]));
    assert!(world.has_alloc(50));
}

#[test]
fn nothing_begins_or_ends_with_a_plan_that_takes_no_effect() {
    let mut world = world();
    world.accept(plans(vec![begins(world.new_deployment(7, "a"), Vec::new())]));
    let fails = Plan {
        deployment_updates: vec![cancelled(7)],
        ..begins(world.new_deployment(8, "a"), vec![world.rolled_out(50, 100, 101, 8)])
    };
    let before = world.state_rows();
    world.accept(plans(vec![Plan { all_at_once: true, ..fails.clone() }]));
    assert_eq!(before, world.state_rows(), "whole or not at all");
    world.accept(deregister("a", true, 2));
    world.accept(plans(vec![fails]));
    assert!(read::deployment(&world.tables, &id(8)).unwrap().is_none(), "the job was purged meanwhile");
    assert_eq!(DeploymentStatus::Running, world.deployment(7).status());
}

#[test]
fn the_latest_deployment_is_found_by_one_row_whatever_deployments_the_job_has_had() {
    let mut world = world();
    // The ids are in another order than the deployments' creation.
    for number in (7_000..7_050).rev() {
        world.accept(plans(vec![begins(world.new_deployment(number, "a"), Vec::new())]));
    }
    let counting = Counting::over(&world.tables);
    let latest = read::latest_deployment(&counting, "default", "a").unwrap();
    assert_eq!(Some(world.deployment(7_000)), latest);
    let read_of = [Table::DeploymentsByJob, Table::Deployments].map(|table| counting.read_of(table));
    assert_eq!([1, 1], read_of);
    let by_id = read::deployments_of_job(&world.tables, "default", "a").unwrap();
    assert!(by_id.len() == 50 && by_id.is_sorted_by(|one, other| one.id < other.id));
}

#[test]
fn a_purge_leaves_the_deployments() {
    let mut world = world();
    world.accept(plans(vec![begins(world.new_deployment(7, "a"), Vec::new())]));
    let former = world.deployment(7);
    world.accept(deregister("a", true, 2));
    assert_eq!(vec![former.clone()], read::deployments_of_job(&world.tables, "default", "a").unwrap());
    world.accept(registered("a", "{1}", 3));
    world.accept(plans(vec![begins(world.new_deployment(5, "a"), Vec::new())]));
    let latest = read::latest_deployment(&world.tables, "default", "a").unwrap().unwrap();
    assert_eq!((id(5).to_vec(), true), (latest.id, latest.job_create_index > former.job_create_index));
    assert_eq!(None, read::latest_deployment(&world.tables, "default", "ab").unwrap());
}

#[test]
fn a_deployment_s_id_has_sixteen_bytes() {
    let mut world = world();
    let deployment = Deployment { id: vec![1], ..world.new_deployment(7, "a") };
    let refusal = world.refused(plans(vec![begins(deployment, vec![world.placement(50, "a", 100, 1)])]));
    assert_eq!((500, "a deployment's id has sixteen bytes".to_owned()), refusal);
    assert_eq!(0, world.used_cpu_mhz(100));
}

#[test]
fn a_deadline_beyond_all_time_is_the_end_of_time() {
    let mut world = world();
    let mut deployment = world.new_deployment(7, "a");
    deployment.groups.get_mut("g").unwrap().progress_deadline_ns = i64::MAX;
    world.accept(plans(vec![begins(deployment, vec![world.rolled_out(50, 100, 1, 7)])]));
    assert_eq!((1, i64::MAX), world.progress(7));
}
