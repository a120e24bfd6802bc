//! Command 19, since 0.1: what the schedulers say of evaluations, new ones among them.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Done, EvalUpdate};

use super::entry::Entry;
use super::{Step, refuse};

pub(super) fn apply(entry: &mut Entry<'_, '_>, command: EvalUpdate) -> Step {
    if command.evals.iter().any(|eval| eval.id.len() != 16) {
        return Ok(Err(refuse(500, "an evaluation's id has sixteen bytes")));
    }
    for eval in command.evals {
        entry.put_eval(eval)?;
    }
    Ok(Ok(Answer::Done(Done { index: entry.index })))
}
