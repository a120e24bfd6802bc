//! Runs one allocation: runs its tasks concurrently, stops the others when one fails or the leader ends, and
//! stores and reports every change.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use ordu_proto::state::Allocation;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};
use uuid::Uuid;

use super::board::{Board, DEAD};
use super::events;
use super::store::{Phase, Store, StoredAssignment, StoredTasks};
use super::task::{Order, StopReason, TaskRunner};
use crate::environment::NodeFacts;
use crate::limits::WRITE_AGAIN;
use crate::reports::Reports;
use crate::spec::{GroupSpec, JobSpec, RestartPolicy, TaskSpec};
use crate::supervisor::handle::SupervisorHandle;

/// State shared by all allocations of the node.
pub(crate) struct NodeContext {
    pub(crate) facts: NodeFacts,
    pub(crate) raw_exec_enabled: bool,
    pub(crate) supervisor: SupervisorHandle,
    pub(crate) reports: Arc<Reports>,
    pub(crate) store: Store,
    /// The directory that contains one directory per allocation.
    pub(crate) allocs_directory: PathBuf,
}

/// What the servers sent of a job version, as far as it concerns one allocation.
#[derive(Clone, Default)]
pub(crate) struct SentSpec {
    /// The specification with the allocation's group only.
    pub(crate) json: Vec<u8>,
    /// The payload of a dispatched job; empty if there is none. Shared by the allocations of the job.
    pub(crate) payload: Arc<Vec<u8>>,
}

/// An allocation as assigned by the servers, with its parsed specification.
pub(crate) struct Assignment {
    pub(crate) allocation: Allocation,
    pub(crate) job: JobSpec,
    pub(crate) sent: SentSpec,
    pub(crate) state_index: u64,
}

impl Assignment {
    /// Returns the allocation's task group.
    pub(crate) fn group(&self) -> Result<&GroupSpec, String> {
        self.job.group(&self.allocation.task_group)
    }

    /// Returns one of its tasks.
    pub(crate) fn task(&self, name: &str) -> Option<&TaskSpec> {
        self.group().ok()?.tasks.iter().find(|task| task.name == name)
    }

    /// Returns the task's restart policy, else the group's, else one without restarts.
    pub(crate) fn restart_policy(&self, name: &str) -> RestartPolicy {
        let own = self.task(name).and_then(|task| task.restart_policy.clone());
        own.or_else(|| self.group().ok()?.restart_policy.clone()).unwrap_or_default()
    }

    /// Returns the form that is written to disk.
    fn stored(&self) -> StoredAssignment {
        StoredAssignment {
            allocation: self.allocation.clone(),
            spec_json: self.sent.json.clone(),
            state_index: self.state_index,
            payload: self.sent.payload.to_vec(),
        }
    }
}

/// Whether the allocation should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    Run,
    Stop,
}

/// State shared by the parts of one allocation.
pub(crate) struct AllocContext {
    pub(crate) node: Arc<NodeContext>,
    pub(crate) id: Uuid,
    pub(crate) directory: PathBuf,
    pub(crate) board: Board,
    assignment: watch::Sender<Arc<Assignment>>,
}

impl AllocContext {
    /// Returns the current assignment.
    pub(crate) fn assignment(&self) -> Arc<Assignment> {
        Arc::clone(&self.assignment.borrow())
    }
}

/// An allocation that is running or has run. Dropping the handle leaves its processes running.
pub(crate) struct AllocHandle {
    pub(crate) context: Arc<AllocContext>,
    desired: watch::Sender<Desired>,
    over: watch::Receiver<bool>,
    runner: AbortHandle,
}

impl Drop for AllocHandle {
    fn drop(&mut self) {
        self.runner.abort();
    }
}

impl AllocHandle {
    /// Starts an assigned allocation, or resumes it from the stored `tasks`. `is_written` says that the assignment
    /// comes from the store.
    pub(crate) fn begin(
        node: Arc<NodeContext>,
        id: Uuid,
        assignment: Assignment,
        tasks: StoredTasks,
        is_written: bool,
    ) -> Self {
        let desired = watch::Sender::new(Desired::Run);
        let directory = node.allocs_directory.join(id.to_string());
        let assignment = watch::Sender::new(Arc::new(assignment));
        let context = Arc::new(AllocContext { node, id, directory, board: Board::new(tasks), assignment });
        let (over_sender, over) = watch::channel(false);
        let task = run(Arc::clone(&context), desired.subscribe(), is_written, over_sender);
        let runner = tokio::spawn(task).abort_handle();
        Self { context, desired, over, runner }
    }

    /// Sets whether the allocation should run. A stopped allocation cannot be run again.
    pub(crate) fn set_desired(&self, desired: Desired) {
        self.desired.send_if_modified(|current| {
            let changes = *current == Desired::Run && desired == Desired::Stop;
            if changes {
                *current = desired;
            }
            changes
        });
    }

    /// Replaces the assignment after an in-place update of the job, which does not affect running tasks.
    pub(crate) fn set_assignment(&self, assignment: Assignment) {
        self.context.assignment.send_replace(Arc::new(assignment));
    }

    /// Waits until no task runs or will run, and an attempt was made to write that to disk.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut signal = self.over.clone();
        async move {
            // Fails only if the runner was aborted, which happens when this handle is dropped.
            let _ = signal.wait_for(|over| *over).await;
        }
    }
}

