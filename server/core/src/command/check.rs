//! Checks on command fields that run before `apply`: names and ids that become parts of keys.
//!
//! Requests are already checked where they arrive; these checks cover commands that another server forwarded. A name
//! with a zero byte would form the key of another row, and inconsistent rows stop a server.

use ordu_proto::command::{Plan, Refusal};
use ordu_proto::state::Job;

use super::refuse;

/// Maximum length of a cluster id in bytes. The id is part of a row that every log entry rewrites.
const CLUSTER_ID_BYTES_MAX: usize = 64;

/// Maximum length in bytes of a name or an id that becomes part of a key. Much longer than any name a request may
/// contain, much shorter than the database's limit.
const KEY_PART_BYTES_MAX: usize = 64 * 1024;

/// Refuses a cluster id that is too long.
pub(super) fn cluster_id(id: &[u8]) -> Result<(), Refusal> {
    if id.len() <= CLUSTER_ID_BYTES_MAX {
        return Ok(());
    }
    Err(refuse(400, format!("a cluster's id has at most {CLUSTER_ID_BYTES_MAX} bytes")))
}

/// Refuses a job with names that would form keys of other rows.
pub(super) fn job(job: &Job) -> Result<(), Refusal> {
    lengths([job.idempotency_token.as_bytes()])?;
    names([&job.namespace, &job.id, &job.parent_id])
}

/// Refuses a plan with names or ids that would form keys of other rows.
pub(super) fn plan(plan: &Plan) -> Result<(), Refusal> {
    for alloc in &plan.place {
        names([&alloc.namespace, &alloc.job_id])?;
        lengths([&alloc.node_id, &alloc.eval_id])?;
    }
    plan.update.iter().try_for_each(|update| lengths([&update.eval_id]))?;
    plan.deployment.as_ref().map_or(Ok(()), |it| names([&it.namespace, &it.job_id]))
}

/// Refuses names that are too long or contain a zero byte, which terminates a name in a key.
pub(super) fn names<const COUNT: usize>(names: [&String; COUNT]) -> Result<(), Refusal> {
    if names.iter().any(|name| name.contains('\0')) {
        return Err(refuse(400, "a namespace or a job's id has a zero byte"));
    }
    lengths(names.map(|name| name.as_bytes()))
}

/// Refuses key parts that are too long.
pub(super) fn lengths<const COUNT: usize>(parts: [&[u8]; COUNT]) -> Result<(), Refusal> {
    match parts.iter().map(|part| part.len()).find(|length| *length > KEY_PART_BYTES_MAX) {
        Some(length) => {
            Err(refuse(400, format!("a name or an id of {length} bytes; {KEY_PART_BYTES_MAX} are allowed")))
        }
        None => Ok(()),
    }
}
