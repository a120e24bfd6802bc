//! All allocations of the node: applies what the servers send, and removes allocations that the servers no longer have.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::Signal;
use ordu_proto::command::AllocClientState;
use ordu_proto::node::AllocSync;
use ordu_proto::state::{Allocation, ClientStatus, DesiredStatus};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::runner::{AllocHandle, Assignment, Desired, NodeContext, SentSpec};
use super::store::{Phase, StoredAssignment, StoredTasks};
use crate::divided_spec::DividedSpec;
use crate::files;
use crate::limits::OUTBOUND_QUEUE_MAX;
use crate::spec::JobSpec;
use crate::stats::NodeStats;
use crate::supervisor::protocol::TaskReport;

/// Namespace, job, create index and version.
type SpecKey = (String, String, u64, u64);

/// A specification sent in the current session.
struct SessionSpec {
    /// None if it cannot be read.
    spec: Option<DividedSpec>,
    payload: Arc<Vec<u8>>,
}

impl SessionSpec {
    fn new(json: &[u8], payload: Vec<u8>, job_id: &str) -> Self {
        let spec =
            DividedSpec::divide(json).inspect_err(|text| tracing::error!("job {job_id:?}: {text}")).ok();
        Self { spec, payload: Arc::new(payload) }
    }

    /// Returns the part for an allocation of this group; empty JSON if the specification cannot be read.
    fn of_group(&self, group: &str) -> SentSpec {
        let json = self.spec.as_ref().map(|spec| spec.of_group(group)).unwrap_or_default();
        SentSpec { json, payload: Arc::clone(&self.payload) }
    }
}

enum Command {
    Sync(AllocSync),
    StopAll(oneshot::Sender<()>),
}

/// Sends commands to the table, which executes them in order.
#[derive(Clone)]
pub(crate) struct TableHandle {
    commands: mpsc::Sender<Command>,
    acted_on: Arc<AtomicU64>,
}

impl TableHandle {
    /// Reads the stored allocations, resumes them, and starts the table. The table ends with its last handle;
    /// tasks keep running.
    pub(crate) fn begin(node: Arc<NodeContext>, stats: watch::Sender<NodeStats>) -> io::Result<Self> {
        let (commands, received) = mpsc::channel(OUTBOUND_QUEUE_MAX);
        let mut table = Table {
            node,
            stats,
            allocs: BTreeMap::new(),
            finished: BTreeSet::new(),
            named: None,
            specs: BTreeMap::new(),
            removed_before_sweep: Some(BTreeSet::new()),
            background: JoinSet::new(),
            finishing: JoinSet::new(),
        };
        let acted_on = table.restore()?;
        tokio::spawn(table.run(received));
        Ok(Self { commands, acted_on: Arc::new(AtomicU64::new(acted_on)) })
    }

    /// Returns the newest index of the servers' state that this node has acted on.
    pub(crate) fn acted_on(&self) -> u64 {
        self.acted_on.load(Ordering::Relaxed)
    }

    /// Queues a server's message. Messages are applied in the order of calls.
    pub(crate) async fn sync(&self, sync: AllocSync) {
        match sync.full {
            true if sync.state_index > 0 => self.acted_on.store(sync.state_index, Ordering::Relaxed),
            _ => {
                self.acted_on.fetch_max(sync.state_index, Ordering::Relaxed);
            }
        }
        // Sending cannot fail, because the table lives as long as this handle.
        let _ = self.commands.send(Command::Sync(sync)).await;
    }

    /// Stops all tasks and waits until they have ended.
    pub(crate) async fn stop_all(&self) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::StopAll(done)).await.is_ok() {
            // An error means that the table is gone, so there is nothing to wait for.
            let _ = stopped.await;
        }
    }
}

