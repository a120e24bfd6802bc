//! Deployments.

use ordu_proto::state::Deployment;

use super::{Rows, Secondary};
use crate::state::{Table, key};

/// Deployments, by id. `DeploymentsByJob` lists a job's deployments in order of creation.
pub struct Deployments;

impl Rows for Deployments {
    type Row = Deployment;
    type Key<'k> = &'k [u8];
    const TABLE: Table = Table::Deployments;
    const INDEXED: bool = true;

    fn key(id: &[u8]) -> Vec<u8> {
        id.to_vec()
    }

    fn secondary(deployment: &Deployment) -> Vec<Secondary> {
        let Deployment { namespace, job_id, create_index, id, .. } = deployment;
        let rest = [&create_index.to_be_bytes()[..], id].concat();
        vec![Secondary::of(Table::DeploymentsByJob, key::of_job(namespace, job_id), &rest)]
    }
}
