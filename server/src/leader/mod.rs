//! What only the leader does. All of it lives in a [`LeaderTerm`]: dropping that ends it, and what it
//! proposed carries the term and takes no effect in another.

pub(crate) mod batcher;
mod broker;
mod decide;
pub(crate) mod duties;
mod follow;
mod jobs;
pub(crate) mod liveness;
mod periodic;
mod plans;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ordu_core::scheduler::{BlockedStats, BrokerStats};
use ordu_proto::command::EvalUpdate;
use ordu_proto::command::envelope::Command;
use ordu_proto::state::Evaluation;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::interval;

use self::batcher::{BatchBounds, Batcher, NotWritten};
use self::broker::Broker;
use self::jobs::JobCache;
pub use self::liveness::Liveness;
use self::plans::{Applier, InFlight, PlanQueue};
use crate::context::Context;
use crate::feed::Feed;

/// How evaluations are gathered into entries. The spacing is what a busy leader's evaluations wait; their
/// plans do not wait for it.
const EVAL_BATCH: BatchBounds = BatchBounds {
    spacing: Duration::from_millis(5),
    items_max: 1024,
    bytes_max: 1024 * 1024,
    queue_max: 4096,
};

/// Evaluations that the leader itself ends, in one submission.
const OVER_PER_SUBMISSION_MAX: usize = 256;

/// How often evaluations whose plans were refused too often are tried again.
const REFUSED_PLANS_RETRY: Duration = Duration::from_secs(60);

/// What a term works with.
pub struct LeaderParts {
    /// The term in which this server leads.
    pub term: u64,
    /// The server.
    pub context: Context,
    /// What is applied here.
    pub feed: Feed,
    /// When nodes were heard of.
    pub liveness: Arc<Liveness>,
    /// Where the duties run.
    pub work: Handle,
}

/// What the duties of one term share.
struct Duties {
    term: u64,
    context: Context,
    liveness: Arc<Liveness>,
    broker: Broker,
    jobs: JobCache,
    plans: Arc<PlanQueue>,
    in_flight: Arc<InFlight>,
    evals: Batcher<Evaluation>,
    /// Tells of periodic jobs that changed.
    periodic: periodic::Changed,
    /// As many permits as decisions may be under way.
    workers: Semaphore,
}

/// A term in which this server leads. Dropping it ends all duties.
pub struct LeaderTerm {
    duties: Arc<Duties>,
    /// Dropped with the term, which aborts them.
    _tasks: JoinSet<()>,
}

/// How much the leader has to do.
#[derive(Clone, Debug)]
pub struct LeaderStats {
    /// Evaluations that are to be decided.
    pub broker: BrokerStats,
    /// Evaluations that wait for room.
    pub blocked: BlockedStats,
    /// Plans that wait for the applier.
    pub plans_waiting: usize,
    /// What the leader's clock says.
    pub now_ns: i64,
}

/// Finds the term in which this server leads, while it does, for those who ask how much there is to do. A cheap handle.
#[derive(Clone, Default)]
pub struct Leading(Arc<Mutex<Weak<Duties>>>);

impl Leading {
    fn duties(&self) -> MutexGuard<'_, Weak<Duties>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much there is to do; `None` where this server does not lead.
    pub fn stats(&self) -> Option<LeaderStats> {
        let duties = self.duties().upgrade()?;
        let (broker, blocked, now_ns) = duties.broker.stats();
        Some(LeaderStats { broker, blocked, plans_waiting: duties.plans.len(), now_ns })
    }
}

impl LeaderTerm {
    /// Takes up the duties of a leader. To be called when this server's state holds all entries of earlier
    /// terms.
    pub fn start(parts: LeaderParts) -> LeaderTerm {
        let LeaderParts { term, context, feed, liveness, work } = parts;
        // Scheduling takes whole threads: not those that raft runs on.
        let _on_work = work.enter();
        // First the feed, then the tables: nothing falls in between.
        let feed = feed.subscribe();
        liveness.begin(term);
        let mut tasks = JoinSet::new();
        let writer = context.writer.clone();
        let (evals, batches) = Batcher::new(EVAL_BATCH, move |evals| {
            let writer = writer.clone();
            async move {
                let command = Command::EvalUpdate(EvalUpdate { evals });
                let written = writer.write_as_leader(term, command).await;
                written.map(drop).map_err(|error| NotWritten(error.to_string()))
            }
        });
        tasks.spawn(batches);
        let (over_sender, over) = unbounded_channel();
        let in_flight = Arc::new(InFlight::default());
        let (periodic, periodic_changed) = periodic::channel();
        let duties = Arc::new(Duties {
            term,
            broker: Broker::new(over_sender, context.clock.clone()),
            jobs: JobCache::default(),
            plans: Arc::new(PlanQueue::new(in_flight.clone())),
            in_flight,
            evals,
            periodic,
            workers: Semaphore::new(context.options.workers.max(1)),
            liveness,
            context,
        });
        let applier = Applier {
            term,
            state: duties.context.state.clone(),
            writer: duties.context.writer.clone(),
            queue: duties.plans.clone(),
            in_flight: duties.in_flight.clone(),
            counts: duties.context.counts.plans.clone(),
        };
        *duties.context.counts.leading.duties() = Arc::downgrade(&duties);
        tasks.spawn(applier.run());
        tasks.spawn(follow::run(duties.clone(), feed));
        tasks.spawn(worker::run(duties.clone()));
        tasks.spawn(worker::reap_failed(duties.clone()));
        tasks.spawn(end_evaluations(duties.clone(), over));
        tasks.spawn(retry_refused_plans(duties.clone()));
        tasks.spawn(track_nodes(duties.clone()));
        tasks.spawn(periodic::run(term, duties.context.clone(), periodic_changed));
        LeaderTerm { duties, _tasks: tasks }
    }

    /// The term.
    pub fn term(&self) -> u64 {
        self.duties.term
    }
}

impl Drop for LeaderTerm {
    fn drop(&mut self) {
        *self.duties.context.counts.leading.duties() = Weak::new();
        self.duties.liveness.end(self.duties.term);
    }
}

/// Writes the evaluations that the broker has ended.
async fn end_evaluations(duties: Arc<Duties>, mut over: UnboundedReceiver<Evaluation>) {
    let mut evals = Vec::new();
    while over.recv_many(&mut evals, OVER_PER_SUBMISSION_MAX).await > 0 {
        let count = evals.len();
        if let Err(error) = duties.evals.submit(std::mem::take(&mut evals)).await {
            tracing::warn!("{count} evaluations that are needless could not be cancelled: {error}");
        }
    }
}

async fn retry_refused_plans(duties: Arc<Duties>) {
    let mut turns = interval(REFUSED_PLANS_RETRY);
    loop {
        turns.tick().await;
        duties.broker.unblock_refused_plans();
    }
}

async fn track_nodes(duties: Arc<Duties>) {
    let Context { options, cluster, .. } = &duties.context;
    let leads = || cluster.is_leader();
    let down = |nodes| liveness::write_down(&duties.context, duties.term, nodes);
    liveness::track(&duties.liveness, options.heartbeat_ttl, options.heartbeat_grace, leads, down).await;
}
