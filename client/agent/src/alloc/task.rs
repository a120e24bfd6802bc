//! Runs one task: sets it up, starts it, waits for its exit, restarts it by its policy, and kills it on request. The
//! next agent can repeat every step without effect: starts are idempotent per attempt, and the supervisor drops an
//! exit only after it is stored here.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use ordu_proto::api::job::TYPE_BATCH;
use tokio::sync::watch;

use super::board::{DEAD, PENDING, RUNNING};
use super::directory::TaskDirectories;
use super::events;
use super::payload;
use super::program;
use super::restart::{self, Decision, RestartCount};
use super::runner::{AllocContext, Assignment};
use super::store::Phase;
use crate::limits::KILL_TIMEOUT_MAX;
use crate::spec::TaskSpec;
use crate::supervisor::handle::Started;
use crate::supervisor::now_ns;
use crate::supervisor::protocol::{Exit, TaskKey, TaskReport};

/// The desired state of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Run,
    Stop(StopReason),
}

/// Why a task is stopped; shown in the task's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Stopped by the servers, the operator or the agent's shutdown.
    Asked,
    SiblingFailed(String),
    LeaderDead,
}

/// Runs one task to its end.
pub(crate) struct TaskRunner {
    pub(crate) alloc: Arc<AllocContext>,
    pub(crate) name: String,
    pub(crate) order: watch::Receiver<Order>,
}

/// Whether the task's state machine continues after a step.
enum Next {
    Again,
    Over,
}

impl TaskRunner {
    /// Returns when the task is dead. Cancel-safe: the stored state is sufficient to resume.
    pub(crate) async fn run(mut self) {
        if self.alloc.board.task(&self.name).state.events.is_empty() {
            self.alloc.board.event(&self.name, events::received());
        }
        loop {
            let assignment = self.alloc.assignment();
            let next = match self.phase() {
                Phase::New => self.set_up(&assignment).await,
                Phase::Launching => self.launch(&assignment).await,
                Phase::Running => self.wait(&assignment).await,
                Phase::Waiting => self.wait_for_restart().await,
                Phase::Dead => Next::Over,
            };
            if matches!(next, Next::Over) {
                break;
            }
        }
        self.alloc.board.flush().await;
    }

    fn phase(&self) -> Phase {
        self.alloc.board.task(&self.name).phase()
    }

    fn key(&self) -> TaskKey {
        let attempt = self.alloc.board.task(&self.name).attempt;
        TaskKey { alloc: self.alloc.id.to_string(), task: self.name.clone(), attempt }
    }

    fn stop_reason(&self) -> Option<StopReason> {
        match &*self.order.borrow() {
            Order::Run => None,
            Order::Stop(reason) => Some(reason.clone()),
        }
    }

    /// Waits for the order to stop. Never returns if the sender is gone.
    async fn stop_ordered(&mut self) -> StopReason {
        let stopped = self.order.wait_for(|order| *order != Order::Run).await;
        match stopped.map(|order| order.clone()) {
            Ok(Order::Stop(reason)) => reason,
            Ok(Order::Run) | Err(_) => std::future::pending().await,
        }
    }

    /// Creates directories and payload, and fails the task for reasons that would certainly make its start fail.
    async fn set_up(&self, assignment: &Assignment) -> Next {
        if self.was_started().await {
            self.alloc.board.update(&self.name, |task| task.set_phase(Phase::Launching));
            return Next::Again;
        }
        if let Some(reason) = self.stop_reason() {
            self.say_why(&reason);
            return self.die(false);
        }
        let Some(task) = assignment.task(&self.name) else {
            return self.fail_setup("the job has no such task any more");
        };
        if let Some(part) = task.unsupported() {
            return self.fail_setup(&format!("this node does not support the block \"{part}\" of a task"));
        }
        self.alloc.board.event(&self.name, events::building_directory());
        let directories = self.directories();
        let user = task.user.clone();
        // Without a payload no file is written, even if the task asks for one; as in Nomad.
        let sent = Some(&assignment.sent.payload).filter(|payload| !payload.is_empty());
        let payload = task.payload_file().zip(sent).map(|(file, bytes)| (file.to_owned(), Arc::clone(bytes)));
        let built = tokio::task::spawn_blocking(move || {
            let built = directories.build(&user);
            built.map_err(|error| format!("failed to build the task directory: {error}"))?;
            payload.map_or(Ok(()), |(file, bytes)| payload::write(&directories, &file, &bytes))
        });
        match built.await {
            Ok(Ok(())) => {
                self.alloc.board.update(&self.name, |task| task.set_phase(Phase::Launching));
                Next::Again
            }
            Ok(Err(text)) => self.fail_setup(&text),
            Err(_) => self.fail_setup("failed to build the task directory"),
        }
    }

