//! Golden bytes of deployments: their rows, and the plans that begin and end them.

use ordu_proto::command::{DeploymentUpdate, PlanUpdate};
use ordu_proto::state::{Deployment, DeploymentState, DeploymentStatus};

use super::*;

pub(super) fn full_deployment() -> Deployment {
    let group = DeploymentState {
        auto_revert: true,
        auto_promote: true,
        promoted: true,
        placed_canaries: vec![id(50).to_vec()],
        desired_canaries: 1,
        desired_total: 2,
        placed_allocs: 3,
        healthy_allocs: 4,
        unhealthy_allocs: 5,
        progress_deadline_ns: 6,
        require_progress_by_ns: 7,
    };
    Deployment {
        id: id(3).to_vec(),
        namespace: "default".into(),
        job_id: "app/web".into(),
        job_version: 3,
        job_create_index: 11,
        job_modify_index: 13,
        job_spec_modify_index: 12,
        groups: [("g".into(), group)].into(),
        status: DeploymentStatus::Running.into(),
        status_description: "Deployment is running".into(),
        create_index: 14,
        modify_index: 15,
        create_time_ns: 16,
        modify_time_ns: 17,
    }
}

/// Returns a plan that begins a deployment, ends another, and moves an allocation into the new one.
pub(super) fn rollout() -> Plan {
    let ended = DeploymentUpdate {
        deployment_id: id(2).to_vec(),
        status: DeploymentStatus::Cancelled.into(),
        status_description: "Cancelled due to newer version of job".into(),
    };
    let update = PlanUpdate {
        alloc_id: id(52).to_vec(),
        job_version: 4,
        eval_id: id(1).to_vec(),
        deployment_id: id(3).to_vec(),
        ..Default::default()
    };
    Plan {
        update: vec![update],
        deployment: Some(full_deployment()),
        deployment_updates: vec![ended],
        ..plan(Vec::new())
    }
}

/// A log with version rollouts: as in the other log, another hash means another decision.
#[test]
fn a_given_log_with_deployments_leads_to_the_state_that_the_release_reached() {
    let mut world = World::new();
    world.accept(node_register(node(100, 1000)));
    world.accept(registered("app/web", "{1}", 1));
    let deployment = |number: u64, job: Job| Deployment {
        id: id(number).to_vec(),
        job_version: job.version,
        job_create_index: job.create_index,
        groups: [("g".into(), DeploymentState { progress_deadline_ns: 60, ..Default::default() })].into(),
        ..full_deployment()
    };
    let placed = Allocation { deployment_id: id(2).to_vec(), ..world.placement(52, "app/web", 100, 10) };
    let begins = Plan { deployment: Some(deployment(2, world.job("app/web"))), ..plan(vec![placed]) };
    world.accept(plans(vec![begins]));
    world.accept(registered("app/web", "{2}", 2));
    world.accept(plans(vec![Plan { deployment: Some(deployment(3, world.job("app/web"))), ..rollout() }]));
    world.accept(deregister("app/web", true, 3));
    let hash: String = world.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    expect_test::expect!["4914449e586722971f2c2f6be3af5259460fc34d1126112943ecaec85ac22bae"].assert_eq(&hash);
}
