//! Where the tasks of one allocation stand. Task runners change it; whoever writes it down and whoever
//! reports it see each version.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ordu_proto::command::AllocClientState;
use ordu_proto::state::{ClientStatus, TaskEvent, TaskState};
use prost::Message;
use tokio::sync::watch;
use uuid::Uuid;

use super::store::{Phase, StoredTask, StoredTasks};
use crate::limits::{TASK_EVENTS_MAX, UPDATE_BYTES_MAX};
use crate::supervisor::now_ns;
use crate::text::cut;

pub(crate) const PENDING: &str = "pending";
pub(crate) const RUNNING: &str = "running";
pub(crate) const DEAD: &str = "dead";

/// The tasks' states, with a version that rises with each change.
pub(crate) struct Board {
    tasks: Mutex<StoredTasks>,
    version: watch::Sender<u64>,
    written: watch::Sender<Written>,
}

/// How far writing down has come, in versions.
#[derive(Clone, Copy, Default)]
struct Written {
    tried: u64,
    kept: u64,
}

impl Board {
    pub(crate) fn new(tasks: StoredTasks) -> Self {
        Self { tasks: Mutex::new(tasks), version: watch::Sender::new(0), written: watch::Sender::default() }
    }

    /// Makes sure that every task has a state.
    pub(crate) fn expect_tasks<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut tasks = self.lock();
        for name in names {
            tasks.tasks.entry(name.to_owned()).or_insert_with(|| StoredTask {
                state: TaskState { state: PENDING.into(), ..TaskState::default() },
                ..StoredTask::default()
            });
        }
    }

    /// The task as it stands.
    pub(crate) fn task(&self, name: &str) -> StoredTask {
        self.lock().tasks.get(name).cloned().unwrap_or_default()
    }

    /// Changes a task.
    pub(crate) fn update(&self, name: &str, change: impl FnOnce(&mut StoredTask)) {
        let mut tasks = self.lock();
        change(tasks.tasks.entry(name.to_owned()).or_default());
        self.changed(tasks);
    }

    /// What follows from a change, whoever made it.
    fn changed(&self, mut tasks: MutexGuard<'_, StoredTasks>) {
        // A clock that was set back must not make a later state look like an earlier one.
        tasks.stamp = now_ns().max(tasks.stamp.saturating_add(1));
        drop(tasks);
        self.version.send_modify(|version| *version += 1);
    }

    /// Adds an event to a task, and drops its oldest beyond the bound.
    pub(crate) fn event(&self, name: &str, event: TaskEvent) {
        self.update(name, |task| push_event(&mut task.state, event));
    }

    /// The allocation cannot be run at all.
    pub(crate) fn refuse(&self, text: &str) {
        let mut tasks = self.lock();
        tasks.refused = cut(text).into_owned();
        for task in tasks.tasks.values_mut().filter(|task| task.phase() != Phase::Dead) {
            push_event(&mut task.state, super::events::setup_failure(text));
            task.set_phase(Phase::Dead);
            task.state.state = DEAD.into();
            task.state.failed = true;
            task.state.finished_at_ns = now_ns();
        }
        self.changed(tasks);
    }

    /// The servers have it otherwise, under this stamp: the next report has to be a later one, even if this
    /// node does not know any more that it has made theirs.
    pub(crate) fn outdo(&self, stamp: i64) {
        let mut tasks = self.lock();
        if tasks.stamp <= stamp {
            tasks.stamp = stamp;
            self.changed(tasks);
        }
    }

    /// Whether it was refused, and why.
    pub(crate) fn refused(&self) -> bool {
        !self.lock().refused.is_empty()
    }

    /// Whether nothing will run again.
    pub(crate) fn is_over(&self) -> bool {
        let tasks = self.lock();
        tasks.tasks.is_empty() || tasks.is_over()
    }

    /// The versions, for whoever writes them down and reports them.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Everything, with its version.
    pub(crate) fn snapshot(&self) -> (u64, StoredTasks) {
        let tasks = self.lock();
        (*self.version.borrow(), tasks.clone())
    }

    /// This version is written down, or could not be.
    pub(crate) fn set_written(&self, version: u64, is_kept: bool) {
        self.written.send_modify(|written| {
            written.tried = version;
            if is_kept {
                written.kept = version;
            }
        });
    }

    /// Waits until what is on the board now is written down (true), or could not be: a disk that fails must
    /// not stop tasks from ending.
    pub(crate) async fn flush(&self) -> bool {
        let version = *self.version.borrow();
        let mut written = self.written.subscribe();
        // Both ends of the channel are here, so it cannot be closed.
        written
            .wait_for(|written| written.tried >= version)
            .await
            .is_ok_and(|written| written.kept >= version)
    }

    /// Waits until what is known now is on disk, however often that has to be tried.
    pub(crate) async fn kept(&self) {
        let version = *self.version.borrow();
        // Both ends of the channel are here, so it cannot be closed.
        let _ = self.written.subscribe().wait_for(|written| written.kept >= version).await;
    }

    /// What the servers are told.
    pub(crate) fn client_state(&self, alloc: Uuid) -> AllocClientState {
        let tasks = self.lock();
        let (status, description) = client_status(&tasks);
        bounded(AllocClientState {
            alloc_id: alloc.as_bytes().to_vec(),
            client_status: status.into(),
            client_description: description,
            task_states: tasks.tasks.iter().map(|(name, task)| (name.clone(), task.state.clone())).collect(),
            // The server says whose report it is.
            node_id: Vec::new(),
            stamp: tasks.stamp,
        })
    }

    fn lock(&self) -> MutexGuard<'_, StoredTasks> {
        // The states are whole at every moment at which a holder could panic.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push_event(state: &mut TaskState, event: TaskEvent) {
    state.events.push(event);
    keep_latest(state, TASK_EVENTS_MAX);
}