    /// Returns whether a previous agent set up and started the task without storing that. Such a task owns its files,
    /// so it must not be set up again; even if the files are broken, its process must be tracked.
    async fn was_started(&self) -> bool {
        // A task without a directory is new; this spares most tasks a request to the supervisor.
        if tokio::fs::symlink_metadata(self.directories().task).await.is_err() {
            return false;
        }
        let key = self.key();
        let concerns =
            |report: &TaskReport| report.key == key || (report.key.same_task(&key) && report.exit.is_none());
        self.alloc.node.supervisor.found().await.iter().any(concerns)
    }

    fn fail_setup(&self, text: &str) -> Next {
        self.alloc.board.event(&self.name, events::setup_failure(text));
        self.die(true)
    }

    fn directories(&self) -> TaskDirectories {
        TaskDirectories::new(&self.alloc.directory, &self.name)
    }

    /// Starts the attempt. A previous agent may have started it already, so an order to stop is obeyed only after the
    /// supervisor was asked. Does not wait for the disk: if the next agent finds an older state, it asks the
    /// supervisor for the older attempt, whose exit the supervisor keeps until a newer state is stored, and so
    /// arrives at this attempt.
    async fn launch(&self, assignment: &Assignment) -> Next {
        let start = program::of_task(&self.alloc, assignment, &self.name, self.key(), &self.directories());
        let started = match start {
            Ok(start) => self.alloc.node.supervisor.start(start).await,
            Err(text) => Started::Failed(text),
        };
        match started {
            Started::Attempt(report) | Started::Other(report) => {
                self.alloc.board.update(&self.name, |task| {
                    task.attempt = report.key.attempt;
                    task.set_phase(Phase::Running);
                    task.state.state = RUNNING.into();
                    task.state.started_at_ns = report.started_at_ns;
                });
                self.alloc.board.event(&self.name, events::started());
                Next::Again
            }
            Started::Failed(text) => {
                self.alloc.board.event(&self.name, events::driver_failure(&text));
                self.decide(restart::after_failed_start())
            }
        }
    }

    /// Waits until the task ends by itself or has been stopped.
    async fn wait(&mut self, assignment: &Assignment) -> Next {
        let key = self.key();
        let supervisor = self.alloc.node.supervisor.clone();
        let ended = supervisor.wait_exit(&key);
        tokio::pin!(ended);
        let stopped = tokio::select! {
            exit = &mut ended => Err(exit),
            reason = self.stop_ordered() => Ok(reason),
        };
        let (exit, was_stopped) = match stopped {
            Err(exit) => (exit, self.stop_reason().is_some()),
            Ok(reason) => {
                self.say_why(&reason);
                (self.kill(assignment.task(&self.name), &key, ended.as_mut()).await, true)
            }
        };
        self.alloc.board.event(&self.name, events::terminated(&exit));
        let next = if was_stopped {
            self.alloc.board.event(&self.name, events::killed());
            self.die(false)
        } else {
            self.decide(self.after_exit(assignment, &exit))
        };
        // The supervisor may drop the exit only if it is stored here. If storing failed, the next agent's sweep drops
        // it.
        if self.alloc.board.flush().await {
            supervisor.forget(&key).await;
        }
        next
    }

