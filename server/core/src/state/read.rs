//! Named lookups in the tables, so that callers need no keys.

use ordu_proto::api;
use ordu_proto::raft::LogId;
use ordu_proto::state::{
    Allocation, AutopilotConfig, ClientStatus, ClusterMeta, Deployment, Evaluation, Job, JobSpec, JobSummary,
    Node, NodeAlloc, PeriodicLaunchRecord,
};

use super::reader::ReaderExt;
use super::{Corrupt, Id, Reader, Table, TableIndexes, key, readable};
use crate::job::{SpecFacts, parse_spec};

/// Node's state of a task that will not run again.
const TASK_DEAD: &str = "dead";

/// Returns the cluster's metadata; the default if none is stored yet.
pub fn cluster_meta(reader: &dyn Reader) -> Result<ClusterMeta, Corrupt> {
    Ok(reader.row(Table::Meta, key::meta::CLUSTER)?.unwrap_or_default())
}

/// Returns the autopilot configuration, if it was ever set.
pub fn autopilot(reader: &dyn Reader) -> Result<Option<AutopilotConfig>, Corrupt> {
    reader.row(Table::Meta, key::meta::AUTOPILOT)
}

/// Returns the index of the last log entry applied to the tables, or 0.
pub fn applied_index(reader: &dyn Reader) -> Result<u64, Corrupt> {
    let applied: Option<LogId> = reader.row(Table::Meta, key::meta::APPLIED)?;
    Ok(applied.map_or(0, |applied| applied.index))
}

/// Returns the log index of the last change to each table.
pub fn indexes(reader: &dyn Reader) -> Result<TableIndexes, Corrupt> {
    match reader.get(Table::Meta, key::meta::INDEXES)? {
        Some(bytes) => TableIndexes::decode(&bytes)
            .inspect_err(|corrupt| reader.set_aside(Table::Meta, key::meta::INDEXES, &corrupt.reason)),
        None => Ok(TableIndexes::default()),
    }
}

