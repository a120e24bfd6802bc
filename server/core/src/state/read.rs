//! Named look-ups in the tables, so that no caller spells a key.

use ordu_proto::state::{Allocation, ClusterMeta, Evaluation, Job, JobSpec, JobSummary, Node};

use super::reader::{ReaderExt, decode};
use super::{Corrupt, Id, Reader, Table, TableIndexes, key};

/// The cluster's own facts; those of a cluster that has none yet are empty.
pub fn cluster_meta(reader: &dyn Reader) -> Result<ClusterMeta, Corrupt> {
    Ok(reader.row(Table::Meta, key::meta::CLUSTER)?.unwrap_or_default())
}

/// The index of the last change to each table.
pub fn indexes(reader: &dyn Reader) -> Result<TableIndexes, Corrupt> {
    match reader.get(Table::Meta, key::meta::INDEXES)? {
        Some(bytes) => TableIndexes::decode(&bytes),
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

/// All versions that are kept, newest first.
pub fn job_versions(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Vec<Job>, Corrupt> {
    reader.rows(Table::JobVersions, &key::of_job(namespace, id))
}

/// The specification of one version of one job, as canonical JSON.
pub fn job_spec(
    reader: &dyn Reader,
    namespace: &str,
    id: &str,
    job_create_index: u64,
    version: u64,
) -> Result<Option<Vec<u8>>, Corrupt> {
    let row: Option<JobSpec> =
        reader.row(Table::JobSpecs, &key::job_spec(namespace, id, job_create_index, version))?;
    Ok(row.map(|row| row.json))
}

/// The specification of a job row, which must be there.
pub fn spec_of(reader: &dyn Reader, job: &Job) -> Result<Vec<u8>, Corrupt> {
    job_spec(reader, &job.namespace, &job.id, job.create_index, job.version)?
        .ok_or_else(|| Corrupt::new(Table::JobSpecs, format!("no version {} of job {}", job.version, job.id)))
}

/// A job's summary.
pub fn job_summary(reader: &dyn Reader, namespace: &str, id: &str) -> Result<Option<JobSummary>, Corrupt> {
    reader.row(Table::JobSummaries, &key::job(namespace, id))
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

/// The allocations that an evaluation made, by id.
pub fn allocs_of_eval(reader: &dyn Reader, eval_id: &[u8]) -> Result<Vec<Allocation>, Corrupt> {
    owned(reader, Table::AllocsByEval, eval_id, Table::Allocs)
}

/// A node.
pub fn node(reader: &dyn Reader, id: &[u8]) -> Result<Option<Node>, Corrupt> {
    reader.row(Table::Nodes, id)
}

/// Calls `visit` with every row of a table whose key begins with `prefix`.
pub fn each<M: prost::Message + Default>(
    reader: &dyn Reader,
    table: Table,
    prefix: &[u8],
    visit: &mut dyn FnMut(M) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    reader.scan_prefix(table, prefix, &mut |_, bytes| {
        visit(decode(table, bytes)?)?;
        Ok(true)
    })
}

fn owned<M: prost::Message + Default>(
    reader: &dyn Reader,
    by: Table,
    prefix: &[u8],
    table: Table,
) -> Result<Vec<M>, Corrupt> {
    let ids: Vec<Id> = reader.ids(by, prefix)?;
    ids.iter()
        .map(|id| {
            reader
                .row(table, id)?
                .ok_or_else(|| Corrupt::new(table, format!("{} names a row that is not there", by.name())))
        })
        .collect()
}
