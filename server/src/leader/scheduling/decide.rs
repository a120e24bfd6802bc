//! Makes one scheduling decision: reads all input from one state, adds the plans in flight to the view, and
//! calls the core scheduler.

use ordu_core::scheduler::evaluations::is_open;
use ordu_core::scheduler::{Decision, GatheredInput, ScheduledJob, Subject, schedule};
use ordu_core::state::{Corrupt, read};
use ordu_proto::state::Evaluation;

use super::Scheduler;
use crate::contain::contained_now;
use ordu_store::background::heavy;
use ordu_store::runtime::random_id;

/// Allocations times nodes above which a decision (about a millisecond) runs on a blocking thread.
const HEAVY_PAIRS: usize = 20_000;
/// Likewise, constraint bytes times nodes.
const HEAVY_BYTES: usize = 1_000_000;

/// The scheduler's decision.
pub(super) struct Decided {
    pub(super) decision: Decision,
    /// The latest plan in flight that the decision takes into account.
    pub(super) placed_around: Option<u64>,
    /// The evaluation was blocked and stays blocked, for the reasons already written.
    pub(super) stays_as_written: bool,
}

/// The input of a decision, all from one state.
struct Sight {
    eval: Evaluation,
    input: GatheredInput,
    placed_around: Option<u64>,
}

impl Scheduler {
    /// Decides an evaluation on the current state; returns `None` if it is no longer open. `around_plans`:
    /// treat all plans in flight as applied.
    pub(super) fn decide(&self, eval_id: &[u8], around_plans: bool) -> Result<Option<Decided>, String> {
        let sight = self.look(eval_id, around_plans).map_err(|corrupt| corrupt.to_string())?;
        let Some(mut sight) = sight else { return Ok(None) };
        let decision = heavy(is_heavy(&sight.input), || {
            let input = sight.input.input(&sight.eval, self.context.clock.now_ns());
            // A bug triggered by one job must not end this leader and then the next one.
            contained_now(|| schedule(input, &mut random_id))
        });
        let decision = decision.map_err(|said| format!("the scheduler met a fault of its own: {said}"))?;
        let stays_as_written = decision.stays_as_written(&sight.eval);
        Ok(Some(Decided { decision, placed_around: sight.placed_around, stays_as_written }))
    }

    /// Whether the evaluation is still to be decided.
    pub(super) fn is_open(&self, eval_id: &[u8]) -> Result<bool, Corrupt> {
        let eval = self.context.state.read(|reader| read::eval(reader, eval_id))?;
        Ok(eval.as_ref().is_some_and(|eval| is_open(eval.status())))
    }

    fn look(&self, eval_id: &[u8], around_plans: bool) -> Result<Option<Sight>, Corrupt> {
        // Nothing is applied while the guard is held, so the view and the rows are of one state.
        let machine = self.context.state.machine();
        self.context.state.read(move |reader| {
            let mut view = machine.view.snapshot();
            drop(machine);
            let Some(eval) = read::eval(reader, eval_id)?.filter(|eval| is_open(eval.status())) else {
                return Ok(None);
            };
            let placed_around = if around_plans { self.in_flight.overlay(&mut view, reader)? } else { None };
            let subject = Subject::Stored(&eval.namespace, &eval.job_id);
            let input =
                GatheredInput::gather(reader, view, subject, &|reader, row| self.jobs.get(reader, row))?;
            Ok(Some(Sight { eval, input, placed_around }))
        })
    }
}

/// Whether the decision should run on a blocking thread.
fn is_heavy(input: &GatheredInput) -> bool {
    let nodes = input.view.node_count();
    let job = input.job.as_deref();
    let wanted = job.map_or(0, ScheduledJob::allocs_wanted);
    let pairs = input.allocs.len().saturating_add(wanted).saturating_mul(nodes);
    let bytes = job.map_or(0, ScheduledJob::constraint_bytes).saturating_mul(nodes);
    pairs >= HEAVY_PAIRS || bytes >= HEAVY_BYTES
}
