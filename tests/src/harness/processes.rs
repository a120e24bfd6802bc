//! Inspects processes through /proc, and ends those that belong to a test.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::eventually_blocking;

/// Returns the pids of all processes.
fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Returns the processes with exactly this command line, arguments joined by blanks.
pub fn with_command_line(line: &str) -> Vec<i32> {
    let joined = |mut found: Vec<u8>| {
        found.pop();
        found.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        found
    };
    all()
        .into_iter()
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|found| joined(found) == line.as_bytes())
        })
        .collect()
}

/// Returns the processes that belong to a folder: their command line or environment contains its path, or it contains
/// their working directory.
pub fn belonging_to(folder: &Path) -> Vec<i32> {
    let needle = folder.as_os_str().as_bytes();
    let own = std::process::id() as i32;
    let contains = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    all()
        .into_iter()
        .filter(|pid| *pid != own)
        .filter(|pid| {
            ["cmdline", "environ"]
                .iter()
                .any(|file| fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| contains(&bytes)))
                || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
        })
        .collect()
}

/// Returns whether the process was started with this environment entry (`NAME=value`).
pub fn has_environment_entry(pid: i32, entry: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()))
}

/// Returns whether a process is running. A zombie is not.
pub fn is_alive(pid: i32) -> bool {
    // The name in parentheses may contain anything; the state follows the last parenthesis.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with(['Z', 'X'])))
        .unwrap_or(false)
}

/// Returns the resident memory in bytes.
pub fn resident_bytes(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Returns name and niceness of each thread of a process.
pub fn threads(pid: i32) -> Vec<(String, i32)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_thread = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (named, rest) = stat.rsplit_once(") ")?;
        let name = named.split_once(" (")?.1.to_owned();
        // Niceness is field 19; the state, which follows the name, is field 3.
        Some((name, rest.split(' ').nth(16)?.parse().ok()?))
    };
    entries.flatten().filter_map(of_thread).collect()
}

/// Sends a signal. Ignores that the process may have ended.
pub fn signal(pid: i32, signal: Signal) {
    // The only other error is a process of another user, which cannot be one of the test's.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Kills all processes that belong to a folder. Agents and supervisors may start new processes until they are dead, so
/// this repeats until none is left.
pub fn end_all_belonging_to(folder: &Path) {
    let mut left = Vec::new();
    let ended = eventually_blocking(Duration::from_secs(10), || {
        left = belonging_to(folder).into_iter().filter(|pid| is_alive(*pid)).collect::<Vec<i32>>();
        left.iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
        left.is_empty()
    });
    if !ended {
        eprintln!("processes {left:?} of {} would not end", folder.display());
    }
}
