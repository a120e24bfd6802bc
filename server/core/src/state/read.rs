//! Named look-ups in the tables, so that no caller spells a key.

use ordu_proto::api;
use ordu_proto::raft::LogId;
use ordu_proto::state::{
    Allocation, AutopilotConfig, ClientStatus, ClusterMeta, Deployment, Evaluation, Job, JobSpec, JobSummary,
    Node, NodeAlloc, PeriodicLaunchRecord,
};

use super::reader::ReaderExt;
use super::{Corrupt, Id, Reader, Table, TableIndexes, key, readable};
use crate::job::{SpecFacts, parse_spec};

/// What a node says of a task that will not run again.
const TASK_DEAD: &str = "dead";

/// The cluster's own facts; those of a cluster that has none yet are empty.
pub fn cluster_meta(reader: &dyn Reader) -> Result<ClusterMeta, Corrupt> {
    Ok(reader.row(Table::Meta, key::meta::CLUSTER)?.unwrap_or_default())
}

/// How the leader looks after the servers, once that was set.
pub fn autopilot(reader: &dyn Reader) -> Result<Option<AutopilotConfig>, Corrupt> {
    reader.row(Table::Meta, key::meta::AUTOPILOT)
}

/// The index of the log up to which the tables have everything; 0 where they have nothing.
pub fn applied_index(reader: &dyn Reader) -> Result<u64, Corrupt> {
    let applied: Option<LogId> = reader.row(Table::Meta, key::meta::APPLIED)?;
    Ok(applied.map_or(0, |applied| applied.index))
}

/// The index of the last change to each table.
pub fn indexes(reader: &dyn Reader) -> Result<TableIndexes, Corrupt> {
    match reader.get(Table::Meta, key::meta::INDEXES)? {
        Some(bytes) => TableIndexes::decode(&bytes)
            .inspect_err(|corrupt| reader.set_aside(Table::Meta, key::meta::INDEXES, &corrupt.reason)),
        None => Ok(TableIndexes::default()),
    }
}

