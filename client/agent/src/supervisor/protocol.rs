//! The protocol between agent and supervisor: JSON in length-prefixed frames over a unix socket. The agent
//! may be newer or older than the supervisor, so members are only ever added, with defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use futures::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::limits::{SUPERVISOR_FRAME_BYTES_MAX, TASK_NAME_BYTES_MAX};

/// Identifies one attempt to run a task. Starting an attempt is idempotent by this key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct TaskKey {
    pub(crate) alloc: String,
    pub(crate) task: String,
    pub(crate) attempt: u32,
}

impl TaskKey {
    /// Returns the stem of the supervisor's file names for this attempt.
    pub(crate) fn file_stem(&self) -> String {
        format!("{}.{}.{}", self.alloc, self.attempt, self.task)
    }

    /// Returns whether the other key names an attempt of the same task.
    pub(crate) fn same_task(&self, other: &Self) -> bool {
        self.alloc == other.alloc && self.task == other.task
    }

    /// Returns whether the key can be used in file names: no part of it may lead out of a directory.
    pub(crate) fn is_safe(&self) -> bool {
        let plain =
            |part: &str| !part.is_empty() && part.len() <= TASK_NAME_BYTES_MAX && !part.contains(['/', '\0']);
        plain(&self.alloc) && plain(&self.task) && !self.alloc.starts_with('.')
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "task \"{}\" of allocation {} (attempt {})", self.task, self.alloc, self.attempt)
    }
}

/// Where a task's output goes: `<directory>/<prefix>.stdout.N` and `.stderr.N`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogSettings {
    pub(crate) directory: PathBuf,
    pub(crate) prefix: String,
    pub(crate) files_max: u32,
    pub(crate) file_bytes_max: u64,
}

/// Everything needed to run one attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StartTask {
    pub(crate) key: TaskKey,
    pub(crate) program: Program,
    pub(crate) logs: LogSettings,
}

/// The program that the launcher executes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    /// The user to run as; if not set, the supervisor's own user.
    pub(crate) user: Option<String>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    /// None if unknown, because no supervisor ran when the task ended.
    pub(crate) code: Option<i32>,
    /// The signal that ended the task, or zero.
    pub(crate) signal: i32,
    /// Nanoseconds since 1970.
    pub(crate) at_ns: i64,
}

impl Exit {
    /// An exit that no supervisor observed.
    pub(crate) fn unknown(at_ns: i64) -> Self {
        Self { code: None, signal: 0, at_ns }
    }

    /// Returns whether the task is known to have succeeded.
    pub(crate) fn is_success(&self) -> bool {
        self.code == Some(0) && self.signal == 0
    }
}

/// What the supervisor knows about one attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TaskReport {
    pub(crate) key: TaskKey,
    pub(crate) pid: i32,
    pub(crate) started_at_ns: i64,
    pub(crate) exit: Option<Exit>,
}

/// A request from the agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Starts the task, unless this attempt was started before.
    Start(Box<StartTask>),
    /// Signals the task's first process, or its whole process group.
    Signal { key: TaskKey, signal: i32, whole_group: bool },
    /// Asks for the report of one attempt.
    Status { key: TaskKey },
    /// Drops the record of an ended attempt, once the agent has stored its exit.
    Forget { key: TaskKey },
    /// Asks for the reports of all attempts.
    List,
    /// Sends SIGKILL to every task.
    KillAll,
    /// Ends the supervisor, unless tasks are alive.
    Quit,
}

/// The supervisor's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Started(TaskReport),
    /// The program could not be executed; nothing runs.
    StartFailed {
        text: String,
    },
    /// Another attempt of the same task is alive.
    Busy(TaskReport),
    Status(Option<TaskReport>),
    Tasks(Vec<TaskReport>),
    Done,
    Refused {
        text: String,
    },
}

/// A request with the number that its answer will carry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RequestFrame {
    pub(crate) id: u64,
    pub(crate) request: Request,
}

/// A frame from the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SupervisorFrame {
    Answer {
        id: u64,
        answer: Answer,
    },
    /// Sent to every connection when a task ends.
    Exited {
        key: TaskKey,
        exit: Exit,
    },
}

/// The receiving half of a connection.
pub(crate) type FrameReader = FramedRead<OwnedReadHalf, LengthDelimitedCodec>;
/// The sending half of a connection.
pub(crate) type FrameWriter = FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>;

/// Splits a connected socket into its receiving and its sending half.
pub(crate) fn frames(stream: UnixStream) -> (FrameReader, FrameWriter) {
    let codec = LengthDelimitedCodec::builder().max_frame_length(SUPERVISOR_FRAME_BYTES_MAX).new_codec();
    let (reader, writer) = stream.into_split();
    (FramedRead::new(reader, codec.clone()), FramedWrite::new(writer, codec))
}

/// Returns the bytes of a frame, or an error message if it exceeds the size limit.
pub(crate) fn encode(frame: &impl Serialize) -> Result<Bytes, String> {
    let bytes = serde_json::to_vec(frame).map_err(|error| format!("a request cannot be written: {error}"))?;
    if bytes.len() > SUPERVISOR_FRAME_BYTES_MAX {
        return Err(format!(
            "a request of {} bytes is larger than the supervisor takes ({SUPERVISOR_FRAME_BYTES_MAX}): \
             the task's arguments and environment are too large",
            bytes.len()
        ));
    }
    Ok(Bytes::from(bytes))
}

/// Writes one frame.
pub(crate) async fn send(writer: &mut FrameWriter, frame: &impl Serialize) -> io::Result<()> {
    writer.send(encode(frame).map_err(io::Error::other)?).await
}

/// Reads one frame; returns none at the end of the stream. Cancel-safe.
pub(crate) async fn receive<T: DeserializeOwned>(reader: &mut FrameReader) -> io::Result<Option<T>> {
    match reader.next().await {
        Some(bytes) => Ok(Some(serde_json::from_slice(&bytes?)?)),
        None => Ok(None),
    }
}

/// Returns a path to the socket that fits into the 107 bytes of a unix address. A longer path is reached through an
/// open descriptor of its directory, which the caller must keep open until it has connected.
pub(crate) fn socket_address(path: &Path) -> io::Result<(PathBuf, Option<std::fs::File>)> {
    use std::os::fd::AsRawFd;
    const SUN_PATH_BYTES: usize = 107;
    if path.as_os_str().len() <= SUN_PATH_BYTES {
        return Ok((path.to_owned(), None));
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other(format!("{} is no path for a socket", path.display())));
    };
    let directory = std::fs::File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((short, Some(directory)))
}
