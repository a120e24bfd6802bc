//! Checks and reaps child processes, and kills processes that tasks leave behind.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::now_ns;
use super::process;
use super::protocol::Exit;
use super::record::Record;

/// Nomad's exit code for a task killed by a signal is this plus the signal's number.
const SIGNAL_EXIT_BASE: i32 = 128;

/// Returns whether a child has ended and is not reaped yet. `waitid` fails for a child that ended by a real-time
/// signal, which `nix` cannot represent; any result other than `StillAlive` therefore counts as ended.
pub(crate) fn has_ended(pid: i32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(Pid::from_raw(pid)), flags), Ok(WaitStatus::StillAlive))
}

/// Converts a child's exit status to Nomad's terms.
pub(crate) fn exit_of(status: ExitStatus) -> Exit {
    let signal = status.signal().unwrap_or(0);
    Exit { code: status.code().or(Some(SIGNAL_EXIT_BASE + signal)), signal, at_ns: now_ns() }
}

/// Reaps ended processes that were re-parented to the supervisor and are not tasks. Stops when only tasks are left
/// to reap.
pub(crate) fn reap_orphans(is_task: impl Fn(i32) -> bool) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let ended = match waitid(Id::All, flags) {
            Ok(status) => status.pid().map(Pid::as_raw).into_iter().collect(),
            // A child ended by a real-time signal, which `nix` cannot represent. Find its pid in /proc.
            Err(Errno::EINVAL) => process::ended_children(),
            Err(_) => return,
        };
        let orphans: Vec<i32> = ended.into_iter().filter(|pid| !is_task(*pid)).collect();
        let mut has_reaped = false;
        for pid in orphans {
            match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
                // The main thread has ended, but other threads of the process still run.
                Ok(WaitStatus::StillAlive) => {}
                // The process is reaped. EINVAL means that it ended by a real-time signal.
                Ok(_) | Err(Errno::EINVAL) => has_reaped = true,
                Err(_) => return,
            }
        }
        if !has_reaped {
            return;
        }
    }
}

/// Kills the remaining processes in the group of a task that an earlier supervisor started. The kernel does not
/// reuse the group's id while it has members, but the group may have emptied and the id been reused. So only
/// processes with the allocation's id in their environment are killed.
pub(crate) fn kill_leftovers(record: &Record) {
    let mark = format!("NOMAD_ALLOC_ID={}", record.key.alloc);
    for member in process::group_members(record.pid) {
        let started_after = member.start_ticks >= record.start_ticks && member.session == record.pid;
        if started_after && member.pid != record.pid && process::has_environment_entry(member.pid, &mark) {
            let _ = kill(Pid::from_raw(member.pid), Signal::SIGKILL);
        }
    }
}

/// Raises the limit of open files to its maximum, because each task takes four descriptors. Returns the
/// former limit, which launchers restore for tasks.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(soft)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    #[allow(clippy::zombie_processes, reason = "they are to become zombies")]
    fn an_orphan_that_died_of_a_nameless_signal_does_not_keep_the_others_from_being_reaped() {
        let child = |script: &str| {
            let child = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
            i32::try_from(child.id()).unwrap()
        };
        // `waitid` reports the oldest child first.
        let orphans = [child("kill -40 $$"), child("exit 3"), child("kill -41 $$"), child("exit 0")];
        let task = child("kill -42 $$");
        let is_zombie = |pid: &i32| process::stat(*pid).is_some_and(|stat| stat.zombie);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !orphans.iter().chain([&task]).all(is_zombie) {
            assert!(Instant::now() < deadline, "they do not end");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        // Other tests in this process have children too, so wait for these in particular.
        while orphans.iter().any(is_zombie) {
            reap_orphans(|pid| !orphans.contains(&pid));
            assert!(Instant::now() < deadline, "they are not reaped");
        }
        assert!(is_zombie(&task), "a task is not reaped as an orphan");
        assert!(waitpid(Pid::from_raw(task), None).is_err_and(|error| error == Errno::EINVAL));
    }
}
