//! All allocations of the node: what the servers say they are, and what becomes of those that they do
//! not name any more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::Signal;
use ordu_proto::command::AllocClientState;
use ordu_proto::node::AllocSync;
use ordu_proto::state::{Allocation, ClientStatus, DesiredStatus};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::runner::{AllocHandle, Assignment, Desired, NodeContext, SentSpec};
use super::store::{Phase, StoredAssignment, StoredTasks};
use crate::files;
use crate::limits::OUTBOUND_QUEUE_MAX;
use crate::spec::JobSpec;
use crate::supervisor::protocol::TaskReport;

/// Namespace, job, create index and version.
type SpecKey = (String, String, u64, u64);

enum Command {
    Sync(AllocSync),
    StopAll(oneshot::Sender<()>),
}

/// Gives the table work; it is done in order.
#[derive(Clone)]
pub(crate) struct TableHandle {
    commands: mpsc::Sender<Command>,
    acted_on: Arc<AtomicU64>,
}

impl TableHandle {
    /// Reads what was written down, goes on with it, and begins to take orders. The table ends with its
    /// last handle; tasks do not.
    pub(crate) fn begin(node: Arc<NodeContext>) -> io::Result<Self> {
        let (commands, received) = mpsc::channel(OUTBOUND_QUEUE_MAX);
        let mut table = Table {
            node,
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

    /// The newest state of the servers that this node has acted on.
    pub(crate) fn acted_on(&self) -> u64 {
        self.acted_on.load(Ordering::Relaxed)
    }

    /// Acts on what a server says. Full or not, the order of calls is the order of acting.
    pub(crate) async fn sync(&self, sync: AllocSync) {
        match sync.full {
            true if sync.state_index > 0 => self.acted_on.store(sync.state_index, Ordering::Relaxed),
            _ => {
                self.acted_on.fetch_max(sync.state_index, Ordering::Relaxed);
            }
        }
        // The table lives as long as this handle.
        let _ = self.commands.send(Command::Sync(sync)).await;
    }

    /// Stops every task and waits until they have ended.
    pub(crate) async fn stop_all(&self) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::StopAll(done)).await.is_ok() {
            // The table answers or is gone, and then nothing is left to wait for.
            let _ = stopped.await;
        }
    }
}

struct Table {
    node: Arc<NodeContext>,
    allocs: BTreeMap<Uuid, AllocHandle>,
    /// Those of which only the files are left: nothing of them runs or is to be said.
    finished: BTreeSet<Uuid>,
    /// While a full set comes in, in one message or several: what it has named so far.
    named: Option<BTreeSet<Uuid>>,
    /// What the present session has sent.
    specs: BTreeMap<SpecKey, SentSpec>,
    /// Those that this table removes itself; of no interest once it has swept.
    removed_before_sweep: Option<BTreeSet<Uuid>>,
    /// What is done beside taking orders.
    background: JoinSet<()>,
    /// Waits for what is over to be written down: its runner is not needed any more then. On a full disk it
    /// may wait for long, and no one waits for it.
    finishing: JoinSet<Uuid>,
}