async fn run(
    context: Arc<AllocContext>,
    desired: watch::Receiver<Desired>,
    is_written: bool,
    over: watch::Sender<bool>,
) {
    let mut tasks = JoinSet::new();
    // In its own set, so that the writer is aborted when this function returns or is cancelled.
    let mut writer = JoinSet::new();
    writer.spawn(write_and_report(Arc::clone(&context), is_written));
    match context.assignment().group() {
        Ok(group) => {
            context.board.expect_tasks(group.tasks.iter().map(|task| task.name.as_str()));
            if !context.board.is_over() {
                run_tasks(&context, group, desired, &mut tasks).await;
            }
        }
        Err(text) if !context.board.refused() => {
            tracing::warn!("allocation {} cannot run: {text}", context.id);
            context.board.refuse(&text);
        }
        Err(_) => {}
    }
    context.board.flush().await;
    over.send_replace(true);
    // The assignment may still change; the writer stores changes until the handle is dropped.
    writer.join_next().await;
}

async fn run_tasks(
    context: &Arc<AllocContext>,
    group: &GroupSpec,
    mut desired: watch::Receiver<Desired>,
    running: &mut JoinSet<()>,
) {
    let leader = group.tasks.iter().find(|task| task.leader).map(|task| task.name.clone());
    let mut orders: BTreeMap<String, watch::Sender<Order>> = BTreeMap::new();
    let mut names: HashMap<Id, String> = HashMap::new();
    for task in &group.tasks {
        let order = watch::Sender::new(Order::Run);
        let runner =
            TaskRunner { alloc: Arc::clone(context), name: task.name.clone(), order: order.subscribe() };
        orders.insert(task.name.clone(), order);
        names.insert(running.spawn(runner.run()).id(), task.name.clone());
    }
    let mut stopping = false;
    loop {
        tokio::select! {
            // Check for Stop first, so that an allocation stopped before its start does not start.
            biased;
            Ok(_) = desired.wait_for(|desired| *desired == Desired::Stop), if !stopping => {
                stopping = true;
                let leads = leader.as_ref().filter(|name| context.board.task(name).phase() != Phase::Dead);
                match leads {
                    // Stop only the leader; the other tasks are stopped when it has ended.
                    Some(name) => order_stop(&orders, |other| other == name, &StopReason::Asked),
                    None => order_stop(&orders, |_| true, &StopReason::Asked),
                }
            }
            joined = running.join_next_with_id() => {
                let Some(joined) = joined else { return };
                let (id, panicked) = match joined {
                    Ok((id, ())) => (id, false),
                    Err(error) => (error.id(), true),
                };
                let Some(name) = names.get(&id) else { continue };
                if panicked {
                    mark_panicked(context, name);
                }
                let reason = match leader.as_ref() == Some(name) {
                    true if stopping => StopReason::Asked,
                    true => StopReason::LeaderDead,
                    false if context.board.task(name).state.failed => StopReason::SiblingFailed(name.clone()),
                    false => continue,
                };
                order_stop(&orders, |other| other != name, &reason);
            }
        }
    }
}

/// Orders the selected tasks to stop. Tasks that were ordered to stop before keep their first reason.
fn order_stop(
    orders: &BTreeMap<String, watch::Sender<Order>>,
    who: impl Fn(&str) -> bool,
    reason: &StopReason,
) {
    for (_, order) in orders.iter().filter(|(name, _)| who(name)) {
        order.send_if_modified(|order| {
            let runs = *order == Order::Run;
            if runs {
                *order = Order::Stop(reason.clone());
            }
            runs
        });
    }
}

/// Marks a task whose runner panicked as failed, so that a bug in the agent does not leave it silently running.
fn mark_panicked(context: &AllocContext, name: &str) {
    tracing::error!("the runner of task {name:?} of allocation {} broke off", context.id);
    context.board.event(name, events::driver_failure("the agent's runner of this task broke off"));
    context.board.update(name, |task| {
        task.set_phase(Phase::Dead);
        task.state.state = DEAD.into();
        task.state.failed = true;
    });
}

/// Reports and stores each version of the board, and stores each assignment. Reports first: servers may learn a state
/// before it is on disk, because after a crash the agent would arrive at it again.
///
/// Failed writes are retried with the next change, or after [`WRITE_AGAIN`].
async fn write_and_report(context: Arc<AllocContext>, mut is_written: bool) {
    let mut versions = context.board.versions();
    let mut assignments = context.assignment.subscribe();
    let (mut reported, mut kept) = (0, 0);
    loop {
        if !is_written || assignments.has_changed().unwrap_or(false) {
            let assignment = assignments.borrow_and_update().stored();
            let write = move |store: &Store, id| store.save_assignment(id, &assignment);
            is_written = blocking_write(&context, write).await;
        }
        versions.mark_unchanged();
        let (version, tasks) = context.board.snapshot();
        if version > reported {
            reported = version;
            context.node.reports.push(context.id, || context.board.client_state(context.id));
        }
        if version > kept {
            let is_kept = blocking_write(&context, move |store, id| store.save_tasks(id, &tasks)).await;
            // Task states are of no use to the next agent without the assignment.
            let is_kept = is_kept && is_written;
            context.board.set_written(version, is_kept);
            kept = if is_kept { version } else { kept };
        }
        let has_failed = !is_written || version > kept;
        tokio::select! {
            _ = versions.changed() => {}
            _ = assignments.changed() => assignments.mark_changed(),
            () = tokio::time::sleep(WRITE_AGAIN), if has_failed => {}
        }
    }
}

/// Returns whether the write succeeded. A failing disk must not keep tasks from running or ending: the supervisor
/// still prevents double starts and remembers exits.
async fn blocking_write(
    context: &AllocContext,
    write: impl FnOnce(&Store, Uuid) -> std::io::Result<()> + Send + 'static,
) -> bool {
    let (store, id) = (context.node.store.clone(), context.id);
    match tokio::task::spawn_blocking(move || write(&store, id)).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::error!("the state of allocation {id} cannot be written down: {error}"),
        Err(error) => tracing::error!("the state of allocation {id} was not written down: {error}"),
    }
    false
}
