//! The plan applier: checks waiting plans against the state and all proposed plans, and proposes the accepted
//! parts together in one entry. Applying the entry checks again, in log order.

use std::sync::Arc;

use ordu_core::state::{Corrupt, read};
use ordu_proto::command::{Plan, PlanApply, PlanResult};
use ordu_store::state_machine::State;

use super::entry::{self, Checked};
use super::queue::Waiting;
use super::{InFlight, PlanOutcome, PlanQueue};
use crate::batching::{BatchBounds, gather};
use crate::counts::{PlanCounts, PlanFate};
use crate::writer::Writer;
use ordu_store::background::heavy;

/// Batching of plans; a single larger plan is split. While one entry is synced the next is in preparation.
const PLAN_BATCH: BatchBounds = BatchBounds { items_max: 256, bytes_max: 1024 * 1024, in_flight_max: 2 };
/// Number of placements above which a check runs on a blocking thread.
const HEAVY_PLACEMENTS: usize = 500;

/// The plan applier of one term.
pub(in super::super) struct Applier {
    pub(in super::super) term: u64,
    pub(in super::super) state: State,
    pub(in super::super) writer: Writer,
    pub(in super::super) queue: Arc<PlanQueue>,
    pub(in super::super) in_flight: Arc<InFlight>,
    pub(in super::super) counts: PlanCounts,
}

/// A proposed plan, and the worker that waits for its outcome.
struct Proposed {
    checked: Checked,
    waiting: Waiting,
}

impl Applier {
    /// Runs the applier.
    pub(in super::super) async fn run(self) {
        let applier = Arc::new(self);
        let queue = applier.queue.clone();
        let apply = |batch| {
            // Batches are checked in sequence: each is checked against the proposals before it.
            let (applier, proposed) = (applier.clone(), applier.check(batch));
            async move {
                if !proposed.is_empty() {
                    applier.propose(proposed).await;
                }
            }
        };
        gather(PLAN_BATCH, queue, apply).await;
    }

    /// Returns the plans to propose; plans of which nothing is accepted are answered here.
    fn check(&self, mut batch: Vec<Waiting>) -> Vec<Proposed> {
        let plans: Vec<Plan> = batch.iter_mut().map(|waiting| std::mem::take(&mut waiting.plan)).collect();
        let placements: usize = plans.iter().map(|plan| plan.place.len()).sum();
        let checked = heavy(placements >= HEAVY_PLACEMENTS, || self.check_plans(plans));
        let checked = match checked {
            Ok(checked) => checked,
            Err(corrupt) => {
                tracing::error!("plans cannot be checked: {corrupt}");
                self.fail(batch, &corrupt.to_string());
                return Vec::new();
            }
        };
        let mut proposed = Vec::new();
        for (checked, waiting) in checked.into_iter().zip(batch) {
            let checked = match checked {
                Ok(checked) => checked,
                Err(corrupt) => {
                    self.fail(vec![waiting], &format!("its plan cannot be checked: {corrupt}"));
                    continue;
                }
            };
            if checked.is_empty() {
                self.in_flight.settle(waiting.number);
                let refused = checked.refused.len();
                self.answer(waiting, Ok(PlanOutcome { refused, ..PlanOutcome::default() }));
            } else {
                self.in_flight.proposed(waiting.number, &checked.plan);
                proposed.push(Proposed { checked, waiting });
            }
        }
        proposed
    }

    fn check_plans(&self, plans: Vec<Plan>) -> Result<Vec<Result<Checked, Corrupt>>, Corrupt> {
        // Nothing is applied while the guard is held, so the view and the rows are of one state.
        let machine = self.state.machine();
        self.state.read(move |reader| {
            let mut view = machine.view.snapshot();
            drop(machine);
            self.in_flight.overlay_proposed(&mut view, reader)?;
            Ok(entry::check(&view, plans, &mut |id| read::alloc(reader, id)))
        })
    }

    async fn propose(&self, mut proposed: Vec<Proposed>) {
        let plans: Vec<Plan> = proposed.iter_mut().map(|it| std::mem::take(&mut it.checked.plan)).collect();
        let written = match <[Plan; 1]>::try_from(plans) {
            Ok([plan]) => self.write_one(plan).await.map(|(index, result)| (index, vec![result])),
            Err(plans) => self.write(plans).await,
        };
        for it in &proposed {
            self.in_flight.settle(it.waiting.number);
        }
        match written {
            Ok((index, results)) => {
                for (Proposed { checked, waiting }, result) in proposed.into_iter().zip(results) {
                    self.answer(waiting, checked.outcome(index, &result));
                }
            }
            Err(reason) => {
                proposed.into_iter().for_each(|it| self.answer(it.waiting, Err(reason.clone())));
            }
        }
    }

    /// Writes a single plan, in several entries if it is too large for one.
    async fn write_one(&self, plan: Plan) -> Result<(u64, PlanResult), String> {
        let mut last_index = 0;
        let mut results = Vec::new();
        for part in entry::split(plan, PLAN_BATCH.bytes_max) {
            let (index, result) = self.write(vec![part]).await?;
            last_index = index;
            results.extend(result);
        }
        Ok((last_index, entry::merge(results)))
    }

    async fn write(&self, plans: Vec<Plan>) -> Result<(u64, Vec<PlanResult>), String> {
        let count = plans.len();
        let command = PlanApply { plans };
        let written =
            self.writer.write_as_leader(self.term, command).await.map_err(|error| error.to_string())?;
        let results = written.answer.results;
        match results.len() == count {
            true => Ok((written.index, results)),
            false => Err(format!("the answer to {count} plans has {} results", results.len())),
        }
    }

    fn fail(&self, batch: Vec<Waiting>, reason: &str) {
        for waiting in batch {
            self.in_flight.settle(waiting.number);
            self.answer(waiting, Err(reason.to_owned()));
        }
    }

    fn answer(&self, waiting: Waiting, outcome: Result<PlanOutcome, String>) {
        let fate = match &outcome {
            Ok(PlanOutcome { refused: 0, .. }) => PlanFate::Applied,
            Ok(PlanOutcome { progress: true, .. }) => PlanFate::Partial,
            Ok(_) => PlanFate::Refused,
            Err(_) => PlanFate::Failed,
        };
        self.counts.note(fate, waiting.submitted.elapsed());
        // The worker may have ended with its term.
        let _ = waiting.outcome.send(outcome);
    }
}
