//! Scheduler workers: take evaluations from the broker, decide them, submit their plans and write the
//! results. The number of workers limits concurrent decisions; many more evaluations may wait for the log.

use std::sync::Arc;
use std::time::Duration;

use ordu_core::job::JobKind;
use ordu_core::limits::{PLAN_WHOLE_BYTES_MAX, PLAN_WHOLE_CHANGES_MAX};
use ordu_core::scheduler::{Decision, Delivery, FAILED_QUEUE, evaluations};
use ordu_proto::state::Evaluation;
use ordu_store::runtime::{random_bytes, random_id};
use prost::Message;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Scheduler;
use super::decide::Decided;
use super::open::datacenters;

/// Maximum number of evaluations that are being decided or wait for the log.
const EVALS_IN_HAND_MAX: usize = 1024;

/// Scheduler names. An evaluation with one that has no scheduler here fails with a message.
const SCHEDULERS: [&str; 4] =
    [JobKind::Service.as_str(), JobKind::Batch.as_str(), JobKind::System.as_str(), "sysbatch"];

/// Number of deliveries that a failed evaluation reports.
const DELIVERY_LIMIT: u32 = 3;

const GIVEN_AWAY: &str = "it took too long and was given to another worker";

/// Delay before a failed evaluation is retried; a random time up to [`FOLLOW_UP_SPREAD`] is added.
const FOLLOW_UP_DELAY: Duration = Duration::from_secs(60);
const FOLLOW_UP_SPREAD: Duration = Duration::from_secs(300);

/// Runs the workers.
pub(super) async fn run(scheduler: Arc<Scheduler>) {
    let in_hand = Arc::new(Semaphore::new(EVALS_IN_HAND_MAX));
    let mut evaluations = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = in_hand.clone().acquire_owned().await else { return };
        // Task results need no check: a panic outside the scheduler ends the process.
        while evaluations.try_join_next().is_some() {}
        let delivery = scheduler.broker.dequeue(&SCHEDULERS).await;
        let scheduler = scheduler.clone();
        evaluations.spawn(async move {
            evaluate(&scheduler, delivery).await;
            drop(place);
        });
    }
}

async fn evaluate(scheduler: &Scheduler, delivery: Delivery) {
    match attempt(scheduler, &delivery).await {
        Ok(()) => scheduler.broker.ack(&delivery),
        Err(reason) => {
            let job = &delivery.eval.job_id;
            tracing::warn!("an evaluation of job {job:?} is not decided and will be tried again: {reason}");
            scheduler.broker.nack(&delivery);
        }
    }
}

/// Decides the evaluation and writes the results, or returns why it cannot.
async fn attempt(scheduler: &Scheduler, delivery: &Delivery) -> Result<(), String> {
    let mut attempts = evaluations::PlanAttempts::new(JobKind::parse(&delivery.eval.r#type));
    let mut around_plans = true;
    scheduler.context.state.wait_applied(delivery.eval.modify_index).await;
    loop {
        scheduler.in_flight.room().await;
        let worker = scheduler.workers.acquire().await.map_err(|error| error.to_string())?;
        let decided = scheduler.decide(&delivery.eval.id, around_plans)?;
        let Some(Decided { decision, placed_around, stays_as_written }) = decided else { return Ok(()) };
        if let Some(plan_number) = placed_around
            && !decision.eval.failed_groups.is_empty()
        {
            // Plans in flight may be refused, and nothing would report that their resources are free again.
            // So wait for them before concluding that resources are lacking.
            drop(worker);
            scheduler.in_flight.settled(plan_number).await;
            around_plans = false;
            continue;
        }
        around_plans = true;
        if stays_as_written {
            drop(worker);
            return block_again(scheduler, decision.eval);
        }
        if decision.plan_is_empty() {
            drop(worker);
            return finish(scheduler, delivery, decision.eval, decision.blocked).await;
        }
        let Decision { plan, eval, blocked, eligibility, .. } = decision;
        let (bytes, changes) = (plan.encoded_len(), plan.place.len() + plan.stop.len() + plan.update.len());
        if plan.all_at_once && (bytes > PLAN_WHOLE_BYTES_MAX || changes > PLAN_WHOLE_CHANGES_MAX) {
            drop(worker);
            let failed = evaluations::whole_plan_too_large(&eval, bytes, changes);
            return finish(scheduler, delivery, failed, None).await;
        }
        if !scheduler.broker.pause(delivery) {
            return Err(GIVEN_AWAY.to_owned());
        }
        let submitted = scheduler.plans.submit(plan);
        drop(worker);
        let outcome = submitted.outcome().await;
        scheduler.broker.resume(delivery);
        let outcome = outcome?;
        scheduler.context.state.wait_applied(outcome.index).await;
        if outcome.refused == 0 {
            return finish(scheduler, delivery, eval, blocked).await;
        }
        tracing::debug!("the plan of job {:?} was refused on {} nodes", eval.job_id, outcome.refused);
        if !attempts.may_retry(outcome.progress) {
            let (failed, blocked) =
                evaluations::attempts_exhausted(&eval, &eligibility, attempts.max(), random_id());
            return finish(scheduler, delivery, failed, Some(blocked)).await;
        }
    }
}

/// Blocks an evaluation again without writing it. The log need not record the attempt: a new leader retries
/// blocked evaluations for which a node may be suitable.
fn block_again(scheduler: &Scheduler, eval: Evaluation) -> Result<(), String> {
    let datacenters = scheduler.context.state.read(|reader| datacenters(reader, &eval));
    scheduler.broker.block(eval, &datacenters.map_err(|corrupt| corrupt.to_string())?);
    Ok(())
}

/// Writes the end of the evaluation. The worker keeps the evaluation meanwhile, however long the log takes.
async fn finish(
    scheduler: &Scheduler,
    delivery: &Delivery,
    eval: Evaluation,
    blocked: Option<Evaluation>,
) -> Result<(), String> {
    if !scheduler.broker.pause(delivery) {
        return Err(GIVEN_AWAY.to_owned());
    }
    let evals = std::iter::once(eval).chain(blocked).collect();
    scheduler.evals.submit(evals).await.map_err(|error| error.to_string())
}

/// Ends evaluations that were delivered too often.
pub(super) async fn reap_failed(scheduler: Arc<Scheduler>) {
    loop {
        let delivery = scheduler.broker.dequeue(&[FAILED_QUEUE]).await;
        let now = scheduler.context.clock.now_ns();
        let spread_ns = u64::from_be_bytes(random_bytes()) % nanoseconds(FOLLOW_UP_SPREAD).unsigned_abs();
        let wait_ns = nanoseconds(FOLLOW_UP_DELAY).saturating_add_unsigned(spread_ns);
        let (failed, follow_up) =
            evaluations::delivery_limit_reached(&delivery.eval, DELIVERY_LIMIT, wait_ns, now, random_id());
        let written = match scheduler.is_open(&delivery.eval.id) {
            Ok(true) => finish(&scheduler, &delivery, failed, Some(follow_up)).await,
            Ok(false) => Ok(()),
            // Its end cannot be written. The operator is told about the row; do not deliver the evaluation
            // again.
            Err(corrupt) if corrupt.is_row() => Ok(()),
            Err(corrupt) => Err(corrupt.to_string()),
        };
        match written {
            Ok(()) => scheduler.broker.ack(&delivery),
            // The delivery timeout returns it to this queue.
            Err(reason) => {
                tracing::warn!("an evaluation that failed cannot be written: {reason}");
                scheduler.broker.resume(&delivery);
            }
        }
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