/// The live job.
pub fn job(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Option<Job>, Corrupt> {
    reader.row(Table::Jobs, &key::job(namespace, id))
}

/// A version of a job as it was written.
pub fn job_version(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
    version: u64,
) -> Result<Option<Job>, Corrupt> {
    reader.row(Table::JobVersions, &key::job_version(namespace, id, version))
}

/// All versions that are kept and can be decoded, newest first.
pub fn job_versions(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Vec<Job>, Corrupt> {
    reader.rows(Table::JobVersions, &key::of_job(namespace, id))
}

/// The specification of one version of one job.
pub fn job_spec(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
    job_create_index: u64,
    version: u64,
) -> Result<Option<JobSpec>, Corrupt> {
    reader.row(Table::JobSpecs, &key::job_spec(namespace, id, job_create_index, version))
}

/// How many allocations run or ran by a specification.
pub fn spec_uses(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
    job_create_index: u64,
    version: u64,
) -> Result<u64, Corrupt> {
    let at = key::job_spec(namespace, id, job_create_index, version);
    let Some(bytes) = reader.get(Table::SpecUses, &at)? else { return Ok(0) };
    let count = bytes.as_slice().try_into().map(u64::from_be_bytes);
    count.map_err(|_| reader.corrupt_row(Table::SpecUses, &at, format!("a count of {} bytes", bytes.len())))
}

/// Whether an allocation runs or ran by a specification. One whose count cannot be decoded may be in use.
pub fn is_spec_used(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
    job_create_index: u64,
    version: u64,
) -> Result<bool, Corrupt> {
    Ok(readable(spec_uses(reader, namespace, id, job_create_index, version))?.is_none_or(|uses| uses > 0))
}

/// The specification of a job row, which must be there.
pub fn spec_of(reader: &dyn Reader, job: &Job) -> Result<JobSpec, Corrupt> {
    let spec = job_spec(reader, &job.namespace, &job.id, job.create_index, job.version)?;
    spec.ok_or_else(|| corrupt_spec(reader, job, &"it is not there"))
}

/// What a job's specification says.
///
/// # Errors
/// Where this release cannot read it, though an earlier one wrote it.
pub fn parsed_spec(reader: &dyn Reader, job: &Job, spec: &JobSpec) -> Result<api::job::JobSpec, Corrupt> {
    parse_spec(&spec.json).map_err(|error| corrupt_spec(reader, job, &error))
}

/// The members of a job's specification by which `apply` decides.
///
/// # Errors
/// Where one of these members is not what it must be.
pub(crate) fn spec_facts(reader: &dyn Reader, job: &Job, spec: &JobSpec) -> Result<SpecFacts, Corrupt> {
    SpecFacts::read(&spec.json).map_err(|error| corrupt_spec(reader, job, &error))
}

/// The specification of a job row is not what it must be; whoever finds that out says why.
pub fn corrupt_spec(reader: &dyn Reader, job: &Job, reason: &dyn std::fmt::Display) -> Corrupt {
    let Job { namespace, id, create_index, version, .. } = job;
    let at = key::job_spec(namespace, id, *create_index, *version);
    let reason = format!("the specification of version {version} of job {id:?}: {reason}");
    reader.corrupt_row(Table::JobSpecs, &at, reason)
}

/// A job's summary.
pub fn job_summary(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Option<JobSummary>, Corrupt> {
    reader.row(Table::JobSummaries, &key::job(namespace, id))
}

/// The child that a parameterized job was dispatched as with a token.
pub fn child_by_token(
    reader: &dyn Reader,
    namespace: &str,
    parent_id: &str,
    token: &str,
) -> Result<Option<Job>, Corrupt> {
    let at = key::by_token(namespace, parent_id, token);
    let Some(id) = reader.get(Table::ChildrenByToken, &at)? else { return Ok(None) };
    let id = String::from_utf8(id)
        .map_err(|_| reader.corrupt_row(Table::ChildrenByToken, &at, "a child's id that is no text"))?;
    job(reader, namespace, &id)
}

/// What is decided of a periodic job's launches.
pub fn periodic_launch(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
) -> Result<Option<PeriodicLaunchRecord>, Corrupt> {
    reader.row(Table::PeriodicLaunches, &key::job(namespace, id))
}

/// An evaluation.
pub fn eval(reader: &dyn Reader, id: &[u8]) -> Result<Option<Evaluation>, Corrupt> {
    reader.row(Table::Evals, id)
}

/// The evaluations of a job, by id.
pub fn evals_of_job(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Vec<Evaluation>, Corrupt> {
    owned(reader, Table::EvalsByJob, &key::of_job(namespace, id), Table::Evals)
}

/// An allocation.
pub fn alloc(reader: &dyn Reader, id: &[u8]) -> Result<Option<Allocation>, Corrupt> {
    reader.row(Table::Allocs, id)
}

/// The allocations of all jobs that ever had this id, by allocation id.
pub fn allocs_of_job(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Vec<Allocation>, Corrupt> {
    owned(reader, Table::AllocsByJob, &key::of_job(namespace, id), Table::Allocs)
}

/// The allocations on a node, by id.
pub fn allocs_of_node(reader: &dyn Reader, node_id: &[u8]) -> Result<Vec<Allocation>, Corrupt> {
    owned(reader, Table::AllocsByNode, node_id, Table::Allocs)
}

/// What a node's session has to know of each allocation on the node before it reads any, by id; of one whose
/// row cannot be decoded, that it is there.
pub fn node_allocs(reader: &dyn Reader, node_id: &[u8]) -> Result<Vec<(Id, Option<NodeAlloc>)>, Corrupt> {
    let table = Table::AllocsByNode;
    let mut rows = Vec::new();
    reader.scan_prefix(table, node_id, &mut |key, bytes| {
        if let Some(id) = reader.trailing_id(table, key) {
            rows.push((id, reader.decoded(table, key, bytes)));
        }
        Ok(true)
    })?;
    Ok(rows)
}

/// An allocation's row in `AllocsByNode`. One that the servers gave up as lost is not over: the node was only
/// silent, and may still run it. Nor is one that has failed while its other tasks are still being stopped.
pub fn node_alloc(alloc: &Allocation) -> NodeAlloc {
    let has_ended = matches!(alloc.client_status(), ClientStatus::Complete | ClientStatus::Failed)
        && alloc.task_states.values().all(|task| task.state == TASK_DEAD);
    NodeAlloc { alloc_modify_index: alloc.alloc_modify_index, over: has_ended }
}

/// The allocations that an evaluation made, by id.
pub fn allocs_of_eval(reader: &dyn Reader, eval_id: &[u8]) -> Result<Vec<Allocation>, Corrupt> {
    owned(reader, Table::AllocsByEval, eval_id, Table::Allocs)
}

/// A deployment.
pub fn deployment(reader: &dyn Reader, id: &[u8]) -> Result<Option<Deployment>, Corrupt> {
    reader.row(Table::Deployments, id)
}

/// The deployments of all jobs that ever had this id, by deployment id.
pub fn deployments_of_job(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
) -> Result<Vec<Deployment>, Corrupt> {
    let mut deployments: Vec<Deployment> =
        owned(reader, Table::DeploymentsByJob, &key::of_job(namespace, id), Table::Deployments)?;
    deployments.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(deployments)
}

/// The deployment of a job id that was made last, whatever has become of it and of its job.
pub fn latest_deployment(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
) -> Result<Option<Deployment>, Corrupt> {
    let of_job = key::of_job(namespace, id);
    let mut latest = None;
    reader.scan_reverse(
        Table::DeploymentsByJob,
        &of_job,
        key::end_of(&of_job).as_deref(),
        &mut |at, _| {
            latest = key::trailing_id(at);
            Ok(false)
        },
    )?;
    let Some(latest) = latest else { return Ok(None) };
    deployment(reader, &latest)
}

/// A node.
pub fn node(reader: &dyn Reader, id: &[u8]) -> Result<Option<Node>, Corrupt> {
    reader.row(Table::Nodes, id)
}

/// Calls `visit` with every row of a table whose key begins with `prefix`, but for those that cannot be decoded.
pub fn each<M: prost::Message + Default>(
    reader: &dyn Reader,
    table: Table,
    prefix: &[u8],
    visit: &mut dyn FnMut(M) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    reader.scan_prefix(table, prefix, &mut |key, bytes| {
        if let Some(row) = reader.decoded(table, key, bytes) {
            visit(row)?;
        }
        Ok(true)
    })
}

/// The rows of a table that a secondary one names, but for those that cannot be decoded or are not there.
fn owned<M: prost::Message + Default>(
    reader: &dyn Reader,
    by: Table,
    prefix: &[u8],
    table: Table,
) -> Result<Vec<M>, Corrupt> {
    let ids: Vec<Id> = reader.ids(by, prefix)?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in &ids {
        match readable(reader.row(table, id))? {
            Some(Some(row)) => rows.push(row),
            Some(None) => {
                reader.set_aside(table, id, &format!("{} names it, and it is not there", by.name()))
            }
            None => {}
        }
    }
    Ok(rows)
}
