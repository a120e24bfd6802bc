//! The agent's connection to the supervisor: starts the supervisor if none is running, reconnects when the
//! connection is lost, and repeats unanswered requests.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::SinkExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::bytes::Bytes;

use super::protocol::{
    self, Answer, Exit, FrameReader, Request, RequestFrame, StartTask, SupervisorFrame, TaskKey, TaskReport,
};
use super::release::{Release, VERSION_VARIABLE};
use crate::limits::{EXIT_QUEUE_MAX, OUTBOUND_QUEUE_MAX, SUPERVISOR_START_TIMEOUT};
use crate::options::SupervisorProgram;

/// Interval of connection attempts while a supervisor starts.
const CONNECT_POLL: Duration = Duration::from_millis(10);
/// Least time between two starts of a supervisor that ends at once.
const SPAWN_PAUSE: Duration = Duration::from_millis(200);
/// How long a starting agent waits for its supervisor, so that it can report the supervisor's version to the servers.
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);
/// Pause after a supervisor failed to start.
const START_AGAIN_PAUSE: Duration = Duration::from_secs(1);

/// Where the supervisor's files are, and how to start it.
pub(crate) struct SupervisorPlace {
    pub(crate) program: SupervisorProgram,
    /// The agent's version, passed to a supervisor that this agent starts.
    pub(crate) version: String,
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) log: PathBuf,
}

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

struct Call {
    request: Request,
    answer: oneshot::Sender<Answer>,
}

/// Sends requests to the supervisor. Every request waits until a supervisor answers it.
#[derive(Clone)]
pub(crate) struct SupervisorHandle {
    calls: mpsc::Sender<Call>,
    exits: broadcast::Sender<(TaskKey, Exit)>,
    /// Incremented with every new connection. Exits announced between two connections were missed.
    connection: watch::Receiver<u64>,
    /// The release of the supervisor connected last.
    release: watch::Receiver<Option<Release>>,
}

impl SupervisorHandle {
    /// Starts a background task that maintains the connection and ends with the last handle.
    pub(crate) fn begin(place: SupervisorPlace) -> Self {
        let (calls, received) = mpsc::channel(OUTBOUND_QUEUE_MAX);
        let (exits, _) = broadcast::channel(EXIT_QUEUE_MAX);
        let (connected, connection) = watch::channel(0);
        let (told, release) = watch::channel(None);
        tokio::spawn(keep(place, received, exits.clone(), connected, told));
        Self { calls, exits, connection, release }
    }

    /// Returns the supervisor's release, if known.
    pub(crate) fn release(&self) -> Option<Release> {
        self.release.borrow().clone()
    }

