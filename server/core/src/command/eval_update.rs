//! Command 19, since 0.1: what the schedulers say of evaluations that are open, new ones among them.

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Done, EvalUpdate};

use super::entry::{Entry, is_open};
use super::{Step, refuse};
use crate::state::{read, readable};

pub(super) fn apply(entry: &mut Entry<'_, '_>, command: EvalUpdate) -> Step {
    if command.evals.iter().any(|eval| eval.id.len() != 16) {
        return Ok(Err(refuse(500, "an evaluation's id has sixteen bytes")));
    }
    for eval in command.evals {
        // What is over stays as it ended: a worker that was taken to be lost may tell something else later.
        let known = readable(read::eval(entry.reader(), &eval.id))?;
        if known.is_some_and(|known| known.is_none_or(|known| is_open(known.status()))) {
            // One whose rows cannot be decoded does not hold up the others of the entry.
            readable(entry.put_eval(eval))?;
        }
    }
    Ok(Ok(Answer::Done(Done { index: entry.index })))
}
