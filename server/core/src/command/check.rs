//! What commands check of themselves before `apply` looks at it: names that make keys of their own.
//!
//! Requests are checked where they enter; this is for what comes from another server. A name with a zero byte
//! would make the key of another row, and rows that do not fit together end a server.

use ordu_proto::command::{Plan, Refusal};
use ordu_proto::state::Job;

use super::refuse;

/// The id of a cluster, bytes: it is in a row that is written with every entry.
const CLUSTER_ID_BYTES_MAX: usize = 64;

/// A name or an id that becomes part of a key, bytes: far more than any that a request may have, far less than
/// what a database takes.
const KEY_PART_BYTES_MAX: usize = 64 * 1024;

/// Refuses an id of a cluster that is too long.
pub(super) fn cluster_id(id: &[u8]) -> Result<(), Refusal> {
    if id.len() <= CLUSTER_ID_BYTES_MAX {
        return Ok(());
    }
    Err(refuse(400, format!("a cluster's id has at most {CLUSTER_ID_BYTES_MAX} bytes")))
}

/// Refuses a job whose names make keys of other rows.
pub(super) fn job(job: &Job) -> Result<(), Refusal> {
    lengths([job.idempotency_token.as_bytes()])?;
    names([&job.namespace, &job.id, &job.parent_id])
}

/// Refuses a plan with names or ids that make keys of other rows.
pub(super) fn plan(plan: &Plan) -> Result<(), Refusal> {
    for alloc in &plan.place {
        names([&alloc.namespace, &alloc.job_id])?;
        lengths([&alloc.node_id, &alloc.eval_id])?;
    }
    plan.update.iter().try_for_each(|update| lengths([&update.eval_id]))?;
    plan.deployment.as_ref().map_or(Ok(()), |it| names([&it.namespace, &it.job_id]))
}

/// Refuses names that hold a zero byte, which ends a name in a key, or that are too long.
pub(super) fn names<const COUNT: usize>(names: [&String; COUNT]) -> Result<(), Refusal> {
    if names.iter().any(|name| name.contains('\0')) {
        return Err(refuse(400, "a namespace or a job's id has a zero byte"));
    }
    lengths(names.map(|name| name.as_bytes()))
}

/// Refuses parts of keys that are too long.
pub(super) fn lengths<const COUNT: usize>(parts: [&[u8]; COUNT]) -> Result<(), Refusal> {
    match parts.iter().map(|part| part.len()).find(|length| *length > KEY_PART_BYTES_MAX) {
        Some(length) => {
            Err(refuse(400, format!("a name or an id of {length} bytes; {KEY_PART_BYTES_MAX} are allowed")))
        }
        None => Ok(()),
    }
}
