//! Follows an evaluation and the allocations that it places, and reports their progress.

use crate::commands::{DONE, FAILED, NOT_PLACED, explain_placement};
use crate::output::Screen;
use ordu_client::{AllocationStub, Client, Error, Evaluation, Query};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one read of the allocations waits for a change.
const WAIT: Duration = Duration::from_secs(10);
/// How long one read of the evaluation waits: less, since the allocations are read between two of them.
const WAIT_FOR_EVALUATION: Duration = Duration::from_secs(1);
/// Minimum pause between two rounds, to not flood a server that answers blocking queries at once.
const PAUSE: Duration = Duration::from_millis(100);

/// What to follow, and for how long.
pub(crate) struct Follow {
    /// The job's id.
    pub(crate) job_id: String,
    /// The job's namespace, if it is not the client's.
    pub(crate) namespace: Option<String>,
    /// Whether to go on until the allocations run, have ended or have failed.
    pub(crate) until_allocations_run: bool,
}

/// Follows the evaluation to its end and returns the exit status.
pub(crate) async fn follow(
    client: &Client,
    screen: &mut Screen,
    eval_id: &str,
    follow: &Follow,
) -> Result<u8, Error> {
    screen.line(format!("==> Monitoring evaluation {:?}", screen.id(eval_id)));
    let mut watch = Watch { client, follow, eval_id, known: BTreeMap::new() };
    let outcome = watch.until_the_end(screen).await;
    screen.waiting_for(None);
    outcome
}

struct Watch<'a> {
    client: &'a Client,
    follow: &'a Follow,
    eval_id: &'a str,
    /// What was last reported, by allocation.
    known: BTreeMap<String, Told>,
}

/// What was last reported about an allocation.
#[derive(Default)]
struct Told {
    client_status: String,
    /// Time of the newest reported task event, nanoseconds since 1970.
    event_time_ns: i64,
}

