//! The node's supervisor: one small process that owns the task processes, their exit codes and their
//! output, so that tasks do not notice when the agent ends or is replaced.
//!
//! It is killed only by SIGKILL or by being idle. When it is killed, tasks go on: their pipes stay open
//! at their own end and fill up until the next supervisor reads on. That one finds each process again
//! by pid, start time and boot, and polls it, since it cannot wait for a process that is not its
//! child; the exit code of such a task is unknown, and its end counts as a failure.

mod children;
pub(crate) mod handle;
pub(crate) mod launch;
pub(crate) mod logs;
pub(crate) mod process;
pub(crate) mod protocol;
pub(crate) mod record;
pub(crate) mod release;
mod serve;
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

/// The whole process of `node-supervisor`: `args` are those after the subcommand. To be called
/// before anything has started a thread or a runtime. `--socket PATH --state DIRECTORY` supervises until
/// idle; `--socket PATH --end` kills every task and ends the supervisor that listens there.
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

/// The socket, and the state directory unless `--end` is asked for.
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
    // What stands before our own arguments selects the subcommand, and does so again for launchers.
    let all: Vec<OsString> = std::env::args_os().skip(1).collect();
    let prefix = all[..all.len().saturating_sub(args.len())].to_vec();
    let (socket, state) = (std::path::absolute(socket)?, std::path::absolute(state)?);
    close_inherited();
    // Fails only where this process already leads a session, which is as good.
    let _ = nix::unistd::setsid();
    std::env::set_current_dir("/")?;
    block_on(serve::run(socket, &state, launch::Launcher { prefix }))
}

/// Whatever else whoever started the agent had open: it would stay open for as long as tasks run, and
/// someone may wait for its end.
fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The directory that was just read is among them and is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

fn block_on(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Asks the supervisor behind the socket to kill all tasks and to end. No supervisor is as good.
async fn end(socket: &Path) -> io::Result<()> {
    let (address, _directory) = protocol::socket_address(socket)?;
    let Ok(stream) = UnixStream::connect(address).await else { return Ok(()) };
    let (mut reader, mut writer) = protocol::frames(stream);
    // Quit is refused while processes die, and the connection ends when the supervisor does.
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

/// One line in the supervisor's log. It has no subscriber of the agent's logging: its standard error
/// is a file. A disk that is full loses the line; `eprintln!` would panic.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{} node-supervisor: {text}", now_ns() / 1_000_000_000);
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}
