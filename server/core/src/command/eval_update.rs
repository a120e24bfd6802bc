//! Command 19, since 0.1: what the schedulers say of evaluations that are open, new ones among them.

use ordu_proto::command::{Done, EvalUpdate, Refusal};

use super::check;
use super::declared::Command;
use super::entry::{Entry, is_open};
use super::level::FIRST_LEVEL;
use super::{Step, refuse};
use crate::state::{read, readable};

impl Command for EvalUpdate {
    type Answer = Done;
    const NUMBER: u32 = 19;
    const LEVEL: u32 = FIRST_LEVEL;

    fn check(&self) -> Result<(), Refusal> {
        self.evals.iter().try_for_each(|eval| check::names([&eval.namespace, &eval.job_id]))
    }

    fn apply(self, entry: &mut Entry<'_, '_>) -> Step<Done> {
        if self.evals.iter().any(|eval| eval.id.len() != 16) {
            return Ok(Err(refuse(500, "an evaluation's id has sixteen bytes")));
        }
        for eval in self.evals {
            // What is over stays as it ended: a worker that was taken to be lost may tell something else later.
            let known = readable(read::eval(entry.reader(), &eval.id))?;
            if known.is_some_and(|known| known.is_none_or(|known| is_open(known.status()))) {
                // One whose rows cannot be decoded does not hold up the others of the entry.
                readable(entry.put_eval(eval))?;
            }
        }
        Ok(Ok(Done { index: entry.index }))
    }
}