impl Watch<'_> {
    async fn until_the_end(&mut self, screen: &mut Screen) -> Result<u8, Error> {
        let evaluation = self.evaluation(screen).await?;
        let placed = tell_end_of_evaluation(screen, &evaluation);
        if placed != DONE || !self.follow.until_allocations_run {
            return Ok(placed);
        }
        self.allocations(screen).await
    }

    fn query(&self) -> Query {
        Query { namespace: self.follow.namespace.clone(), ..Query::default() }
    }

    /// Waits until the scheduler has finished the evaluation.
    async fn evaluation(&mut self, screen: &mut Screen) -> Result<Evaluation, Error> {
        screen.waiting_for(Some("waiting for the scheduler".to_owned()));
        let mut query = self.query().for_at_most(WAIT_FOR_EVALUATION);
        let mut status = String::new();
        loop {
            let answer = self.client.evaluation(self.eval_id, &query).await?;
            let evaluation = answer.value;
            if status.is_empty() {
                screen.line(format!("    Evaluation triggered by job {:?}", evaluation.job_id));
                if !evaluation.deployment_id.is_empty() {
                    screen.line(format!(
                        "    Evaluation within deployment: {:?}",
                        screen.id(&evaluation.deployment_id)
                    ));
                }
            }
            self.look_at_allocations(screen, &self.query()).await?;
            if !status.is_empty() && status != evaluation.status {
                screen.line(format!("    Evaluation status changed: {status:?} -> {:?}", evaluation.status));
            }
            if evaluation.is_over() {
                return Ok(evaluation);
            }
            status.clone_from(&evaluation.status);
            query.index = answer.meta.index;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until all allocations of the evaluation run or have ended, or one has failed or is lost; then
    /// reports their state.
    async fn allocations(&mut self, screen: &mut Screen) -> Result<u8, Error> {
        let mut query = self.query().for_at_most(WAIT);
        loop {
            let (index, allocations) = self.look_at_allocations(screen, &query).await?;
            let total = allocations.len();
            let bad: Vec<&AllocationStub> = allocations.iter().filter(|one| has_failed(one)).collect();
            if bad.is_empty() && !allocations.iter().all(runs_or_is_over) {
                screen.waiting_for(Some(summary(&allocations)));
                query.index = index;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            for allocation in &bad {
                tell_failure(screen, allocation);
            }
            if total > 0 {
                screen.line(format!("==> {}", summary(&allocations)));
            }
            return Ok(if bad.is_empty() { DONE } else { FAILED });
        }
    }

    /// Reads the evaluation's allocations and reports changes.
    async fn look_at_allocations(
        &mut self,
        screen: &mut Screen,
        query: &Query,
    ) -> Result<(u64, Vec<AllocationStub>), Error> {
        let answer = self.client.job_allocations(&self.follow.job_id, query).await?;
        let of_evaluation = |allocation: &AllocationStub| allocation.eval_id == self.eval_id;
        let allocations: Vec<AllocationStub> = answer.value.into_iter().filter(of_evaluation).collect();
        for allocation in &allocations {
            let told = self.known.entry(allocation.id.clone()).or_default();
            tell_status(screen, allocation, &told.client_status);
            told.client_status.clone_from(&allocation.client_status);
            // A failed allocation's events are all reported at the end.
            if !has_failed(allocation) {
                told.event_time_ns = tell_troubles(screen, allocation, told.event_time_ns);
            }
        }
        Ok((answer.meta.index, allocations))
    }
}

/// Reports a new allocation, or the change of its status.
fn tell_status(screen: &mut Screen, allocation: &AllocationStub, before: &str) {
    let id = screen.id(&allocation.id);
    let status = &allocation.client_status;
    if before.is_empty() {
        let node = screen.id(&allocation.node_id);
        screen
            .line(format!("    Allocation {id:?} created: node {node:?}, group {:?}", allocation.task_group));
        if status != "pending" {
            screen.line(format!("    Allocation {id:?} is {status}"));
        }
    } else if before != status {
        let why = match allocation.client_description.as_str() {
            "" => String::new(),
            description => format!(" ({description})"),
        };
        screen.line(format!("    Allocation {id:?} status changed: {before:?} -> {status:?}{why}"));
    }
}

/// Reports problems of the tasks since a time; returns the time of the newest event.
fn tell_troubles(screen: &mut Screen, allocation: &AllocationStub, since_ns: i64) -> i64 {
    let mut newest_ns = since_ns;
    for (task, state) in &allocation.task_states {
        for event in state.events.iter().filter(|event| event.time > since_ns) {
            newest_ns = newest_ns.max(event.time);
            // Events of a normal start are not reported.
            if !matches!(event.event_type.as_str(), "Received" | "Task Setup" | "Started") {
                screen.line(format!("    Task {task:?}: {}: {}", event.event_type, event.display_message));
            }
        }
    }
    newest_ns
}

/// Reports how the evaluation ended and returns the exit status.
fn tell_end_of_evaluation(screen: &mut Screen, evaluation: &Evaluation) -> u8 {
    let id = screen.id(&evaluation.id);
    let status = &evaluation.status;
    if status != "complete" {
        screen.line(format!(
            "==> Evaluation {id:?} ended with status {status:?}: {}",
            evaluation.status_description
        ));
        return if status == "failed" { NOT_PLACED } else { DONE };
    }
    if evaluation.failed_groups.is_empty() {
        screen.line(format!("==> Evaluation {id:?} finished with status {status:?}"));
        return DONE;
    }
    screen.line(format!(
        "==> Evaluation {id:?} finished with status {status:?} but failed to place all allocations:"
    ));
    for (group, metric) in &evaluation.failed_groups {
        let count = metric.coalesced_failures + 1;
        let plural = if count == 1 { "" } else { "s" };
        screen.line(format!("    Task Group {group:?} (failed to place {count} allocation{plural}):"));
        explain_placement(screen, metric, "      ");
    }
    if !evaluation.blocked_eval.is_empty() {
        let blocked = screen.id(&evaluation.blocked_eval);
        screen.line(format!("    Evaluation {blocked:?} waiting for additional capacity to place remainder"));
    }
    NOT_PLACED
}

/// Whether it failed or is lost, even if another allocation replaces it.
fn has_failed(allocation: &AllocationStub) -> bool {
    matches!(allocation.client_status.as_str(), "failed" | "lost")
}

/// Summarizes how many allocations run, and the states of the others.
fn summary(allocations: &[AllocationStub]) -> String {
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for allocation in allocations.iter().filter(|one| one.client_status != "running") {
        *others.entry(&allocation.client_status).or_default() += 1;
    }
    let total = allocations.len();
    let running = total - others.values().sum::<usize>();
    let others: Vec<String> = others.into_iter().map(|(status, count)| format!("{count} {status}")).collect();
    match others.as_slice() {
        [] => format!("{running} of {total} allocations run"),
        others => format!("{running} of {total} allocations run, {}", others.join(", ")),
    }
}

/// Whether it runs or is complete, or nothing more is to be expected of it.
fn runs_or_is_over(allocation: &AllocationStub) -> bool {
    matches!(allocation.client_status.as_str(), "running" | "complete") || allocation.desired_status != "run"
}

fn tell_failure(screen: &mut Screen, allocation: &AllocationStub) {
    let id = screen.id(&allocation.id);
    screen.line(format!(
        "==> Allocation {id:?} {}: {}",
        allocation.client_status, allocation.client_description
    ));
    for (task, state) in allocation.task_states.iter().filter(|(_, state)| state.failed) {
        for event in &state.events {
            screen.line(format!("    Task {task:?}: {}: {}", event.event_type, event.display_message));
        }
    }
}