struct Table {
    node: Arc<NodeContext>,
    stats: watch::Sender<NodeStats>,
    allocs: BTreeMap<Uuid, AllocHandle>,
    /// Finished allocations of which only files are left: nothing runs or needs to be reported.
    finished: BTreeSet<Uuid>,
    /// The allocations named so far by a full set that is still arriving, in one or more messages.
    named: Option<BTreeSet<Uuid>>,
    /// The specifications sent in the current session.
    specs: BTreeMap<SpecKey, SessionSpec>,
    /// Allocations removed by this table before its sweep; none after the sweep.
    removed_before_sweep: Option<BTreeSet<Uuid>>,
    /// Removals and kills that run in the background.
    background: JoinSet<()>,
    /// Waits until the end of finished allocations is on disk, after which their runners are not needed. This may
    /// take long on a full disk, so nothing else waits for it.
    finishing: JoinSet<Uuid>,
}

impl Table {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        // The supervisor is asked after the first full set; its answer may have to wait until a supervisor runs.
        let mut listing = JoinSet::new();
        let mut swept = false;
        loop {
            let count = self.allocs.len() + self.finished.len();
            self.stats.send_modify(|stats| stats.num_allocations = count);
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Sync(sync)) => {
                        if self.sync(sync) && !std::mem::replace(&mut swept, true) {
                            let supervisor = self.node.supervisor.clone();
                            listing.spawn(async move { supervisor.list().await });
                        }
                    }
                    Some(Command::StopAll(done)) => {
                        self.stop_all().await;
                        // The requester may have been cancelled.
                        let _ = done.send(());
                    }
                    None => return,
                },
                Some(Ok(reports)) = listing.join_next() => self.sweep(reports),
                Some(_) = self.background.join_next() => {}
                Some(finished) = self.finishing.join_next() => {
                    if let Ok(id) = finished && self.allocs.remove(&id).is_some() {
                        self.finished.insert(id);
                    }
                }
            }
        }
    }

    /// Resumes the stored allocations. Returns the newest state index of those that may run. Finished ones do not
    /// count: their files are not rewritten when the servers are restored from an older snapshot, and no older state
    /// makes them run again.
    fn restore(&mut self) -> io::Result<u64> {
        let mut acted_on = 0;
        let store = self.node.store.clone();
        store.load(|id, stored, tasks| {
            if !tasks.is_over() {
                acted_on = acted_on.max(stored.state_index);
            }
            self.go_on(id, stored, tasks);
        })?;
        if !self.allocs.is_empty() {
            tracing::info!("{} allocations are known from before", self.allocs.len());
        }
        Ok(acted_on)
    }

    fn go_on(&mut self, id: Uuid, stored: StoredAssignment, mut tasks: StoredTasks) {
        tasks.stamp = tasks.stamp.max(stored.allocation.client_stamp);
        let StoredAssignment { allocation, spec_json, state_index, payload } = stored;
        // Earlier releases stored whole specifications.
        let sent = SessionSpec::new(&spec_json, payload, &allocation.job_id).of_group(&allocation.task_group);
        let assignment = assignment(allocation, sent, state_index);
        let desired = desired(&assignment.allocation);
        let handle = AllocHandle::begin(Arc::clone(&self.node), id, assignment, tasks, true);
        handle.set_desired(desired);
        self.allocs.insert(id, handle);
    }

    /// Applies a message. Returns whether it completes a full set.
    fn sync(&mut self, sync: AllocSync) -> bool {
        if sync.full {
            self.specs.clear();
            self.named = Some(BTreeSet::new());
        }
        let is_of_full = self.named.is_some();
        for spec in sync.specs {
            let sent = SessionSpec::new(&spec.spec_json, spec.payload, &spec.job_id);
            let key = (spec.namespace, spec.job_id, spec.job_create_index, spec.job_version);
            self.specs.insert(key, sent);
        }
        for id in sync.over.iter().filter_map(|id| Uuid::from_slice(id).ok()) {
            self.name(id);
            self.finish(id);
        }
        for id in sync.kept.iter().filter_map(|id| Uuid::from_slice(id).ok()) {
            self.name(id);
        }
        for allocation in sync.allocs {
            let Ok(id) = Uuid::from_slice(&allocation.id) else {
                tracing::error!("a server sent an allocation whose id is none; it is ignored");
                continue;
            };
            self.name(id);
            if self.finished.contains(&id) && !self.take_up_again(id) {
                continue;
            }
            match self.allocs.contains_key(&id) {
                true => self.change(id, allocation, sync.state_index, is_of_full),
                false => self.add(id, allocation, sync.state_index),
            }
        }
        let mut gone: Vec<Uuid> = sync.removed.iter().filter_map(|id| Uuid::from_slice(id).ok()).collect();
        let named = self.named.take_if(|_| !sync.more);
        if let Some(named) = &named {
            let known = self.allocs.keys().chain(&self.finished);
            gone.extend(known.filter(|id| !named.contains(id)));
        }
        for id in gone {
            self.remove(id);
        }
        named.is_some()
    }

    fn name(&mut self, id: Uuid) {
        if let Some(named) = &mut self.named {
            named.insert(id);
        }
    }

    /// Finishes an allocation after the servers have confirmed that it is over. Keeps its files, but drops its
    /// specification and runner once its end is also on disk here.
    fn finish(&mut self, id: Uuid) {
        let Some(handle) = self.allocs.get(&id) else {
            self.finished.insert(id);
            return;
        };
        // It runs only if this node has lost the state in which it reported the end.
        handle.set_desired(Desired::Stop);
        let over = handle.over();
        let context = Arc::clone(&handle.context);
        self.finishing.spawn(async move {
            over.await;
            context.board.kept().await;
            id
        });
    }

    /// Resumes a finished allocation from disk, to report its end again to servers that were restored from an older
    /// state. Returns false if its files are lost; the allocation does not run again in either case.
    fn take_up_again(&mut self, id: Uuid) -> bool {
        match self.node.store.load_one(id) {
            Ok(Some((stored, tasks))) => {
                self.finished.remove(&id);
                self.go_on(id, stored, tasks);
                true
            }
            Ok(None) => {
                tracing::error!("allocation {id} has ended here, and how is not known any more");
                false
            }
            Err(error) => {
                tracing::error!("allocation {id} has ended here, and how cannot be read: {error}");
                false
            }
        }
    }

    fn add(&mut self, id: Uuid, allocation: Allocation, state_index: u64) {
        use ClientStatus::{Complete, Failed, Lost};
        if matches!(allocation.client_status(), Complete | Failed | Lost) {
            return;
        }
        let Some(sent) = self.specs.get(&spec_key(&allocation)) else {
            tracing::error!("a server sent allocation {id} without its job's specification; it does not run");
            return;
        };
        let sent = sent.of_group(&allocation.task_group);
        tracing::info!("allocation {id} of job {:?} is assigned to this node", allocation.job_id);
        let desired = desired(&allocation);
        // Start from the stamp of this node's earlier reports, if any, so that later reports are newer.
        let tasks = StoredTasks { stamp: allocation.client_stamp, ..StoredTasks::default() };
        let assignment = assignment(allocation, sent, state_index);
        let handle = AllocHandle::begin(Arc::clone(&self.node), id, assignment, tasks, false);
        handle.set_desired(desired);
        self.allocs.insert(id, handle);
    }

    fn change(&mut self, id: Uuid, allocation: Allocation, state_index: u64, full: bool) {
        let Some(handle) = self.allocs.get(&id) else { return };
        if full {
            // Compare with the servers' knowledge once per session. A report committed just before this agent or
            // a server ended does not need to be sent again.
            let board = &handle.context.board;
            let agrees = |known: &AllocClientState| {
                known.client_status == allocation.client_status
                    && known.client_description == allocation.client_description
                    && known.task_states == allocation.task_states
            };
            self.node.reports.settle(id, || {
                (!agrees(&board.client_state(id))).then(|| {
                    board.outdo(allocation.client_stamp);
                    board.client_state(id)
                })
            });
        }
        let present = handle.context.assignment();
        // A full set is authoritative even if it is older, because the servers may have been restored from a snapshot.
        if !full && allocation.alloc_modify_index < present.allocation.alloc_modify_index {
            return;
        }
        handle.set_desired(desired(&allocation));
        // Also store an older state, so that the next agent does not find an index that is newer than the servers'.
        let went_back = full && state_index < present.state_index;
        if allocation.alloc_modify_index == present.allocation.alloc_modify_index && !went_back {
            return;
        }
        let same_spec = spec_key(&allocation) == spec_key(&present.allocation);
        let sent = match self.specs.get(&spec_key(&allocation)) {
            Some(sent) => sent.of_group(&allocation.task_group),
            None if same_spec => present.sent.clone(),
            // A lost allocation is only stopped, which does not need the specification.
            None if allocation.client_status() == ClientStatus::Lost => return,
            None => {
                tracing::error!("a server changed allocation {id} without its job's specification");
                return;
            }
        };
        handle.set_assignment(assignment(allocation, sent, state_index));
    }

    /// Stops an allocation and removes everything about it.
    fn remove(&mut self, id: Uuid) {
        let handle = self.allocs.remove(&id);
        if !self.finished.remove(&id) && handle.is_none() {
            return;
        }
        tracing::info!("allocation {id} is gone from the servers' state and is removed");
        let node = Arc::clone(&self.node);
        if let Some(handle) = &handle {
            handle.set_desired(Desired::Stop);
            self.removed_before_sweep.as_mut().map(|removed| removed.insert(id));
        }
        self.background.spawn(async move {
            if let Some(handle) = handle {
                handle.over().await;
                // Dropping the handle ends its writer, which could write the files again.
                drop(handle);
            }
            let directory = node.allocs_directory.join(id.to_string());
            node.reports.forget(id);
            let store = node.store.clone();
            let removed = tokio::task::spawn_blocking(move || {
                files::remove(&directory)?;
                store.remove(id)
            });
            match removed.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("files of allocation {id} stay behind: {error}"),
                Err(error) => tracing::warn!("files of allocation {id} stay behind: {error}"),
            }
        });
    }

    /// Kills tasks of allocations that are unknown here because their state was lost. Forgets ended attempts that no
    /// runner will ask for.
    fn sweep(&mut self, reports: Vec<TaskReport>) {
        let removed = self.removed_before_sweep.take().unwrap_or_default();
        for report in reports {
            let alloc = Uuid::parse_str(&report.key.alloc).ok();
            let has_ended = report.exit.is_some();
            let is_wanted = match alloc.and_then(|id| self.allocs.get(&id)) {
                Some(handle) => !(has_ended && is_past(handle, &report)),
                None => alloc.is_some_and(|id| removed.contains(&id)),
            };
            if is_wanted {
                continue;
            }
            let supervisor = self.node.supervisor.clone();
            self.background.spawn(async move {
                if !has_ended {
                    tracing::warn!("{} runs, but no server knows it: it is killed", report.key);
                    supervisor.signal(&report.key, Signal::SIGKILL as i32, true).await;
                    supervisor.wait_exit(&report.key).await;
                }
                supervisor.forget(&report.key).await;
            });
        }
    }

    async fn stop_all(&mut self) {
        for handle in self.allocs.values() {
            handle.set_desired(Desired::Stop);
        }
        for handle in self.allocs.values() {
            handle.over().await;
        }
        while self.background.join_next().await.is_some() {}
    }
}

/// Returns whether the task is dead or has a later attempt.
fn is_past(handle: &AllocHandle, report: &TaskReport) -> bool {
    let task = handle.context.board.task(&report.key.task);
    task.phase() == Phase::Dead || task.attempt > report.key.attempt
}

fn spec_key(allocation: &Allocation) -> SpecKey {
    (
        allocation.namespace.clone(),
        allocation.job_id.clone(),
        allocation.job_create_index,
        allocation.job_version,
    )
}

fn assignment(allocation: Allocation, sent: SentSpec, state_index: u64) -> Assignment {
    // An unreadable specification has no groups, so the allocation is refused with an error message.
    let job = JobSpec::parse(&sent.json).unwrap_or_else(|text| {
        tracing::error!("allocation of job {:?}: {text}", allocation.job_id);
        JobSpec::default()
    });
    Assignment { allocation, job, sent, state_index }
}

fn desired(allocation: &Allocation) -> Desired {
    let is_lost = allocation.client_status() == ClientStatus::Lost;
    match allocation.desired_status() {
        DesiredStatus::Run | DesiredStatus::Unspecified if !is_lost => Desired::Run,
        _ => Desired::Stop,
    }
}
