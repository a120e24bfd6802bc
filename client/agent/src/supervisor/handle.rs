//! The agent's side of the supervisor: starts it if it is not there, comes back to it when the
//! connection is lost, and asks again what was not answered.

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

use super::protocol::{
    self, Answer, Exit, Request, RequestFrame, StartTask, SupervisorFrame, TaskKey, TaskReport,
};
use super::release::{Release, VERSION_VARIABLE};
use crate::limits::{EXIT_QUEUE_MAX, OUTBOUND_QUEUE_MAX, SUPERVISOR_START_TIMEOUT};
use crate::options::SupervisorProgram;

/// How often a supervisor that was started is tried until it listens.
const CONNECT_POLL: Duration = Duration::from_millis(10);
/// Between two starts of a supervisor that ends at once.
const SPAWN_PAUSE: Duration = Duration::from_millis(200);
/// An agent that begins waits this long for its supervisor, to tell the servers which one it is.
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);
/// Pause after a supervisor could not be started at all.
const START_AGAIN_PAUSE: Duration = Duration::from_secs(1);

/// Where the supervisor is, and what starts it.
pub(crate) struct SupervisorPlace {
    pub(crate) program: SupervisorProgram,
    /// The version that one is told which this agent starts.
    pub(crate) version: String,
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) log: PathBuf,
}

/// What became of a start.
#[derive(Debug)]
pub(crate) enum Started {
    /// It runs, or has run: this attempt was started, now or earlier.
    Attempt(TaskReport),
    /// Another attempt of the task runs, so this one was not started.
    Other(TaskReport),
    /// It could not be executed.
    Failed(String),
}

struct Call {
    request: Request,
    answer: oneshot::Sender<Answer>,
}

/// Asks the supervisor; every question waits until there is one that answers it.
#[derive(Clone)]
pub(crate) struct SupervisorHandle {
    calls: mpsc::Sender<Call>,
    exits: broadcast::Sender<(TaskKey, Exit)>,
    /// Rises with every new connection: what was announced in between was not heard.
    connection: watch::Receiver<u64>,
    /// Of the supervisor that was connected last.
    release: watch::Receiver<Option<Release>>,
}

impl SupervisorHandle {
    /// Begins to keep a connection, in a task of its own that ends with the last handle.
    pub(crate) fn begin(place: SupervisorPlace) -> Self {
        let (calls, received) = mpsc::channel(OUTBOUND_QUEUE_MAX);
        let (exits, _) = broadcast::channel(EXIT_QUEUE_MAX);
        let (connected, connection) = watch::channel(0);
        let (told, release) = watch::channel(None);
        tokio::spawn(keep(place, received, exits.clone(), connected, told));
        Self { calls, exits, connection, release }
    }

    /// Which program the supervisor is, as far as that is known.
    pub(crate) fn release(&self) -> Option<Release> {
        self.release.borrow().clone()
    }

    /// Which program each supervisor is that is found.
    pub(crate) fn releases(&self) -> watch::Receiver<Option<Release>> {
        self.release.clone()
    }

    /// Waits until there is a supervisor, and not for long.
    pub(crate) async fn connected(&self) {
        let mut connection = self.connection.clone();
        // Without one the agent goes on: what is asked of it waits.
        let _ = timeout(CONNECTED_WITHIN, connection.wait_for(|count| *count > 0)).await;
    }

    async fn ask(&self, request: Request) -> Answer {
        loop {
            let (answer, answered) = oneshot::channel();
            let call = Call { request: request.clone(), answer };
            if self.calls.send(call).await.is_err() {
                // The runtime is going down; whoever waits here goes with it.
                std::future::pending::<()>().await;
            }
            if let Ok(answer) = answered.await {
                return answer;
            }
        }
    }

    /// Starts an attempt; asking again, even of another supervisor, never starts it twice.
    pub(crate) async fn start(&self, task: StartTask) -> Started {
        match self.ask(Request::Start(Box::new(task))).await {
            Answer::Started(report) => Started::Attempt(report),
            Answer::Busy(report) => Started::Other(report),
            Answer::StartFailed { text } | Answer::Refused { text } => Started::Failed(text),
            other => Started::Failed(format!("the supervisor answered {other:?}")),
        }
    }

    /// Waits until the attempt has ended. One that the supervisor does not know ended unseen.
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

    /// Signals the attempt's first process, or its whole group. One that has ended is left alone.
    pub(crate) async fn signal(&self, key: &TaskKey, signal: i32, whole_group: bool) {
        let request = Request::Signal { key: key.clone(), signal, whole_group };
        if let Answer::Refused { text } = self.ask(request).await {
            tracing::warn!("{text}");
        }
    }

    /// The attempt's end is written down here, so the supervisor need not keep it.
    pub(crate) async fn forget(&self, key: &TaskKey) {
        if let Answer::Refused { text } = self.ask(Request::Forget { key: key.clone() }).await {
            tracing::warn!("{text}");
        }
    }

    /// All attempts that the supervisor knows.
    pub(crate) async fn list(&self) -> Vec<TaskReport> {
        match self.ask(Request::List).await {
            Answer::Tasks(reports) => reports,
            _ => Vec::new(),
        }
    }

    /// Asks the supervisor to end; it does not while tasks live.
    pub(crate) async fn quit(&self) {
        if let Answer::Refused { text } = self.ask(Request::Quit).await {
            tracing::warn!("the supervisor goes on: {text}");
        }
    }
}

/// Connects again and again until no handle is left.
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

/// Carries questions and answers. True if there is nobody left to ask any.
async fn converse(
    stream: UnixStream,
    calls: &mut mpsc::Receiver<Call>,
    exits: &broadcast::Sender<(TaskKey, Exit)>,
) -> bool {
    let (mut reader, mut writer) = protocol::frames(stream);
    let mut waiting: BTreeMap<u64, oneshot::Sender<Answer>> = BTreeMap::new();
    let mut last_id = 0;
    // A supervisor that was asked to end is not to be started again.
    let mut quit_id = None;
    loop {
        tokio::select! {
            call = calls.recv() => {
                let Some(Call { request, answer }) = call else { return true };
                last_id += 1;
                if matches!(request, Request::Quit) {
                    quit_id = Some(last_id);
                }
                let bytes = match protocol::encode(&RequestFrame { id: last_id, request }) {
                    Ok(bytes) => bytes,
                    Err(text) => {
                        // Who asked may have been cancelled meanwhile.
                        let _ = answer.send(Answer::Refused { text });
                        continue;
                    }
                };
                waiting.insert(last_id, answer);
                if writer.send(bytes).await.is_err() {
                    return false;
                }
            }
            frame = protocol::receive::<SupervisorFrame>(&mut reader) => match frame {
                Ok(Some(SupervisorFrame::Answer { id, answer })) => {
                    let ends = quit_id == Some(id) && matches!(answer, Answer::Done);
                    if let Some(asker) = waiting.remove(&id) {
                        // Who asked may have been cancelled meanwhile.
                        let _ = asker.send(answer);
                    }
                    if ends {
                        return true;
                    }
                }
                Ok(Some(SupervisorFrame::Exited { key, exit })) => {
                    // Nobody waits for a task whose end was read before.
                    let _ = exits.send((key, exit));
                }
                Ok(None) | Err(_) => return false,
            },
        }
    }
}

/// Finds the supervisor, or starts one. A fresh one may lose the race against one that is ending, so it
/// is started again while there is time.
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
