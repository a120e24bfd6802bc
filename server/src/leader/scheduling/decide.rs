//! One decision of the scheduler: reads everything of one state, puts the plans under way into the view,
//! and lets the core decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordu_core::scheduler::evaluations::is_open;
use ordu_core::scheduler::{Decision, ScheduleInput, ScheduledJob, ViewSnapshot, schedule};
use ordu_core::state::{Corrupt, Reader, Table, key, read, readable, reader::ReaderExt};
use ordu_proto::raft::LogId;
use ordu_proto::state::{Allocation, Deployment, Evaluation, Job};

use super::Scheduler;
use super::jobs::Parsed;
use crate::contain::contained_now;
use crate::leader::ids::fresh_id;
use ordu_store::background::heavy;

/// Allocations times nodes from which on a decision is worth a thread of its own: about a millisecond.
const HEAVY_PAIRS: usize = 20_000;
/// The same of bytes of constraints times nodes.
const HEAVY_BYTES: usize = 1_000_000;

/// What the scheduler decided.
pub(super) struct Decided {
    pub(super) decision: Decision,
    /// The latest of the plans under way that the decision reckons with.
    pub(super) placed_around: Option<u64>,
    /// It was blocked and stays so, for the reasons that are written down.
    pub(super) stays_as_written: bool,
}

/// Everything that a decision looks at, of one state.
struct Sight {
    eval: Evaluation,
    job_row: Option<Job>,
    job: Option<Parsed>,
    older: BTreeMap<(u64, u64), Arc<ScheduledJob>>,
    allocs: Vec<Allocation>,
    deployment: Option<Deployment>,
    view: ViewSnapshot,
    index: u64,
    placed_around: Option<u64>,
}

impl Scheduler {
    /// Decides an evaluation on the present state; `None` if there is nothing to decide any more.
    /// `around_plans`: as if all plans under way had been applied.
    pub(super) fn decide(&self, eval_id: &[u8], around_plans: bool) -> Result<Option<Decided>, String> {
        let sight = self.look(eval_id, around_plans).map_err(|corrupt| corrupt.to_string())?;
        let Some(mut sight) = sight else { return Ok(None) };
        let wanted = sight.job.as_ref().map_or(0, |job| job.wanted);
        let pairs = (sight.allocs.len() + wanted).saturating_mul(sight.view.node_count());
        let bytes = sight.job.as_ref().map_or(0, |parsed| parsed.job.constraint_bytes());
        let bytes = bytes.saturating_mul(sight.view.node_count());
        let decision = heavy(pairs >= HEAVY_PAIRS || bytes >= HEAVY_BYTES, || {
            let older = &sight.older;
            let input = ScheduleInput {
                eval: &sight.eval,
                job_row: sight.job_row.as_ref(),
                job: sight.job.as_ref().map(|parsed| &*parsed.job),
                versions: &|create_index, version| older.get(&(create_index, version)).cloned(),
                allocs: &sight.allocs,
                deployment: sight.deployment.as_ref(),
                view: &mut sight.view,
                snapshot_index: sight.index,
                now_ns: self.context.clock.now_ns(),
                dry_run: false,
            };
            // What no one foresaw in one job must not end the leader, and then the next one.
            contained_now(|| schedule(input, &mut fresh_id))
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
        // While the guard is held nothing is applied, so that the view and the rows are of one state.
        let machine = self.context.state.machine();
        self.context.state.read(move |reader| {
            let mut view = machine.view.snapshot();
            drop(machine);
            let Some(eval) = read::eval(reader, eval_id)?.filter(|eval| is_open(eval.status())) else {
                return Ok(None);
            };
            let position: Option<LogId> = reader.row(Table::Meta, key::meta::APPLIED)?;
            let job_row = read::job(reader, &eval.namespace, &eval.job_id)?;
            let job = match &job_row {
                Some(row) => self.jobs.get(reader, row)?,
                None => None,
            };
            let allocs = read::allocs_of_job(reader, &eval.namespace, &eval.job_id)?;
            // One that cannot be decoded is not there: it must not hold up its job for ever.
            let deployment =
                readable(read::latest_deployment(reader, &eval.namespace, &eval.job_id))?.flatten();
            let older = self.older_versions(reader, job_row.as_ref(), &allocs)?;
            let placed_around = if around_plans { self.in_flight.overlay(&mut view, reader)? } else { None };
            let index = position.map_or(0, |position| position.index);
            Ok(Some(Sight { eval, job_row, job, older, allocs, deployment, view, index, placed_around }))
        })
    }

    /// The versions by which allocations of the job run.
    fn older_versions(
        &self,
        reader: &dyn Reader,
        job_row: Option<&Job>,
        allocs: &[Allocation],
    ) -> Result<BTreeMap<(u64, u64), Arc<ScheduledJob>>, Corrupt> {
        let mut older = BTreeMap::new();
        let Some(row) = job_row else { return Ok(older) };
        for alloc in allocs {
            let version = (alloc.job_create_index, alloc.job_version);
            if older.contains_key(&version) {
                continue;
            }
            // The specification outlives the row of its version, and the scheduler needs no more of it.
            let (create_index, version_number) = version;
            let row = Job { create_index, version: version_number, ..row.clone() };
            if let Some(parsed) = readable(self.jobs.get(reader, &row))?.flatten() {
                older.insert(version, parsed.job);
            }
        }
        Ok(older)
    }
}
