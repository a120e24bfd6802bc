//! The deployment of a service's version: which one is in effect, when one ends for a newer version or a
//! stop, and when one begins.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::command::DeploymentUpdate;
use ordu_proto::state::{Allocation, Deployment, DeploymentState, DeploymentStatus, Job};

use super::job::{ScheduledGroup, ScheduledJob};
use super::place::Ids;
use super::reconcile::GroupWork;

const RUNNING: &str = "Deployment is running";
const JOB_STOPPED: &str = "Cancelled because job is stopped";
const NEWER_VERSION: &str = "Cancelled due to newer version of job";

/// Whether a deployment is under way: what is over stays over.
pub fn is_active_deployment(deployment: &Deployment) -> bool {
    matches!(deployment.status(), DeploymentStatus::Running | DeploymentStatus::Paused)
}

/// What an evaluation finds of deployments, and what it does about them.
#[derive(Debug, Default)]
pub(crate) struct Rollout<'a> {
    /// The latest deployment of the job's id, perhaps of another version or of an earlier job.
    latest: Option<&'a Deployment>,
    /// Whether the latest one is of the version that is wanted now.
    is_of_version: bool,
}

impl<'a> Rollout<'a> {
    /// Looks at the latest deployment. `wanted` is the job's present version; `None` if nothing of the job
    /// is wanted any more.
    pub(crate) fn new(latest: Option<&'a Deployment>, wanted: Option<&ScheduledJob>) -> Rollout<'a> {
        let is_wanted = |latest: &Deployment| {
            wanted.is_some_and(|job| {
                (latest.job_create_index, latest.job_version) == (job.create_index, job.version)
            })
        };
        Rollout { latest, is_of_version: latest.is_some_and(is_wanted) }
    }

    /// The deployment that rolls out the version that is wanted now.
    pub(crate) fn current(&self) -> Option<&'a Deployment> {
        self.latest.filter(|latest| self.is_of_version && is_active_deployment(latest))
    }

    /// The end of a deployment that rolls out what is not wanted any more.
    pub(crate) fn ended(&self, is_stopped: bool) -> Option<DeploymentUpdate> {
        let ended = self.latest.filter(|latest| !self.is_of_version && is_active_deployment(latest))?;
        let description = if is_stopped { JOB_STOPPED } else { NEWER_VERSION };
        Some(DeploymentUpdate {
            deployment_id: ended.id.clone(),
            status: DeploymentStatus::Cancelled.into(),
            status_description: description.to_owned(),
        })
    }

    /// A deployment for the groups that have an update policy and something to place or to update, if the
    /// version has none yet. A version that ran before and only replaces what it lost begins none.
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

/// The id that an allocation of the group carries: that of the deployment that rolls out the group.
pub(crate) fn id_for(deployment: Option<&Deployment>, group: &str) -> Vec<u8> {
    let deployment = deployment.filter(|deployment| deployment.groups.contains_key(group));
    deployment.map(|deployment| deployment.id.clone()).unwrap_or_default()
}
