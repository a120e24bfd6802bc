//! The state machine's commands, one per file. Only commands change the replicated state.

mod alloc_client_update;
mod autopilot_set;
mod check;
mod cluster_init;
mod declared;
mod entry;
mod envelope;
mod eval_update;
mod feature_level_raise;
mod job_child;
mod job_deregister;
mod job_dispatch;
mod job_evaluate;
mod job_register;
mod job_revert;
mod job_stability;
mod job_state;
mod job_version;
mod level;
mod machine;
mod node_register;
mod node_status_update;
#[cfg(feature = "next-level")]
mod note_put;
mod outcome;
mod periodic_launch;
mod plan_apply;
mod plan_deployments;
mod summaries_reconcile;
mod tagged;
#[cfg(test)]
mod tests;
mod time_reset;

pub use declared::{Command, Declared, Needs};
pub use entry::{Entry, new_eval};
pub use envelope::{Envelope, Proposal, Read, Unreadable, command_in, envelope, read_envelope, stamped};
pub use job_version::version_of_submission;
pub use level::{FEATURE_LEVEL, FIRST_LEVEL};
pub use machine::{Applied, Fatal, LogPosition, Machine};
#[cfg(feature = "next-level")]
pub use note_put::NotePut;
pub use outcome::{Answer, AnswerMessage, EncodedAnswer, Outcome};
pub use summaries_reconcile::Reconciled;
pub use tagged::Malformed;

use ordu_proto::command::{
    AllocClientUpdate, AutopilotSet, ClusterInit, EvalUpdate, FeatureLevelRaise, JobDeregister, JobDispatch,
    JobEvaluate, JobRegister, JobRevert, JobStability, NodeRegister, NodeStatusUpdate, PeriodicLaunch,
    PlanApply, Refusal, SummariesReconcile, TimeReset,
};

use crate::state::Corrupt;

/// All commands, the most frequently applied first.
static COMMANDS: &[Declared] = &[
    Declared::of::<EvalUpdate>(),
    Declared::of::<PlanApply>(),
    Declared::of::<JobRegister>(),
    Declared::of::<AllocClientUpdate>(),
    Declared::of::<JobDispatch>(),
    Declared::of::<JobDeregister>(),
    Declared::of::<JobEvaluate>(),
    Declared::of::<JobRevert>(),
    Declared::of::<JobStability>(),
    Declared::of::<NodeRegister>(),
    Declared::of::<NodeStatusUpdate>(),
    Declared::of::<PeriodicLaunch>(),
    Declared::of::<SummariesReconcile>(),
    Declared::of::<TimeReset>(),
    Declared::of::<AutopilotSet>(),
    Declared::of::<ClusterInit>(),
    Declared::of::<FeatureLevelRaise>(),
    #[cfg(feature = "next-level")]
    Declared::of::<NotePut>(),
];

/// Result of a command's `apply`: an answer, a refusal that leaves the state unchanged, or an unreadable state. If
/// only a single row is unreadable, the command is refused; otherwise the server stops.
pub type Step<A> = Result<Result<A, Refusal>, Corrupt>;

/// Builds a refusal from an HTTP status and a message for the caller.
pub fn refuse(status: u32, text: impl Into<String>) -> Refusal {
    Refusal { status, text: text.into() }
}

/// Status of a refusal caused by a row that cannot be decoded. Only the log contains it: callers get 500, which in the
/// log is the status of Nomad's own refusals.
pub const UNREADABLE_STATUS: u32 = 520;

fn refuse_unreadable(corrupt: &Corrupt) -> Refusal {
    let text = format!("nothing is changed, since a row that is needed cannot be decoded: {corrupt}");
    refuse(UNREADABLE_STATUS, text)
}

fn no_such_version(namespace: &str, job_id: &str, version: u64) -> Refusal {
    refuse(500, format!("job {job_id:?} in namespace {namespace:?} at version {version} not found"))
}