impl Table {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        // Asked once the servers have said what there is; the answer may take as long as a supervisor.
        let mut listing = JoinSet::new();
        let mut swept = false;
        loop {
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
                        // Whoever asked may have given up.
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

    /// What the predecessor wrote down. Answers the newest state index among what may run: what is over is not written
    /// anew when the servers were restored from an older copy, and no older state makes it run.
    fn restore(&mut self) -> io::Result<u64> {
        let mut acted_on = 0;
        for (id, stored, tasks) in self.node.store.load()? {
            if !tasks.is_over() {
                acted_on = acted_on.max(stored.state_index);
            }
            self.go_on(id, stored, tasks);
        }
        if !self.allocs.is_empty() {
            tracing::info!("{} allocations are known from before", self.allocs.len());
        }
        Ok(acted_on)
    }

    fn go_on(&mut self, id: Uuid, stored: StoredAssignment, mut tasks: StoredTasks) {
        tasks.stamp = tasks.stamp.max(stored.allocation.client_stamp);
        let sent = SentSpec { json: stored.spec_json, payload: stored.payload };
        let assignment = assignment(stored.allocation, sent, stored.state_index);
        let desired = desired(&assignment.allocation);
        let handle = AllocHandle::begin(Arc::clone(&self.node), id, assignment, tasks, true);
        handle.set_desired(desired);
        self.allocs.insert(id, handle);
    }

    /// Whether a full set is complete with this message.
    fn sync(&mut self, sync: AllocSync) -> bool {
        if sync.full {
            self.specs.clear();
            self.named = Some(BTreeSet::new());
        }
        let is_of_full = self.named.is_some();
        for spec in sync.specs {
            let key = (spec.namespace, spec.job_id, spec.job_create_index, spec.job_version);
            self.specs.insert(key, SentSpec { json: spec.spec_json, payload: spec.payload });
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

    /// The servers know that nothing of it runs or will run. Its files stay; its specification and runner go
    /// as soon as all that is written down here too.
    fn finish(&mut self, id: Uuid) {
        let Some(handle) = self.allocs.get(&id) else {
            self.finished.insert(id);
            return;
        };
        // It does not run anyway, unless this node has lost what it had reported itself.
        handle.set_desired(Desired::Stop);
        let over = handle.over();
        let context = Arc::clone(&handle.context);
        self.finishing.spawn(async move {
            over.await;
            context.board.kept().await;
            id
        });
    }

    /// Servers that knew that it is over do not any more, since their state is an older one: they are told
    /// again, by what was written down. False if that is gone; it does not run again in any case.
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
        let Some(sent) = self.specs.get(&spec_key(&allocation)).cloned() else {
            tracing::error!("a server sent allocation {id} without its job's specification; it does not run");
            return;
        };
        tracing::info!("allocation {id} of job {:?} is assigned to this node", allocation.job_id);
        let desired = desired(&allocation);
        // If this node has reported it before, what it reports from now on is later.
        let tasks = StoredTasks { stamp: allocation.client_stamp, ..StoredTasks::default() };
        let assignment = assignment(allocation, sent, state_index);
        let handle = AllocHandle::begin(Arc::clone(&self.node), id, assignment, tasks, false);
        handle.set_desired(desired);
        self.allocs.insert(id, handle);
    }

    fn change(&mut self, id: Uuid, allocation: Allocation, state_index: u64, full: bool) {
        let Some(handle) = self.allocs.get(&id) else { return };
        if full {
            // The servers' knowledge is compared once a session: a report that was committed just
            // before this agent or a server ended need not be sent again.
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
        // A full set is all that the servers say, even where they were restored from an older copy.
        if !full && allocation.alloc_modify_index < present.allocation.alloc_modify_index {
            return;
        }
        handle.set_desired(desired(&allocation));
        // Written down anew by an older state too: this node's successor is to find none that is newer than theirs.
        let went_back = full && state_index < present.state_index;
        if allocation.alloc_modify_index == present.allocation.alloc_modify_index && !went_back {
            return;
        }
        let same_spec = spec_key(&allocation) == spec_key(&present.allocation);
        let sent = match self.specs.get(&spec_key(&allocation)) {
            Some(sent) => sent.clone(),
            None if same_spec => present.sent.clone(),
            // It is only stopped, which needs none.
            None if allocation.client_status() == ClientStatus::Lost => return,
            None => {
                tracing::error!("a server changed allocation {id} without its job's specification");
                return;
            }
        };
        handle.set_assignment(assignment(allocation, sent, state_index));
    }

    /// Stops an allocation and removes all that there is of it.
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
                // With the handle goes its writer, which would write the files again.
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

    /// Tasks of allocations that this node has not, since their state was lost here, are killed; ended
    /// attempts that nobody will ask for are forgotten.
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

/// Whether the task has gone on since that attempt.
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
    // One that cannot be read has no group, so the allocation is refused with a sentence of its own.
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
