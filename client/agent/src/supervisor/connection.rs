//! The agent's connection to the supervisor: starts the supervisor if none is running, reconnects when the
//! connection is lost, and tells when the supervisor does not answer.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval_at, sleep};
use tokio_util::bytes::Bytes;

use super::exits::Exits;
use super::protocol::{self, Answer, FrameReader, Request, RequestFrame, SupervisorFrame, TaskKey};
use super::release::{Release, VERSION_VARIABLE};
use super::silence::Silence;
use super::standing::SupervisorStanding;
use crate::limits::{SUPERVISOR_PROBE, SUPERVISOR_SILENT, SUPERVISOR_START_TIMEOUT};
use crate::options::SupervisorProgram;

/// Interval of connection attempts while a supervisor starts.
const CONNECT_POLL: Duration = Duration::from_millis(10);
/// Least time between two starts of a supervisor that ends at once.
const SPAWN_PAUSE: Duration = Duration::from_millis(200);
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

/// A request and where its answer goes.
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Maintains the connection until no handle is left.
pub(crate) async fn keep(
    place: SupervisorPlace,
    mut calls: mpsc::Receiver<Call>,
    exits: Arc<Exits>,
    connected: watch::Sender<u64>,
    standing: watch::Sender<SupervisorStanding>,
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
                standing.send_replace(SupervisorStanding { release: found, problem: None });
                connected.send_modify(|count| *count += 1);
                let watchdog = Watchdog { standing: &standing, log: &place.log.display().to_string() };
                if converse(stream, &mut calls, &exits, &watchdog).await {
                    return;
                }
                tracing::warn!("the connection to the node supervisor is lost; it is found again or started");
            }
            Err(error) => {
                let log = place.log.display();
                tracing::error!("the node supervisor does not start: {error}; its log is {log}");
                standing
                    .send_modify(|standing| standing.problem = Some("the node supervisor does not start"));
                sleep(START_AGAIN_PAUSE).await;
            }
        }
    }
}

/// Tells when the supervisor stops answering, and when it answers again.
struct Watchdog<'a> {
    standing: &'a watch::Sender<SupervisorStanding>,
    /// The supervisor's log.
    log: &'a str,
}

impl Watchdog<'_> {
    fn tell_silence(&self, lasts: Duration, waiting: usize) {
        tracing::error!(
            "the node supervisor{} has not answered for {} s, and {waiting} requests wait: no task can be started or \
             stopped until it answers. Its log is {}; `kill -9` of that process leaves its tasks running, and the agent \
             starts another that finds them",
            self.process(),
            lasts.as_secs(),
            self.log,
        );
        self.standing.send_modify(|standing| standing.problem = Some("the node supervisor does not answer"));
    }

    fn tell_end(&self, lasted: Duration) {
        tracing::info!("the node supervisor{} answers again after {} s", self.process(), lasted.as_secs());
        self.standing.send_modify(|standing| standing.problem = None);
    }

    fn process(&self) -> String {
        let release = &self.standing.borrow().release;
        release.as_ref().map(|release| format!(" (process {})", release.pid)).unwrap_or_default()
    }
}

/// Exchanges requests and answers over one connection. Returns true if it should not be re-established.
///
/// Requests are written beside the loop that reads, as the supervisor writes its answers beside its own: if either
/// did not read while it writes, both could wait for each other forever, each with a full buffer.
async fn converse(
    stream: UnixStream,
    calls: &mut mpsc::Receiver<Call>,
    exits: &Exits,
    watchdog: &Watchdog<'_>,
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
        is_over = exchange(reader, outbound, calls, exits, watchdog) => is_over,
        () = write => false,
    }
}

/// Returns a request that any supervisor answers at once, with nothing.
fn probe() -> Request {
    Request::Status { key: TaskKey { alloc: String::new(), task: String::new(), attempt: 0 } }
}

/// Reads from one connection and hands requests to its writer. Returns true if the connection should not be
/// re-established.
async fn exchange(
    mut reader: FrameReader,
    outbound: mpsc::Sender<Bytes>,
    calls: &mut mpsc::Receiver<Call>,
    exits: &Exits,
    watchdog: &Watchdog<'_>,
) -> bool {
    // Who waits for an answer; nobody waits for that of a probe.
    let mut waiting: BTreeMap<u64, Option<oneshot::Sender<Answer>>> = BTreeMap::new();
    let mut last_id = 0;
    // A supervisor that was asked to quit must not be started again.
    let mut quit_id = None;
    let mut silence = Silence::new(SUPERVISOR_SILENT);
    let mut looks = interval_at(Instant::now() + SUPERVISOR_PROBE, SUPERVISOR_PROBE);
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
                        waiting.insert(last_id, Some(answer));
                        silence.asked();
                        room.send(bytes);
                    }
                    Err(text) => {
                        // The requester may have been cancelled.
                        let _ = answer.send(Answer::Refused { text });
                    }
                }
            }
            frame = protocol::receive::<SupervisorFrame>(&mut reader) => {
                let ends = match frame {
                    Ok(Some(SupervisorFrame::Answer { id, answer })) => {
                        let ends = quit_id == Some(id) && matches!(answer, Answer::Done);
                        if let Some(asker) = waiting.remove(&id).flatten() {
                            // The requester may have been cancelled.
                            let _ = asker.send(answer);
                        }
                        ends
                    }
                    Ok(Some(SupervisorFrame::Exited { key, exit })) => {
                        exits.announce(&key, &exit);
                        false
                    }
                    Ok(None) | Err(_) => return false,
                };
                if let Some(lasted) = silence.heard(!waiting.is_empty()) {
                    watchdog.tell_end(lasted);
                }
                if ends {
                    return true;
                }
            }
            _ = looks.tick() => {
                if let Some(lasts) = silence.news() {
                    watchdog.tell_silence(lasts, waiting.len());
                }
                // At most one probe is unanswered. Without room, requests are waiting and serve the same purpose.
                if !waiting.values().any(Option::is_none)
                    && let Ok(room) = outbound.try_reserve()
                    && let Ok(bytes) = protocol::encode(&RequestFrame { id: last_id + 1, request: probe() })
                {
                    last_id += 1;
                    waiting.insert(last_id, None);
                    silence.asked();
                    room.send(bytes);
                }
            }
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
    use tokio::time::timeout;

    use super::*;

    /// Larger than what the buffers of a socket hold.
    const LARGE_BYTES: usize = 2 * 1024 * 1024;

    #[tokio::test]
    async fn a_large_answer_and_a_large_request_at_once_pass_each_other() {
        let (agent, supervisor) = UnixStream::pair().unwrap();
        let (ask, mut calls) = mpsc::channel(1);
        let exits = Exits::default();
        let standing = watch::Sender::default();
        let watchdog = Watchdog { standing: &standing, log: "" };
        let (answer, answered) = oneshot::channel();
        let key = TaskKey { alloc: "x".repeat(LARGE_BYTES), task: "t".into(), attempt: 1 };
        ask.send(Call { request: Request::Status { key }, answer }).await.unwrap();
        let agent = async { converse(agent, &mut calls, &exits, &watchdog).await };
        // As those of earlier releases do, this supervisor reads nothing while it writes.
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
