//! What the kernel is asked about the processes of tasks, and what is done to those that stay behind.

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

/// Nomad's code for an end by a signal: this plus the signal's number.
const SIGNAL_EXIT_BASE: i32 = 128;

/// Whether a child waits to be reaped. A real-time signal has no name here, so the look fails; that it
/// does not find the child alive is what counts.
pub(crate) fn has_ended(pid: i32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(Pid::from_raw(pid)), flags), Ok(WaitStatus::StillAlive))
}

/// The end of a child in Nomad's terms.
pub(crate) fn exit_of(status: ExitStatus) -> Exit {
    let signal = status.signal().unwrap_or(0);
    Exit { code: status.code().or(Some(SIGNAL_EXIT_BASE + signal)), signal, at_ns: now_ns() }
}

/// Processes that lost their parent come to the supervisor and are nobody's task; they are reaped, up to
/// one that is.
pub(crate) fn reap_orphans(is_task: impl Fn(i32) -> bool) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let ended = match waitid(Id::All, flags) {
            Ok(status) => status.pid().map(Pid::as_raw).into_iter().collect(),
            // One has ended by a real-time signal, which has no name here; only /proc tells which one.
            Err(Errno::EINVAL) => process::ended_children(),
            Err(_) => return,
        };
        let orphans: Vec<i32> = ended.into_iter().filter(|pid| !is_task(*pid)).collect();
        let mut has_reaped = false;
        for pid in orphans {
            match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
                // Its first thread has ended, and others of it run.
                Ok(WaitStatus::StillAlive) => {}
                // It is reaped; by which signal it ended is of no interest.
                Ok(_) | Err(Errno::EINVAL) => has_reaped = true,
                Err(_) => return,
            }
        }
        if !has_reaped {
            return;
        }
    }
}

/// What a process of another supervisor's left in its group. The group's number cannot have been given
/// away while members live, but they may all have gone: only those that were given the task's
/// environment are killed.
pub(crate) fn kill_leftovers(record: &Record) {
    let mark = format!("NOMAD_ALLOC_ID={}", record.key.alloc);
    for member in process::group_members(record.pid) {
        let started_after = member.start_ticks >= record.start_ticks && member.session == record.pid;
        if started_after && member.pid != record.pid && process::has_environment_entry(member.pid, &mark) {
            let _ = kill(Pid::from_raw(member.pid), Signal::SIGKILL);
        }
    }
}

/// Each task takes four descriptors here, so the supervisor takes all that it may have. Answers what the
/// limit was, which is what tasks get.
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
        // The kernel names the eldest first.
        let orphans = [child("kill -40 $$"), child("exit 3"), child("kill -41 $$"), child("exit 0")];
        let task = child("kill -42 $$");
        let is_zombie = |pid: &i32| process::stat(*pid).is_some_and(|stat| stat.zombie);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !orphans.iter().chain([&task]).all(is_zombie) {
            assert!(Instant::now() < deadline, "they do not end");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        // Other tests of this process have children too.
        while orphans.iter().any(is_zombie) {
            reap_orphans(|pid| !orphans.contains(&pid));
            assert!(Instant::now() < deadline, "they are not reaped");
        }
        assert!(is_zombie(&task), "a task is not reaped as an orphan");
        assert!(waitpid(Pid::from_raw(task), None).is_err_and(|error| error == Errno::EINVAL));
    }
}