    /// Subscribes to the release of each supervisor that is connected.
    pub(crate) fn releases(&self) -> watch::Receiver<Option<Release>> {
        self.release.clone()
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
            let mut exits = self.exits.subscribe();
            let mut connection = self.connection.clone();
            connection.mark_unchanged();
            match self.ask(Request::Status { key: key.clone() }).await {
                Answer::Status(Some(TaskReport { exit: Some(exit), .. })) => return exit,
                Answer::Status(None) => return Exit::unknown(super::now_ns()),
                _ => {}
            }
            loop {
                tokio::select! {
                    announced = exits.recv() => match announced {
                        Ok((ended, exit)) if ended == *key => return exit,
                        Ok(_) => {}
                        Err(_) => break,
                    },
                    _ = connection.changed() => break,
                }
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

    /// Asks the supervisor to end, which it refuses while tasks are alive.
    pub(crate) async fn quit(&self) {
        if let Answer::Refused { text } = self.ask(Request::Quit).await {
            tracing::warn!("the supervisor goes on: {text}");
        }
    }
}

/// Maintains the connection until no handle is left.
async fn keep(
    place: SupervisorPlace,
    mut calls: mpsc::Receiver<Call>,
    exits: broadcast::Sender<(TaskKey, Exit)>,
    connected: watch::Sender<u64>,
    release: watch::Sender<Option<Release>>,
) {
    loop {
        match connect(&place).await {
            Ok(stream) => {
                let found = Release::of(&stream);
                if let Some(found) = found.as_ref().filter(|found| !found.is_current) {
                    tracing::warn!(
                        "the node supervisor (process {}, version {}) is of another program than this agent: it was \
                         started before an upgrade and owns the tasks until it ends",
                        found.pid,
                        found.version()
                    );
                }
                release.send_replace(found);
                connected.send_modify(|count| *count += 1);
                if converse(stream, &mut calls, &exits).await {
                    return;
                }
                tracing::warn!("the connection to the node supervisor is lost; it is found again or started");
            }
            Err(error) => {
                let log = place.log.display();
                tracing::error!("the node supervisor does not start: {error}; its log is {log}");
                sleep(START_AGAIN_PAUSE).await;
            }
        }
    }
}

/// Exchanges requests and answers over one connection. Returns true if it should not be re-established.
///
/// Requests are written beside the loop that reads: the supervisor does not read while it writes, so an agent that
/// did not read while it writes could wait for it forever, each with a full buffer.
async fn converse(
    stream: UnixStream,
    calls: &mut mpsc::Receiver<Call>,
    exits: &broadcast::Sender<(TaskKey, Exit)>,
) -> bool {
    let (reader, mut writer) = protocol::frames(stream);
    let (outbound, mut requests) = mpsc::channel(1);
    let write = async {
        while let Some(request) = requests.recv().await {
            if writer.send(request).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        is_over = exchange(reader, outbound, calls, exits) => is_over,
        () = write => false,
    }
}

/// Reads from one connection and hands requests to its writer. Returns true if the connection should not be
/// re-established.
async fn exchange(
    mut reader: FrameReader,
    outbound: mpsc::Sender<Bytes>,
    calls: &mut mpsc::Receiver<Call>,
    exits: &broadcast::Sender<(TaskKey, Exit)>,
) -> bool {
    let mut waiting: BTreeMap<u64, oneshot::Sender<Answer>> = BTreeMap::new();
    let mut last_id = 0;
    // A supervisor that was asked to quit must not be started again.
    let mut quit_id = None;
    loop {
        // Take a call only when the writer has room for it: no call is lost if the future is dropped in between.
        let call = async { (outbound.reserve().await, calls.recv().await) };
        tokio::select! {
            (room, call) = call => {
                let Some(Call { request, answer }) = call else { return true };
                let Ok(room) = room else { return false };
                last_id += 1;
                if matches!(request, Request::Quit) {
                    quit_id = Some(last_id);
                }
                match protocol::encode(&RequestFrame { id: last_id, request }) {
                    Ok(bytes) => {
                        waiting.insert(last_id, answer);
                        room.send(bytes);
                    }
                    Err(text) => {
                        // The requester may have been cancelled.
                        let _ = answer.send(Answer::Refused { text });
                    }
                }
            }
            frame = protocol::receive::<SupervisorFrame>(&mut reader) => match frame {
                Ok(Some(SupervisorFrame::Answer { id, answer })) => {
                    let ends = quit_id == Some(id) && matches!(answer, Answer::Done);
                    if let Some(asker) = waiting.remove(&id) {
                        // The requester may have been cancelled.
                        let _ = asker.send(answer);
                    }
                    if ends {
                        return true;
                    }
                }
                Ok(Some(SupervisorFrame::Exited { key, exit })) => {
                    // Sending fails if no one waits for the exit of any task.
                    let _ = exits.send((key, exit));
                }
                Ok(None) | Err(_) => return false,
            },
        }
    }
}

/// Connects to the supervisor, or starts one. A new supervisor fails while an old one that is ending holds the lock,
/// so starting is retried until the timeout.
async fn connect(place: &SupervisorPlace) -> io::Result<UnixStream> {
    let deadline = Instant::now() + SUPERVISOR_START_TIMEOUT;
    let mut child: Option<Child> = None;
    let mut spawned_at: Option<Instant> = None;
    loop {
        let connected = match protocol::socket_address(&place.socket) {
            Ok((address, _directory)) => UnixStream::connect(address).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(stream) => {
                if let Some(child) = child {
                    tokio::spawn(watch_end(child));
                }
                return Ok(stream);
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => {}
        }
        let ended = match &mut child {
            Some(child) => child.try_wait()?.is_some(),
            None => true,
        };
        if ended && spawned_at.is_none_or(|spawned_at| spawned_at.elapsed() > SPAWN_PAUSE) {
            child = Some(spawn(place)?);
            spawned_at = Some(Instant::now());
        }
        sleep(CONNECT_POLL).await;
    }
}

fn spawn(place: &SupervisorPlace) -> io::Result<Child> {
    if let Some(directory) = place.log.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let log = || -> io::Result<File> { OpenOptions::new().create(true).append(true).open(&place.log) };
    tracing::info!("starting the node supervisor");
    Command::new(&place.program.program)
        .arg0("ordu-node-supervisor")
        .env(VERSION_VARIABLE, &place.version)
        .args(&place.program.args)
        .arg("--socket")
        .arg(&place.socket)
        .arg("--state")
        .arg(&place.state)
        .stdin(Stdio::null())
        .stdout(log()?)
        .stderr(log()?)
        .spawn()
}

/// Reaps a supervisor that this agent started.
async fn watch_end(mut child: Child) {
    if let Ok(status) = child.wait().await
        && !ExitStatus::success(&status)
    {
        tracing::warn!("the node supervisor ended: {status}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Larger than what the buffers of a socket hold.
    const LARGE_BYTES: usize = 2 * 1024 * 1024;

    #[tokio::test]
    async fn a_large_answer_and_a_large_request_at_once_pass_each_other() {
        let (agent, supervisor) = UnixStream::pair().unwrap();
        let (ask, mut calls) = mpsc::channel(1);
        let (exits, _) = broadcast::channel(1);
        let (answer, answered) = oneshot::channel();
        let key = TaskKey { alloc: "x".repeat(LARGE_BYTES), task: "t".into(), attempt: 1 };
        ask.send(Call { request: Request::Status { key }, answer }).await.unwrap();
        let agent = async { converse(agent, &mut calls, &exits).await };
        // As the real one does, this supervisor reads nothing while it writes.
        let supervisor = async {
            let (mut reader, mut writer) = protocol::frames(supervisor);
            let text = "y".repeat(LARGE_BYTES);
            protocol::send(&mut writer, &SupervisorFrame::Answer { id: 1, answer: Answer::Refused { text } })
                .await
                .unwrap();
            protocol::receive::<RequestFrame>(&mut reader).await.unwrap().unwrap()
        };
        let both = async { tokio::join!(agent, supervisor) };
        timeout(Duration::from_secs(20), both).await.expect("neither side waits for the other");
        drop(ask);
        assert!(matches!(answered.await, Ok(Answer::Refused { text }) if text.len() == LARGE_BYTES));
    }
}