/// Returns the live row of a job.
pub fn job(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Option<Job>, Corrupt> {
    reader.row(Table::Jobs, &key::job(namespace, id))
}

/// Returns a version of a job.
pub fn job_version(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
    version: u64,
) -> Result<Option<Job>, Corrupt> {
    reader.row(Table::JobVersions, &key::job_version(namespace, id, version))
}

/// Returns all kept versions that can be decoded, newest first.
pub fn job_versions(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Vec<Job>, Corrupt> {
    reader.rows(Table::JobVersions, &key::of_job(namespace, id))
}

/// Returns the specification of a job version.
pub fn job_spec(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
    job_create_index: u64,
    version: u64,
) -> Result<Option<JobSpec>, Corrupt> {
    reader.row(Table::JobSpecs, &key::job_spec(namespace, id, job_create_index, version))
}

/// Returns how many stored allocations use a specification.
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

/// Returns whether a stored allocation uses a specification. If the count cannot be decoded, assumes that one does.
pub fn is_spec_used(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
    job_create_index: u64,
    version: u64,
) -> Result<bool, Corrupt> {
    Ok(readable(spec_uses(reader, namespace, id, job_create_index, version))?.is_none_or(|uses| uses > 0))
}

/// Returns the specification of a job row. A missing specification is an error.
pub fn spec_of(reader: &dyn Reader, job: &Job) -> Result<JobSpec, Corrupt> {
    let spec = job_spec(reader, &job.namespace, &job.id, job.create_index, job.version)?;
    spec.ok_or_else(|| corrupt_spec(reader, job, &"it is not there"))
}

/// Parses a job's specification.
///
/// # Errors
/// Fails if this release cannot parse it, although an earlier one wrote it.
pub fn parsed_spec(reader: &dyn Reader, job: &Job, spec: &JobSpec) -> Result<api::job::JobSpec, Corrupt> {
    parse_spec(&spec.json).map_err(|error| corrupt_spec(reader, job, &error))
}

/// Parses those members of a job's specification that `apply` needs.
///
/// # Errors
/// Fails if one of these members is malformed.
pub(crate) fn spec_facts(reader: &dyn Reader, job: &Job, spec: &JobSpec) -> Result<SpecFacts, Corrupt> {
    SpecFacts::read(&spec.json).map_err(|error| corrupt_spec(reader, job, &error))
}

/// Returns the error for a missing or malformed specification of a job row, and reports the row.
pub fn corrupt_spec(reader: &dyn Reader, job: &Job, reason: &dyn std::fmt::Display) -> Corrupt {
    let Job { namespace, id, create_index, version, .. } = job;
    let at = key::job_spec(namespace, id, *create_index, *version);
    let reason = format!("the specification of version {version} of job {id:?}: {reason}");
    reader.corrupt_row(Table::JobSpecs, &at, reason)
}

/// Returns a job's summary.
pub fn job_summary(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Option<JobSummary>, Corrupt> {
    reader.row(Table::JobSummaries, &key::job(namespace, id))
}

/// Returns the child that was dispatched from a parameterized job with a token.
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

/// Returns the record of a periodic job's launches.
pub fn periodic_launch(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
) -> Result<Option<PeriodicLaunchRecord>, Corrupt> {
    reader.row(Table::PeriodicLaunches, &key::job(namespace, id))
}

/// Returns an evaluation.
pub fn eval(reader: &dyn Reader, id: &[u8]) -> Result<Option<Evaluation>, Corrupt> {
    reader.row(Table::Evals, id)
}

/// Returns the evaluations of a job, ordered by id.
pub fn evals_of_job(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Vec<Evaluation>, Corrupt> {
    owned(reader, Table::EvalsByJob, &key::of_job(namespace, id), Table::Evals)
}

/// Returns an allocation.
pub fn alloc(reader: &dyn Reader, id: &[u8]) -> Result<Option<Allocation>, Corrupt> {
    reader.row(Table::Allocs, id)
}

/// Returns the allocations of all jobs that ever had this id, ordered by allocation id.
pub fn allocs_of_job(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Vec<Allocation>, Corrupt> {
    owned(reader, Table::AllocsByJob, &key::of_job(namespace, id), Table::Allocs)
}

/// Returns the allocations on a node, ordered by id.
pub fn allocs_of_node(reader: &dyn Reader, node_id: &[u8]) -> Result<Vec<Allocation>, Corrupt> {
    owned(reader, Table::AllocsByNode, node_id, Table::Allocs)
}

/// Returns ids and summaries of the allocations on a node, so that a node's session reads only the allocations it
/// needs. The summary is `None` if it cannot be decoded.
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

/// Returns an allocation's row for `AllocsByNode`. An allocation marked as lost is not over: its node was only silent
/// and may still run it. Nor is a failed one whose other tasks are still being stopped.
pub fn node_alloc(alloc: &Allocation) -> NodeAlloc {
    let has_ended = matches!(alloc.client_status(), ClientStatus::Complete | ClientStatus::Failed)
        && alloc.task_states.values().all(|task| task.state == TASK_DEAD);
    NodeAlloc { alloc_modify_index: alloc.alloc_modify_index, over: has_ended }
}

/// Returns the allocations that an evaluation created, ordered by id.
pub fn allocs_of_eval(reader: &dyn Reader, eval_id: &[u8]) -> Result<Vec<Allocation>, Corrupt> {
    owned(reader, Table::AllocsByEval, eval_id, Table::Allocs)
}

/// Returns a deployment.
pub fn deployment(reader: &dyn Reader, id: &[u8]) -> Result<Option<Deployment>, Corrupt> {
    reader.row(Table::Deployments, id)
}

/// Returns the deployments of all jobs that ever had this id, ordered by deployment id.
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

/// Returns the most recently created deployment of any job with this id, whatever its status.
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

/// Returns a node.
pub fn node(reader: &dyn Reader, id: &[u8]) -> Result<Option<Node>, Corrupt> {
    reader.row(Table::Nodes, id)
}

/// Calls `visit` with every decodable row of a table whose key begins with `prefix`.
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

/// Returns the rows of `table` that rows of the secondary table `by` refer to, except missing and undecodable ones.
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
