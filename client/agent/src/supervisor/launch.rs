//! Starts task processes so that a kill at any moment neither starts a task twice nor loses it. The
//! supervisor starts its own program as a launcher, records the launcher's pid, and only then sends it the program to
//! execute. If the supervisor dies before that, the launcher reads the end of its input and exits. Just before the
//! launcher executes the program, it creates a mark file. A launcher that died without a mark has not run the program,
//! so the attempt may be started again.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{User, geteuid, initgroups, setgid, setsid, setuid};
use serde::{Deserialize, Serialize};

use super::protocol::Program;
use crate::limits::SUPERVISOR_FRAME_BYTES_MAX;

/// The argument that makes this program a launcher.
pub(crate) const LAUNCH_FLAG: &str = "--launch";

/// How to start this program again: the arguments that precede the supervisor's own.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    pub(crate) prefix: Vec<OsString>,
}

impl Launcher {
    /// Starts a launcher that waits for its order. The order is sent over the returned stream, and the launcher
    /// reports errors on it. If the stream ends without an error, the program was executed.
    pub(crate) fn spawn(&self, stdout: File, stderr: File) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        // This link refers to the running program even after an upgrade has replaced the file.
        let child = Command::new("/proc/self/exe")
            .args(&self.prefix)
            .arg(LAUNCH_FLAG)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        Ok((child, ours))
    }
}

/// The order sent to a launcher.
#[derive(Serialize, Deserialize)]
pub(crate) struct LaunchOrder {
    pub(crate) program: Program,
    /// The launcher creates this file just before it executes the program.
    pub(crate) mark: PathBuf,
    /// The program's soft limit of open files: the supervisor's own limit before the supervisor raised it.
    pub(crate) open_files_max: u64,
}

/// Encodes an order: its length, then the order as JSON.
pub(crate) fn encode(order: &LaunchOrder) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(order)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    Ok([length.to_be_bytes().as_slice(), &json].concat())
}

/// Main function of a launcher: reads the order from standard input and executes the program.
pub(crate) fn launch() -> ExitCode {
    // This duplicate is close-on-exec, so the supervisor sees the stream end when exec succeeds.
    let Ok(stream) = io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let mut stream = UnixStream::from(stream);
    let Ok(order) = read_order(&mut stream) else { return ExitCode::FAILURE };
    let text = execute(&order);
    // If the supervisor is gone, there is no reader.
    let _ = stream.write_all(text.as_bytes());
    ExitCode::from(127)
}

fn read_order(stream: &mut UnixStream) -> io::Result<LaunchOrder> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > SUPERVISOR_FRAME_BYTES_MAX {
        return Err(io::Error::other("the order is too large"));
    }
    let mut json = vec![0; length];
    stream.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// Executes the program; returns only if that fails, with the reason.
fn execute(LaunchOrder { program, mark, open_files_max }: &LaunchOrder) -> String {
    // A session of its own has no terminal and a process group for the whole task.
    if let Err(error) = setsid() {
        return format!("cannot begin a session: {error}");
    }
    let limited = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, (*open_files_max).min(hard), hard));
    if let Err(error) = limited {
        return format!("cannot set the limit of open files: {error}");
    }
    // Create the mark now: after the change of user this process may lack the permission.
    if let Err(error) = File::create(mark) {
        return format!("cannot write {}: {error}", mark.display());
    }
    if let Some(user) = &program.user
        && let Err(text) = become_user(user)
    {
        return text;
    }
    if let Err(error) = std::env::set_current_dir(&program.directory) {
        return format!("cannot enter the task directory {}: {error}", program.directory.display());
    }
    let command = resolve(&program.directory, &program.command);
    let error =
        Command::new(&command).args(&program.args).env_clear().envs(&program.env).stdin(Stdio::null()).exec();
    format!("failed to execute {}: {error}", command.display())
}

/// Resolves a relative command in the task's `local` directory, then in the task directory, then in PATH.
fn resolve(directory: &Path, command: &str) -> PathBuf {
    let candidates = [directory.join("local").join(command), directory.join(command)];
    candidates.into_iter().find(|candidate| candidate.is_file()).unwrap_or_else(|| PathBuf::from(command))
}

fn become_user(name: &str) -> Result<(), String> {
    let user = match User::from_name(name) {
        Ok(Some(user)) => user,
        Ok(None) => return Err(format!("there is no user \"{name}\" on this node")),
        Err(error) => return Err(format!("cannot look up the user \"{name}\": {error}")),
    };
    if user.uid == geteuid() {
        return Ok(());
    }
    let refused = |error: nix::Error| format!("cannot run as user \"{name}\": {error}");
    let name = CString::new(name).map_err(|_| format!("\"{name}\" is no user name"))?;
    initgroups(&name, user.gid).map_err(refused)?;
    setgid(user.gid).map_err(refused)?;
    setuid(user.uid).map_err(refused)
}
