//! Deployments of a service's versions: finds the active one, cancels it for a newer version or
//! a stop, and starts new ones.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::command::DeploymentUpdate;
use ordu_proto::state::{Allocation, Deployment, DeploymentState, DeploymentStatus, Job};

use super::job::{ScheduledGroup, ScheduledJob};
use super::place::Ids;
use super::reconcile::GroupWork;

const RUNNING: &str = "Deployment is running";
const JOB_STOPPED: &str = "Cancelled because job is stopped";
const NEWER_VERSION: &str = "Cancelled due to newer version of job";

/// Returns whether a deployment is in progress. A finished one never becomes active again.
pub fn is_active_deployment(deployment: &Deployment) -> bool {
    matches!(deployment.status(), DeploymentStatus::Running | DeploymentStatus::Paused)
}

/// The state of a job's rollout, as an evaluation finds it.
#[derive(Debug, Default)]
pub(crate) struct Rollout<'a> {
    /// The latest deployment with the job's id, possibly of another version or of an earlier job.
    latest: Option<&'a Deployment>,
    /// Whether the latest deployment is of the wanted version.
    is_of_version: bool,
}

impl<'a> Rollout<'a> {
    /// Builds the state from the latest deployment. `wanted` is the job's current version, or
    /// `None` if no allocation of the job should run.
    pub(crate) fn new(latest: Option<&'a Deployment>, wanted: Option<&ScheduledJob>) -> Rollout<'a> {
        let is_wanted = |latest: &Deployment| {
            wanted.is_some_and(|job| {
                (latest.job_create_index, latest.job_version) == (job.create_index, job.version)
            })
        };
        Rollout { latest, is_of_version: latest.is_some_and(is_wanted) }
    }

    /// Returns the active deployment of the wanted version, if any.
    pub(crate) fn current(&self) -> Option<&'a Deployment> {
        self.latest.filter(|latest| self.is_of_version && is_active_deployment(latest))
    }

    /// Returns the cancellation of an active deployment whose version is no longer wanted.
    pub(crate) fn ended(&self, is_stopped: bool) -> Option<DeploymentUpdate> {
        let ended = self.latest.filter(|latest| !self.is_of_version && is_active_deployment(latest))?;
        let description = if is_stopped { JOB_STOPPED } else { NEWER_VERSION };
        Some(DeploymentUpdate {
            deployment_id: ended.id.clone(),
            status: DeploymentStatus::Cancelled.into(),
            status_description: description.to_owned(),
        })
    }

    /// Returns a new deployment if the version has none yet. It contains the groups that have an update policy and
    /// allocations to place or update. A version that already had allocations and only replaces lost ones gets none.
    pub(crate) fn begin(
        &self,
        row: &Job,
        job: &ScheduledJob,
        works: &[GroupWork<'_>],
        allocs: &[Allocation],
        ids: &mut Ids<'_>,
    ) -> Option<Deployment> {
        if self.is_of_version {
            return None;
        }
        let of_version = |alloc: &&Allocation| {
            (alloc.job_create_index, alloc.job_version) == (job.create_index, job.version)
        };
        let had_running: BTreeSet<&str> =
            allocs.iter().filter(of_version).map(|alloc| alloc.task_group.as_str()).collect();
        let begins = |(group, work): &(&ScheduledGroup, &GroupWork<'_>)| {
            let is_first = !had_running.contains(group.name.as_str());
            work.desired_total() > 0 && (is_first || work.updates() > 0)
        };
        let groups = job.groups.iter().zip(works).filter(begins).filter_map(|(group, work)| {
            let policy = group.update.as_ref()?;
            let state = DeploymentState {
                auto_revert: policy.auto_revert,
                auto_promote: policy.auto_promote,
                progress_deadline_ns: policy.progress_deadline_ns,
                desired_total: work.desired_total() as i64,
                ..DeploymentState::default()
            };
            Some((group.name.clone(), state))
        });
        let groups: BTreeMap<String, DeploymentState> = groups.collect();
        if groups.is_empty() {
            return None;
        }
        Some(Deployment {
            id: ids().to_vec(),
            namespace: job.namespace.clone(),
            job_id: job.id.clone(),
            job_version: job.version,
            job_create_index: job.create_index,
            job_modify_index: row.modify_index,
            job_spec_modify_index: row.job_modify_index,
            groups,
            status: DeploymentStatus::Running.into(),
            status_description: RUNNING.to_owned(),
            ..Deployment::default()
        })
    }
}

/// Returns the deployment id for an allocation of the group: empty if the deployment does not include the group.
pub(crate) fn id_for(deployment: Option<&Deployment>, group: &str) -> Vec<u8> {
    let deployment = deployment.filter(|deployment| deployment.groups.contains_key(group));
    deployment.map(|deployment| deployment.id.clone()).unwrap_or_default()
}