fn keep_latest(state: &mut TaskState, events: usize) {
    let surplus = state.events.len().saturating_sub(events);
    state.events.drain(..surplus);
}

/// A group may have thousands of tasks. Their states are told in any case, of their events what there is room
/// for.
fn bounded(mut state: AllocClientState) -> AllocClientState {
    for events in (0..TASK_EVENTS_MAX).rev() {
        if state.encoded_len() <= UPDATE_BYTES_MAX {
            break;
        }
        state.task_states.values_mut().for_each(|task| keep_latest(task, events));
    }
    state
}

/// One failed task fails the allocation; else one that runs makes it run; else one that has not
/// started keeps it pending; else it is complete.
fn client_status(tasks: &StoredTasks) -> (ClientStatus, String) {
    if !tasks.refused.is_empty() {
        return (ClientStatus::Failed, tasks.refused.clone());
    }
    let states = || tasks.tasks.values().map(|task| &task.state);
    let any = |wanted: &str| states().any(|state| state.state == wanted);
    if states().any(|state| state.state == DEAD && state.failed) {
        (ClientStatus::Failed, "Failed tasks".into())
    } else if any(RUNNING) {
        (ClientStatus::Running, "Tasks are running".into())
    } else if any(PENDING) || tasks.tasks.is_empty() {
        (ClientStatus::Pending, "No tasks have started".into())
    } else {
        (ClientStatus::Complete, "All tasks have completed".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::events;

    #[test]
    fn an_allocation_is_what_its_tasks_are() {
        let dead = |failed| TaskState { state: DEAD.into(), failed, ..TaskState::default() };
        let is = |state: &str| TaskState { state: state.into(), ..TaskState::default() };
        let cases = [
            (vec![], ClientStatus::Pending),
            (vec![is(PENDING)], ClientStatus::Pending),
            (vec![is(PENDING), is(RUNNING)], ClientStatus::Running),
            (vec![dead(false), is(RUNNING)], ClientStatus::Running),
            (vec![dead(false), is(PENDING)], ClientStatus::Pending),
            (vec![dead(false), dead(false)], ClientStatus::Complete),
            (vec![dead(true), is(RUNNING)], ClientStatus::Failed),
            (vec![dead(false), dead(true)], ClientStatus::Failed),
        ];
        for (states, expected) in cases {
            let stored = |(number, state): (usize, &TaskState)| {
                (number.to_string(), StoredTask { state: state.clone(), ..StoredTask::default() })
            };
            let tasks = states.iter().enumerate().map(stored).collect();
            let (status, _) = client_status(&StoredTasks { tasks, ..StoredTasks::default() });
            assert_eq!(status, expected, "{states:?}");
        }
    }

    #[test]
    fn the_stamp_rises_with_every_change_whatever_the_clock_says() {
        let board = Board::new(StoredTasks::default());
        let stamp = || board.client_state(Uuid::from_u128(1)).stamp;
        let before = now_ns();
        board.event("t", events::received());
        let first = stamp();
        assert!(first >= before);
        let far = before + 3_600_000_000_000;
        board.outdo(far);
        assert_eq!(stamp(), far + 1);
        board.outdo(far);
        assert_eq!(stamp(), far + 1, "it is a later one already");
        board.event("t", events::started());
        assert_eq!(stamp(), far + 2);
        let restored = Board::new(board.snapshot().1);
        restored.refuse("no");
        assert_eq!(restored.client_state(Uuid::from_u128(1)).stamp, far + 3);
    }

    #[test]
    fn only_the_latest_events_are_kept() {
        let board = Board::new(StoredTasks::default());
        board.expect_tasks(["t"].into_iter());
        board.event("t", events::received());
        for _ in 0..TASK_EVENTS_MAX {
            board.event("t", events::started());
        }
        let kept = board.task("t").state.events;
        assert_eq!(kept.len(), TASK_EVENTS_MAX);
        assert!(kept.iter().all(|event| event.r#type == "Started"));
    }

    #[test]
    fn what_is_told_of_many_tasks_with_long_texts_has_a_bound_and_names_them_all() {
        let board = Board::new(StoredTasks::default());
        let names: Vec<String> = (0..2000).map(|number| format!("task-{number}")).collect();
        board.expect_tasks(names.iter().map(String::as_str));
        for name in &names {
            board.event(name, events::driver_failure(&"x".repeat(1024 * 1024)));
            board.event(name, events::not_restarting("because"));
        }
        let state = board.client_state(Uuid::from_u128(1));
        assert!(state.encoded_len() <= UPDATE_BYTES_MAX, "{}", state.encoded_len());
        assert_eq!(state.task_states.len(), names.len());
        let kept = &state.task_states["task-7"].events;
        assert_eq!(kept.iter().map(|event| event.r#type.as_str()).collect::<Vec<_>>(), ["Not Restarting"]);
    }

    #[test]
    fn a_refused_allocation_is_failed_and_says_why() {
        let board = Board::new(StoredTasks::default());
        board.expect_tasks(["t"].into_iter());
        board.refuse("no such group");
        let state = board.client_state(Uuid::from_u128(1));
        assert_eq!(state.client_status(), ClientStatus::Failed);
        assert_eq!(state.client_description, "no such group");
        assert!(state.task_states["t"].failed && board.is_over());
        board.refuse(&"no such group ".repeat(1024 * 1024));
        assert!(board.client_state(Uuid::from_u128(1)).encoded_len() < 8 * 1024);
    }
}
