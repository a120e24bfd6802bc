//! Command 19, since 0.1: writes the schedulers' updates of open evaluations and their new evaluations.

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
            // A closed evaluation stays as it is: a worker presumed lost may still report another result.
            let known = readable(read::eval(entry.reader(), &eval.id))?;
            if known.is_some_and(|known| known.is_none_or(|known| is_open(known.status()))) {
                // An evaluation with undecodable rows must not block the others of the entry.
                readable(entry.put_eval(eval))?;
            }
        }
        Ok(Ok(Done { index: entry.index }))
    }
}
