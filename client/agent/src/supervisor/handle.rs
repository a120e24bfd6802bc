//! The requests that the agent makes of the supervisor. Each is repeated until a supervisor has answered it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::connection::{self, Call, SupervisorPlace};
use super::exits::Exits;
use super::protocol::{Answer, Exit, Request, StartTask, TaskKey, TaskReport};
use super::standing::SupervisorStanding;
use crate::limits::{OUTBOUND_QUEUE_MAX, STARTS_IN_HAND_MAX};

/// How long a starting agent waits for its supervisor, so that it can report the supervisor's version to the servers.
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);

/// Outcome of a start request.
#[derive(Debug)]
pub(crate) enum Started {
    /// This attempt was started, now or earlier; it may have ended.
    Attempt(TaskReport),
    /// Another attempt of the task is running, so this one was not started.
    Other(TaskReport),
    /// The program could not be executed.
    Failed(String),
}

/// Sends requests to the supervisor. Every request waits until a supervisor answers it.
#[derive(Clone)]
pub(crate) struct SupervisorHandle {
    calls: mpsc::Sender<Call>,
    exits: Arc<Exits>,
    /// Incremented with every new connection. Exits announced between two connections were missed.
    connection: watch::Receiver<u64>,
    standing: watch::Receiver<SupervisorStanding>,
    /// Bounds the starts under way, so that the starts of a burst neither overload the machine nor delay other
    /// requests.
    starts: Arc<Semaphore>,
    /// The attempts that the supervisor knew when it was asked first.
    found: Arc<OnceCell<Vec<TaskReport>>>,
}

impl SupervisorHandle {
    /// Starts a background task that maintains the connection and ends with the last handle.
    pub(crate) fn begin(place: SupervisorPlace) -> Self {
        let (calls, received) = mpsc::channel(OUTBOUND_QUEUE_MAX);
        let exits = Arc::new(Exits::default());
        let (connected, connection) = watch::channel(0);
        let (told, standing) = watch::channel(SupervisorStanding::default());
        tokio::spawn(connection::keep(place, received, Arc::clone(&exits), connected, told));
        let starts = Arc::new(Semaphore::new(STARTS_IN_HAND_MAX));
        Self { calls, exits, connection, standing, starts, found: Arc::default() }
    }

    /// Returns what is known about the supervisor.
    pub(crate) fn standing(&self) -> SupervisorStanding {
        self.standing.borrow().clone()
    }

    /// Subscribes to changes of what is known about the supervisor.
    pub(crate) fn standings(&self) -> watch::Receiver<SupervisorStanding> {
        self.standing.clone()
    }

    /// Waits until a supervisor is connected, for at most [`CONNECTED_WITHIN`].
    pub(crate) async fn connected(&self) {
        let mut connection = self.connection.clone();
        // Without a supervisor the agent continues; requests wait for one.
        let _ = timeout(CONNECTED_WITHIN, connection.wait_for(|count| *count > 0)).await;
    }

    async fn ask(&self, request: Request) -> Answer {
        loop {
            let (answer, answered) = oneshot::channel();
            let call = Call { request: request.clone(), answer };
            if self.calls.send(call).await.is_err() {
                // The runtime is shutting down and will cancel this future.
                std::future::pending::<()>().await;
            }
            if let Ok(answer) = answered.await {
                return answer;
            }
        }
    }

    /// Starts an attempt. Repeating the request, even to another supervisor, never starts it twice.
    pub(crate) async fn start(&self, task: StartTask) -> Started {
        // The semaphore is never closed.
        let _place = self.starts.acquire().await;
        match self.ask(Request::Start(Box::new(task))).await {
            Answer::Started(report) => Started::Attempt(report),
            Answer::Busy(report) => Started::Other(report),
            Answer::StartFailed { text } | Answer::Refused { text } => Started::Failed(text),
            other => Started::Failed(format!("the supervisor answered {other:?}")),
        }
    }

    /// Waits until the attempt has ended. If the supervisor does not know the attempt, its exit is unknown.
    pub(crate) async fn wait_exit(&self, key: &TaskKey) -> Exit {
        loop {
            let mut awaited = self.exits.of(key);
            let mut connection = self.connection.clone();
            connection.mark_unchanged();
            match self.ask(Request::Status { key: key.clone() }).await {
                Answer::Status(Some(TaskReport { exit: Some(exit), .. })) => return exit,
                Answer::Status(None) => return Exit::unknown(super::now_ns()),
                _ => {}
            }
            tokio::select! {
                exit = awaited.announced() => return exit,
                _ = connection.changed() => {}
            }
        }
    }

    /// Signals the attempt's first process, or its whole process group. Does nothing if it has ended.
    pub(crate) async fn signal(&self, key: &TaskKey, signal: i32, whole_group: bool) {
        let request = Request::Signal { key: key.clone(), signal, whole_group };
        if let Answer::Refused { text } = self.ask(request).await {
            tracing::warn!("{text}");
        }
    }

    /// Tells the supervisor to drop the attempt's record, because the agent has stored its exit.
    pub(crate) async fn forget(&self, key: &TaskKey) {
        if let Answer::Refused { text } = self.ask(Request::Forget { key: key.clone() }).await {
            tracing::warn!("{text}");
        }
    }

    /// Returns all attempts known to the supervisor.
    pub(crate) async fn list(&self) -> Vec<TaskReport> {
        match self.ask(Request::List).await {
            Answer::Tasks(reports) => reports,
            _ => Vec::new(),
        }
    }

    /// Returns all attempts that the supervisor knew when it was first asked: those of earlier agents. Starts by this
    /// agent may be missing.
    pub(crate) async fn found(&self) -> &[TaskReport] {
        self.found.get_or_init(|| self.list()).await
    }

    /// Asks the supervisor to end, which it refuses while tasks are alive.
    pub(crate) async fn quit(&self) {
        if let Answer::Refused { text } = self.ask(Request::Quit).await {
            tracing::warn!("the supervisor goes on: {text}");
        }
    }
}
