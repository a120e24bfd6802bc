//! The node's supervisor: one small process that owns the task processes, their exit codes and their
//! output, so that tasks keep running undisturbed when the agent ends or is replaced.
//!
//! The supervisor ends only by SIGKILL, on request, or when idle. After SIGKILL its tasks keep running: each
//! task holds its output pipes open itself, and the pipes fill until the next supervisor reads them. The next
//! supervisor recognises each process by pid, start time and boot id. It polls these processes because it can
//! wait only for its own children; their exit codes stay unknown and count as failures.

mod children;
mod connected;
pub(crate) mod connection;
mod exits;
pub(crate) mod handle;
mod home;
pub(crate) mod launch;
pub(crate) mod logs;
pub(crate) mod process;
pub(crate) mod protocol;
pub(crate) mod record;
pub(crate) mod release;
mod serve;
mod silence;
pub(crate) mod standing;
mod tasks;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::UnixStream;

use protocol::{Answer, Request, RequestFrame, SupervisorFrame};

const USAGE: &str = "usage: node-supervisor --socket PATH --state DIRECTORY
       node-supervisor --socket PATH --end     (kill all tasks and end the supervisor)";

/// Main function of the `node-supervisor` process. `args` are the arguments after the subcommand. Must be called
/// before any thread or runtime is started. `--socket PATH --state DIRECTORY` supervises until idle;
/// `--socket PATH --end` kills all tasks and ends the supervisor that listens on that socket.
pub fn supervisor_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.first().is_some_and(|arg| arg == launch::LAUNCH_FLAG) {
        return launch::launch();
    }
    let result = match parse(&args) {
        Some((socket, Some(state))) => supervise(&args, &socket, &state),
        Some((socket, None)) => block_on(end(&socket)),
        None => Err(io::Error::other(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Returns the socket and the state directory; no state directory if `--end` is given.
fn parse(args: &[OsString]) -> Option<(PathBuf, Option<PathBuf>)> {
    let (mut socket, mut state, mut ends) = (None, None, false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.to_str()? {
            "--socket" => socket = Some(PathBuf::from(args.next()?)),
            "--state" => state = Some(PathBuf::from(args.next()?)),
            "--end" => ends = true,
            _ => return None,
        }
    }
    (ends != state.is_some()).then_some((socket?, state))
}

fn supervise(args: &[OsString], socket: &Path, state: &Path) -> io::Result<()> {
    // The arguments before our own select the subcommand; launchers need them for the same purpose.
    let all: Vec<OsString> = std::env::args_os().skip(1).collect();
    let prefix = all[..all.len().saturating_sub(args.len())].to_vec();
    let (socket, state) = (std::path::absolute(socket)?, std::path::absolute(state)?);
    close_inherited();
    // Fails only if this process already leads a session, which is just as good.
    let _ = nix::unistd::setsid();
    std::env::set_current_dir("/")?;
    block_on(serve::run(socket, &state, launch::Launcher { prefix }))
}

/// Closes descriptors inherited from the agent's starter. They would stay open as long as tasks run, while another
/// process may wait for them to be closed.
fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The list includes the descriptor of the directory listing, which is closed by now.
        let _ = nix::unistd::close(descriptor);
    }
}

fn block_on(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Asks the supervisor behind the socket to kill all tasks and to end. Succeeds if no supervisor listens.
async fn end(socket: &Path) -> io::Result<()> {
    let (address, _directory) = protocol::socket_address(socket)?;
    let Ok(stream) = UnixStream::connect(address).await else { return Ok(()) };
    let (mut reader, mut writer) = protocol::frames(stream);
    // The supervisor refuses Quit while tasks are still dying. It closes the connection when it ends.
    for id in 0..100 {
        let request = if id == 0 { Request::KillAll } else { Request::Quit };
        if protocol::send(&mut writer, &RequestFrame { id, request }).await.is_err() {
            return Ok(());
        }
        loop {
            let Ok(Some(frame)) = protocol::receive(&mut reader).await else { return Ok(()) };
            match frame {
                SupervisorFrame::Answer { answer: Answer::Refused { .. }, .. } => break,
                SupervisorFrame::Answer { id: 0, .. } => break,
                SupervisorFrame::Answer { .. } => return Ok(()),
                SupervisorFrame::Exited { .. } => {}
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(io::Error::other("tasks of the supervisor do not die"))
}

/// Writes one line to the supervisor's log, which is its standard error, redirected to a file. Drops the line
/// if the disk is full, where `eprintln!` would panic.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{} node-supervisor: {text}", now_ns() / 1_000_000_000);
}

/// Returns the current time in nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}