    /// Sends the kill signal to the first process, and after the timeout SIGKILL to the whole process group.
    async fn kill(
        &self,
        task: Option<&TaskSpec>,
        key: &TaskKey,
        mut ended: std::pin::Pin<&mut impl Future<Output = Exit>>,
    ) -> Exit {
        let spec = task.cloned().unwrap_or_default();
        let delay = nanoseconds(spec.shutdown_delay);
        if !delay.is_zero()
            && let Ok(exit) = tokio::time::timeout(delay, ended.as_mut()).await
        {
            return exit;
        }
        let timeout = nanoseconds(spec.kill_timeout).min(KILL_TIMEOUT_MAX);
        self.alloc
            .board
            .event(&self.name, events::killing(i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX)));
        let supervisor = &self.alloc.node.supervisor;
        // The timeout includes the time in which the supervisor may be unavailable.
        let gently = async {
            supervisor.signal(key, program::kill_signal(&spec) as i32, false).await;
            ended.as_mut().await
        };
        if let Ok(exit) = tokio::time::timeout(timeout, gently).await {
            return exit;
        }
        supervisor.signal(key, Signal::SIGKILL as i32, true).await;
        ended.await
    }

    fn say_why(&self, reason: &StopReason) {
        match reason {
            StopReason::Asked => {}
            StopReason::SiblingFailed(sibling) => {
                self.alloc.board.event(&self.name, events::sibling_failed(sibling));
            }
            StopReason::LeaderDead => self.alloc.board.event(&self.name, events::leader_dead()),
        }
    }

    fn after_exit(&self, assignment: &Assignment, exit: &Exit) -> Decision {
        let stored = self.alloc.board.task(&self.name);
        let mut count =
            RestartCount { count: stored.restart_count, interval_began_ns: stored.restart_interval_began_ns };
        let policy = assignment.restart_policy(&self.name);
        let for_ever = assignment.allocation.job_type != TYPE_BATCH;
        let jitter = rand::random_range(0.0..1.0);
        let decision =
            restart::after_exit(&policy, &mut count, exit.is_success(), for_ever, now_ns(), jitter);
        self.alloc.board.update(&self.name, |task| {
            task.restart_count = count.count;
            task.restart_interval_began_ns = count.interval_began_ns;
        });
        decision
    }

    fn decide(&self, decision: Decision) -> Next {
        match decision {
            Decision::Complete => self.die(false),
            Decision::Fail { reason } => {
                self.alloc.board.event(&self.name, events::not_restarting(&reason));
                self.die(true)
            }
            Decision::Restart { delay_ns, reason } => {
                self.alloc.board.event(&self.name, events::restarting(reason, delay_ns));
                self.alloc.board.update(&self.name, |task| {
                    task.set_phase(Phase::Waiting);
                    task.attempt += 1;
                    task.restart_at_ns = now_ns().saturating_add(delay_ns);
                    task.restart_delay_ns = delay_ns;
                    task.state.state = PENDING.into();
                    task.state.restarts += 1;
                    task.state.last_restart_ns = now_ns();
                });
                Next::Again
            }
        }
    }

    async fn wait_for_restart(&mut self) -> Next {
        let delay = nanoseconds(self.alloc.board.task(&self.name).restart_due_in_ns(now_ns()));
        tokio::select! {
            () = tokio::time::sleep(delay) => {
                self.alloc.board.update(&self.name, |task| task.set_phase(Phase::Launching));
                Next::Again
            }
            reason = self.stop_ordered() => {
                self.say_why(&reason);
                self.die(false)
            }
        }
    }

    fn die(&self, failed: bool) -> Next {
        self.alloc.board.update(&self.name, |task| {
            task.set_phase(Phase::Dead);
            task.state.state = DEAD.into();
            task.state.failed |= failed;
            task.state.finished_at_ns = now_ns();
        });
        Next::Over
    }
}

fn nanoseconds(count: i64) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(0))
}
