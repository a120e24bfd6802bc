//! What every command must be before `apply` looks at it: names that make keys of their own.
//!
//! Requests are checked where they enter; this is for what comes from another server. A name with a zero byte
//! would make the key of another row, and rows that do not fit together end a server.

use ordu_proto::command::envelope::Command;
use ordu_proto::command::{Plan, Refusal};
use ordu_proto::state::Job;

use super::refuse;

/// The id of a cluster, bytes: it is in a row that is written with every entry.
const CLUSTER_ID_BYTES_MAX: usize = 64;

/// A name or an id that becomes part of a key, bytes: far more than any that a request may have, far less than
/// what a database takes.
const KEY_PART_BYTES_MAX: usize = 64 * 1024;

/// Refuses what no server proposes.
pub(super) fn check(command: &Command) -> Result<(), Refusal> {
    match command {
        Command::JobRegister(it) => it.job.as_ref().map_or(Ok(()), job),
        Command::JobDeregister(it) => names([&it.namespace, &it.job_id]),
        Command::JobEvaluate(it) => names([&it.namespace, &it.job_id]),
        Command::JobDispatch(it) => {
            lengths([it.idempotency_token.as_bytes(), &it.id_suffix])?;
            names([&it.namespace, &it.job_id])
        }
        Command::JobRevert(it) => names([&it.namespace, &it.job_id]),
        Command::JobStability(it) => names([&it.namespace, &it.job_id]),
        Command::PeriodicLaunch(it) => names([&it.namespace, &it.job_id]),
        Command::EvalUpdate(it) => {
            it.evals.iter().try_for_each(|eval| names([&eval.namespace, &eval.job_id]))
        }
        Command::PlanApply(it) => it.plans.iter().try_for_each(plan),
        Command::ClusterInit(it) if it.cluster_id.len() > CLUSTER_ID_BYTES_MAX => {
            Err(refuse(400, format!("a cluster's id has at most {CLUSTER_ID_BYTES_MAX} bytes")))
        }
        Command::ClusterInit(_)
        | Command::AllocClientUpdate(_)
        | Command::NodeRegister(_)
        | Command::NodeStatusUpdate(_)
        | Command::SummariesReconcile(_)
        | Command::TimeReset(_)
        | Command::AutopilotSet(_)
        | Command::FeatureLevelRaise(_) => Ok(()),
        #[cfg(feature = "next-level")]
        Command::NotePut(it) => names([&it.name, &it.text]),
    }
}

fn job(job: &Job) -> Result<(), Refusal> {
    lengths([job.idempotency_token.as_bytes()])?;
    names([&job.namespace, &job.id, &job.parent_id])
}

fn plan(plan: &Plan) -> Result<(), Refusal> {
    for alloc in &plan.place {
        names([&alloc.namespace, &alloc.job_id])?;
        lengths([&alloc.node_id, &alloc.eval_id])?;
    }
    plan.update.iter().try_for_each(|update| lengths([&update.eval_id]))?;
    plan.deployment.as_ref().map_or(Ok(()), |it| names([&it.namespace, &it.job_id]))
}

fn names<const COUNT: usize>(names: [&String; COUNT]) -> Result<(), Refusal> {
    if names.iter().any(|name| name.contains('\0')) {
        return Err(refuse(400, "a namespace or a job's id has a zero byte"));
    }
    lengths(names.map(|name| name.as_bytes()))
}

fn lengths<const COUNT: usize>(parts: [&[u8]; COUNT]) -> Result<(), Refusal> {
    match parts.iter().map(|part| part.len()).find(|length| *length > KEY_PART_BYTES_MAX) {
        Some(length) => {
            Err(refuse(400, format!("a name or an id of {length} bytes; {KEY_PART_BYTES_MAX} are allowed")))
        }
        None => Ok(()),
    }
}
