//! Looking at processes through /proc, and ending those that belong to one test.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::eventually_blocking;

/// Ids of all processes.
fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Processes whose whole command line, arguments joined by blanks, is `line`.
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

/// Processes that belong to a folder: it stands in their command line or environment, or they stand in it.
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

/// Whether a process was given this very environment entry (`NAME=value`).
pub fn has_environment_entry(pid: i32, entry: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|found| found == entry.as_bytes()))
}

/// Whether a process is there and has not ended (one that has ended but was not waited for has).
pub fn is_alive(pid: i32) -> bool {
    // The name in parentheses may hold anything; the state follows the last one.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with(['Z', 'X'])))
        .unwrap_or(false)
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The threads of a process: each one's name, and its niceness as `nice` counts.
pub fn threads(pid: i32) -> Vec<(String, i32)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_thread = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (named, rest) = stat.rsplit_once(") ")?;
        let name = named.split_once(" (")?.1.to_owned();
        // The 19th of all, where the state behind the name is the third.
        Some((name, rest.split(' ').nth(16)?.parse().ok()?))
    };
    entries.flatten().filter_map(of_thread).collect()
}

/// Sends a signal; a process that is gone is no error.
pub fn signal(pid: i32, signal: Signal) {
    // The only other failure is a process of another user, which cannot be ours.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Ends everything that belongs to a folder. Those that end others (an agent, a supervisor) may start new
/// ones until they are gone themselves, so it looks again until nothing is left.
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
