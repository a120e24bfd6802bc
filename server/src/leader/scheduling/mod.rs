//! The leader's scheduling: an evaluation passes from the broker through a worker and the plan applier to its
//! end.

mod broker;
mod decide;
mod freed;
mod jobs;
mod open;
mod plans;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ordu_core::scheduler::{BlockedStats, BrokerStats, ClusterView};
use ordu_core::state::rows::Evals;
use ordu_core::state::{Change, Corrupt, Reader, RowChange};
use ordu_proto::command::EvalUpdate;
use ordu_proto::state::{EvalStatus, Evaluation};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::interval;

use self::broker::Broker;
use self::freed::Freed;
use self::jobs::JobCache;
use self::open::Open;
use self::plans::{Applier, InFlight, PlanQueue};
use super::duties::Duty;
use super::term::Term;
use crate::batching::{ArrivalBounds, BatchBounds, Batcher, NotWritten};
use crate::context::Context;

/// Batching of evaluation writes. The spacing delays only evaluations on a busy leader, not their plans.
const EVAL_ARRIVALS: ArrivalBounds = ArrivalBounds { spacing: Duration::from_millis(5), queue_max: 4096 };
const EVAL_BATCH: BatchBounds = BatchBounds { items_max: 1024, bytes_max: 1024 * 1024, in_flight_max: 1 };

/// Maximum number of cancelled evaluations in one submission.
const OVER_PER_SUBMISSION_MAX: usize = 256;

/// Interval at which evaluations are retried whose plans were refused too often.
const REFUSED_PLANS_RETRY: Duration = Duration::from_secs(60);

/// Shared by the workers of a term.
struct Scheduler {
    context: Context,
    broker: Broker,
    jobs: JobCache,
    plans: Arc<PlanQueue>,
    in_flight: Arc<InFlight>,
    evals: Batcher<Evaluation>,
    /// One permit per concurrent decision.
    workers: Semaphore,
}

/// The duty that keeps the broker in step with the state, and runs workers.
pub(super) struct Scheduling(Arc<Scheduler>);

impl Scheduling {
    /// Starts the tasks, with no evaluations yet.
    pub(super) fn start(term: &Term, tasks: &mut JoinSet<()>) -> Self {
        let context = term.context.clone();
        let (evals, writing) = eval_batcher(term);
        let (over_sender, over) = unbounded_channel();
        let in_flight = Arc::new(InFlight::default());
        let scheduler = Arc::new(Scheduler {
            broker: Broker::new(over_sender, context.clock.clone()),
            jobs: JobCache::default(),
            plans: Arc::new(PlanQueue::new(in_flight.clone())),
            in_flight,
            evals,
            workers: Semaphore::new(context.options.workers.max(1)),
            context,
        });
        let applier = Applier {
            term: term.number,
            state: scheduler.context.state.clone(),
            writer: scheduler.context.writer.clone(),
            queue: scheduler.plans.clone(),
            in_flight: scheduler.in_flight.clone(),
            counts: scheduler.context.counts.plans.clone(),
        };
        scheduler.context.counts.leading.begin(&scheduler);
        tasks.spawn(writing);
        tasks.spawn(applier.run());
        tasks.spawn(worker::run(scheduler.clone()));
        tasks.spawn(worker::reap_failed(scheduler.clone()));
        tasks.spawn(end_evaluations(scheduler.clone(), over));
        tasks.spawn(retry_refused_plans(scheduler.clone()));
        Self(scheduler)
    }
}

/// Creates the batcher that writes evaluations, and the future that runs it.
fn eval_batcher(term: &Term) -> (Batcher<Evaluation>, impl Future<Output = ()> + use<>) {
    let (writer, number) = (term.context.writer.clone(), term.number);
    Batcher::new(EVAL_BATCH, EVAL_ARRIVALS, move |evals| {
        let writer = writer.clone();
        async move {
            let command = EvalUpdate { evals };
            let written = writer.write_as_leader(number, command).await;
            written.map(drop).map_err(|error| NotWritten(error.to_string()))
        }
    })
}

