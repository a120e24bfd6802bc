//! The current state of one allocation's tasks. Task runners update it; a writer stores and reports each version.

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

/// The tasks' states, with a version that is incremented by each change.
pub(crate) struct Board {
    tasks: Mutex<StoredTasks>,
    version: watch::Sender<u64>,
    written: watch::Sender<Written>,
}

/// The latest version for which a write was attempted, and the latest version on disk.
#[derive(Clone, Copy, Default)]
struct Written {
    tried: u64,
    kept: u64,
}

impl Board {
    pub(crate) fn new(tasks: StoredTasks) -> Self {
        Self { tasks: Mutex::new(tasks), version: watch::Sender::new(0), written: watch::Sender::default() }
    }

    /// Adds a pending state for every task that has no state yet.
    pub(crate) fn expect_tasks<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut tasks = self.lock();
        for name in names {
            tasks.tasks.entry(name.to_owned()).or_insert_with(|| StoredTask {
                state: TaskState { state: PENDING.into(), ..TaskState::default() },
                ..StoredTask::default()
            });
        }
    }

    /// Returns the task's state.
    pub(crate) fn task(&self, name: &str) -> StoredTask {
        self.lock().tasks.get(name).cloned().unwrap_or_default()
    }

    /// Changes a task's state.
    pub(crate) fn update(&self, name: &str, change: impl FnOnce(&mut StoredTask)) {
        let mut tasks = self.lock();
        change(tasks.tasks.entry(name.to_owned()).or_default());
        self.changed(tasks);
    }

    /// Updates stamp and version after a change.
    fn changed(&self, mut tasks: MutexGuard<'_, StoredTasks>) {
        // The stamp must increase even if the clock was set back, because it orders the states.
        tasks.stamp = now_ns().max(tasks.stamp.saturating_add(1));
        drop(tasks);
        self.version.send_modify(|version| *version += 1);
    }

    /// Adds an event to a task and drops its oldest events beyond the limit.
    pub(crate) fn event(&self, name: &str, event: TaskEvent) {
        self.update(name, |task| push_event(&mut task.state, event));
    }

    /// Marks the allocation as impossible to run, and fails all its tasks.
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

    /// Raises the stamp above that of a differing state on the servers, so that the next report counts as newer, even
    /// if this node has lost the state that it reported with that stamp.
    pub(crate) fn outdo(&self, stamp: i64) {
        let mut tasks = self.lock();
        if tasks.stamp <= stamp {
            tasks.stamp = stamp;
            self.changed(tasks);
        }
    }

    /// Returns whether the allocation is marked as impossible to run.
    pub(crate) fn refused(&self) -> bool {
        !self.lock().refused.is_empty()
    }

    /// Returns whether no task will run again.
    pub(crate) fn is_over(&self) -> bool {
        let tasks = self.lock();
        tasks.tasks.is_empty() || tasks.is_over()
    }

    /// Subscribes to the version.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Returns all states with their version.
    pub(crate) fn snapshot(&self) -> (u64, StoredTasks) {
        let tasks = self.lock();
        (*self.version.borrow(), tasks.clone())
    }

    /// Records that writing this version has succeeded (`is_kept`) or failed.
    pub(crate) fn set_written(&self, version: u64, is_kept: bool) {
        self.written.send_modify(|written| {
            written.tried = version;
            if is_kept {
                written.kept = version;
            }
        });
    }

    /// Waits for the attempt to write the current state; returns whether it succeeded. Does not wait for retries: a
    /// failing disk must not keep tasks from ending.
    pub(crate) async fn flush(&self) -> bool {
        let version = *self.version.borrow();
        let mut written = self.written.subscribe();
        // `self` owns the sender, so the channel cannot be closed.
        written
            .wait_for(|written| written.tried >= version)
            .await
            .is_ok_and(|written| written.kept >= version)
    }

    /// Waits until the current state is on disk, across retries.
    pub(crate) async fn kept(&self) {
        let version = *self.version.borrow();
        // `self` owns the sender, so the channel cannot be closed.
        let _ = self.written.subscribe().wait_for(|written| written.kept >= version).await;
    }

    /// Returns the report for the servers.
    pub(crate) fn client_state(&self, alloc: Uuid) -> AllocClientState {
        let tasks = self.lock();
        let (status, description) = client_status(&tasks);
        bounded(AllocClientState {
            alloc_id: alloc.as_bytes().to_vec(),
            client_status: status.into(),
            client_description: description,
            task_states: tasks.tasks.iter().map(|(name, task)| (name.clone(), task.state.clone())).collect(),
            // The server fills in the node.
            node_id: Vec::new(),
            stamp: tasks.stamp,
        })
    }

    fn lock(&self) -> MutexGuard<'_, StoredTasks> {
        // Every holder leaves the states consistent, even if it panics.
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

/// Limits the size of a report, because a group may have thousands of tasks. Keeps all task states, and drops older
/// events as necessary.
fn bounded(mut state: AllocClientState) -> AllocClientState {
    for events in (0..TASK_EVENTS_MAX).rev() {
        if state.encoded_len() <= UPDATE_BYTES_MAX {
            break;
        }
        state.task_states.values_mut().for_each(|task| keep_latest(task, events));
    }
    state
}

/// Derives the allocation's status: failed if any task failed; else running if any task runs; else pending if any
/// task is pending; else complete.
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
