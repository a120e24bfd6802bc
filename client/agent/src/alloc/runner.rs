//! One allocation: its tasks run beside each other and fall together where one failed or the leader
//! ended; every change is written down and reported.

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

/// What all allocations of the node share.
pub(crate) struct NodeContext {
    pub(crate) facts: NodeFacts,
    pub(crate) raw_exec_enabled: bool,
    pub(crate) supervisor: SupervisorHandle,
    pub(crate) reports: Arc<Reports>,
    pub(crate) store: Store,
    /// Holds one directory an allocation.
    pub(crate) allocs_directory: PathBuf,
}

/// A version of a job as the servers send it.
#[derive(Clone, Default)]
pub(crate) struct SentSpec {
    pub(crate) json: Vec<u8>,
    /// What a dispatch handed in; empty where nothing was.
    pub(crate) payload: Vec<u8>,
}

/// What the servers want, with the specification read.
pub(crate) struct Assignment {
    pub(crate) allocation: Allocation,
    pub(crate) job: JobSpec,
    pub(crate) sent: SentSpec,
    pub(crate) state_index: u64,
}

impl Assignment {
    /// The allocation's task group.
    pub(crate) fn group(&self) -> Result<&GroupSpec, String> {
        self.job.group(&self.allocation.task_group)
    }

    /// One of its tasks.
    pub(crate) fn task(&self, name: &str) -> Option<&TaskSpec> {
        self.group().ok()?.tasks.iter().find(|task| task.name == name)
    }

    /// The task's policy, else the group's, else no restarts.
    pub(crate) fn restart_policy(&self, name: &str) -> RestartPolicy {
        let own = self.task(name).and_then(|task| task.restart_policy.clone());
        own.or_else(|| self.group().ok()?.restart_policy.clone()).unwrap_or_default()
    }

    /// As it is written down.
    fn stored(&self) -> StoredAssignment {
        StoredAssignment {
            allocation: self.allocation.clone(),
            spec_json: self.sent.json.clone(),
            state_index: self.state_index,
            payload: self.sent.payload.clone(),
        }
    }
}

/// Whether the allocation is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    Run,
    Stop,
}

/// What the parts of one allocation share.
pub(crate) struct AllocContext {
    pub(crate) node: Arc<NodeContext>,
    pub(crate) id: Uuid,
    pub(crate) directory: PathBuf,
    pub(crate) board: Board,
    assignment: watch::Sender<Arc<Assignment>>,
}

impl AllocContext {
    /// What the servers want now.
    pub(crate) fn assignment(&self) -> Arc<Assignment> {
        Arc::clone(&self.assignment.borrow())
    }
}

/// An allocation that runs or has run. Dropping it leaves its processes alone.
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
    /// Begins to run what is assigned, or goes on with what was written down of it. `is_written`: the
    /// assignment comes from the store.
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

    /// Says whether it is to run. What was stopped is not run again.
    pub(crate) fn set_desired(&self, desired: Desired) {
        self.desired.send_if_modified(|current| {
            let changes = *current == Desired::Run && desired == Desired::Stop;
            if changes {
                *current = desired;
            }
            changes
        });
    }

    /// The job was changed in a way that the running tasks need not notice.
    pub(crate) fn set_assignment(&self, assignment: Assignment) {
        self.context.assignment.send_replace(Arc::new(assignment));
    }

    /// Waits until no task runs or will run, and that is written down as far as the disk allows.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut signal = self.over.clone();
        async move {
            // The sender is gone only if the runner was aborted, which is this handle's own doing.
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
    // In a set of its own, so that it ends with this function however that ends.
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
    // Changes of the assignment may still come; they are written until the handle is dropped.
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
            // First, so that what is stopped before it has begun does not begin.
            biased;
            Ok(_) = desired.wait_for(|desired| *desired == Desired::Stop), if !stopping => {
                stopping = true;
                let leads = leader.as_ref().filter(|name| context.board.task(name).phase() != Phase::Dead);
                match leads {
                    // The others are stopped when it has ended.
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

/// The first order to stop stands.
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

/// A bug in the agent must show as a failed task, not as one that is silent for ever.
fn mark_panicked(context: &AllocContext, name: &str) {
    tracing::error!("the runner of task {name:?} of allocation {} broke off", context.id);
    context.board.event(name, events::driver_failure("the agent's runner of this task broke off"));
    context.board.update(name, |task| {
        task.set_phase(Phase::Dead);
        task.state.state = DEAD.into();
        task.state.failed = true;
    });
}

/// Writes down and reports each version of the board, and each assignment. Reports go first: the
/// servers may know a state before this node has kept it, since the node finds it again.
///
/// What could not be written is written again with the next change, or after a while.
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
            // Without its assignment a state is nothing that an agent can go on with.
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

/// True if it is written. A disk that fails must not stop tasks from running or ending: the supervisor still
/// keeps a task from being started twice, and remembers how it ended.
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
