//! The state machine's commands, one a file: everything that can change the state.

mod alloc_client_update;
mod autopilot_set;
mod check;
mod cluster_init;
mod entry;
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
mod periodic_launch;
mod plan_apply;
mod plan_deployments;
mod summaries_reconcile;
#[cfg(test)]
mod tests;
mod time_reset;

pub use entry::new_eval;
pub use job_version::version_of_submission;
pub use level::{FEATURE_LEVEL, FIRST_LEVEL, level_of, needed_level};
pub use machine::{Applied, Fatal, LogPosition, Machine, Unreadable, read_envelope, reads_all_of_something};

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Envelope, Refusal, envelope::Command};
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::state::{Corrupt, Id};

/// What a command's `apply` answers: an outcome, a refusal that leaves no trace, or a corrupt state. Where
/// that is a single row the command is refused; else the server stops.
type Step = Result<Result<Answer, Refusal>, Corrupt>;

/// A refusal with an HTTP status and a sentence for the caller.
pub fn refuse(status: u32, text: impl Into<String>) -> Refusal {
    Refusal { status, text: text.into() }
}

/// The status of a refusal for a row that cannot be decoded. It stands in the log; callers are told 500, which
/// in the log is the status of Nomad's refusals.
pub const UNREADABLE_STATUS: u32 = 520;

fn refuse_unreadable(corrupt: &Corrupt) -> Refusal {
    let text = format!("nothing is changed, since a row that is needed cannot be decoded: {corrupt}");
    refuse(UNREADABLE_STATUS, text)
}

fn no_such_version(namespace: &str, job_id: &str, version: u64) -> Refusal {
    refuse(500, format!("job {job_id:?} in namespace {namespace:?} at version {version} not found"))
}

/// An envelope around a command, with the level of the command: of a newer release's envelopes, an older one can read all
/// whose command it knows. `time_ns` is zero but in tests: the leader stamps it, see [`stamped`].
///
/// `request_id` names the request so that a retry finds the first answer; commands that may be applied
/// twice without harm go without. Who tries again also sets `earliest_index`.
pub fn envelope(request_id: Option<Id>, fence_term: u64, time_ns: i64, command: Command) -> Envelope {
    Envelope {
        request_id: request_id.map(Vec::from).unwrap_or_default(),
        time_ns,
        feature_level: level_of(&command),
        fence_term,
        earliest_index: 0,
        command: Some(command),
    }
}

/// An encoded envelope as the leader logs it: with its own clock as the time. Of a field that stands twice in
/// a message protobuf takes the last, so the stamp is appended, whatever a proposer has put there, and
/// nothing is encoded anew. A clock before 1970 counts as 1970.
pub fn stamped(envelope: &[u8], time_ns: i64) -> Vec<u8> {
    let time_ns = time_ns.max(0).unsigned_abs();
    let mut bytes = Vec::with_capacity(envelope.len() + STAMP_BYTES_MAX);
    bytes.extend_from_slice(envelope);
    encode_key(TIME_FIELD, WireType::Varint, &mut bytes);
    encode_varint(time_ns, &mut bytes);
    bytes
}

/// The number of `Envelope.time_ns`.
const TIME_FIELD: u32 = 2;
/// What [`stamped`] appends at most: a byte for the field, and nine of seven bits each for its value.
const STAMP_BYTES_MAX: usize = 10;