impl Drop for Scheduling {
    fn drop(&mut self) {
        self.0.context.counts.leading.end(&self.0);
    }
}

impl Duty for Scheduling {
    fn name(&self) -> &'static str {
        "scheduling"
    }

    fn load(&self, tables: &dyn Reader, view: &ClusterView) -> Result<(), Corrupt> {
        let open = Open::read(tables)?;
        let (pending, blocked) = (open.pending.len(), open.blocked.len());
        self.0.broker.enqueue(open.pending);
        for (eval, datacenters) in open.blocked {
            self.0.broker.restore(eval, &datacenters, view);
        }
        tracing::info!("{pending} evaluations are to be decided, {blocked} wait for room");
        Ok(())
    }

    fn follow(&self, changes: &[(u64, Change)]) -> Result<(), Corrupt> {
        let Scheduler { context, broker, .. } = &*self.0;
        let mut freed = Freed::default();
        let mut pending = Vec::new();
        for (index, change) in changes {
            if let Some(RowChange { new: Some(eval), .. }) = change.of::<Evals>() {
                match eval.status() {
                    EvalStatus::Pending => pending.push(eval.clone()),
                    EvalStatus::Blocked => {
                        let datacenters = context.state.read(|reader| open::datacenters(reader, eval))?;
                        broker.block(eval.clone(), &datacenters);
                    }
                    EvalStatus::Complete => broker.finished(eval, eval.failed_groups.is_empty()),
                    EvalStatus::Failed | EvalStatus::Canceled => broker.finished(eval, false),
                    EvalStatus::Unspecified => {}
                }
            }
            freed.note(*index, change);
        }
        if !pending.is_empty() {
            broker.enqueue(pending);
        }
        freed.wake(&context.state, broker);
        Ok(())
    }
}

/// Writes the evaluations that the broker has cancelled.
async fn end_evaluations(scheduler: Arc<Scheduler>, mut over: UnboundedReceiver<Evaluation>) {
    let mut evals = Vec::new();
    while over.recv_many(&mut evals, OVER_PER_SUBMISSION_MAX).await > 0 {
        let count = evals.len();
        if let Err(error) = scheduler.evals.submit(std::mem::take(&mut evals)).await {
            tracing::warn!("{count} evaluations that are needless could not be cancelled: {error}");
        }
    }
}

async fn retry_refused_plans(scheduler: Arc<Scheduler>) {
    let mut turns = interval(REFUSED_PLANS_RETRY);
    loop {
        turns.tick().await;
        scheduler.broker.unblock_refused_plans();
    }
}

/// The leader's pending work.
#[derive(Clone, Debug)]
pub struct LeaderStats {
    /// Pending evaluations.
    pub broker: BrokerStats,
    /// Blocked evaluations.
    pub blocked: BlockedStats,
    /// Plans that wait for the applier.
    pub plans_waiting: usize,
    /// The leader's clock.
    pub now_ns: i64,
}

/// Access to the scheduler while this server leads, for statistics. A cheap handle.
#[derive(Clone, Default)]
pub struct Leading(Arc<Mutex<Weak<Scheduler>>>);

impl Leading {
    fn scheduler(&self) -> MutexGuard<'_, Weak<Scheduler>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, scheduler: &Arc<Scheduler>) {
        *self.scheduler() = Arc::downgrade(scheduler);
    }

    /// Clears the scheduler; does nothing if a newer term has begun.
    fn end(&self, scheduler: &Arc<Scheduler>) {
        let mut current = self.scheduler();
        if current.as_ptr() == Arc::as_ptr(scheduler) {
            *current = Weak::new();
        }
    }

    /// Returns the pending work; `None` if this server does not lead.
    pub fn stats(&self) -> Option<LeaderStats> {
        let scheduler = self.scheduler().upgrade()?;
        let (broker, blocked, now_ns) = scheduler.broker.stats();
        Some(LeaderStats { broker, blocked, plans_waiting: scheduler.plans.len(), now_ns })
    }
}
