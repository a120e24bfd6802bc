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

/// Converts a child's exit status to Nomad's terms.
pub(crate) fn exit_of(status: ExitStatus) -> Exit {
    let signal = status.signal().unwrap_or(0);
    Exit { code: status.code().or(Some(SIGNAL_EXIT_BASE + signal)), signal, at_ns: now_ns() }
}

/// Calls `reap_one` with ended children that are not reaped yet, until none is left or none can be reaped. `reap_one`
/// returns whether it has reaped the child.
pub(crate) fn reap(mut reap_one: impl FnMut(i32) -> bool) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        let has_reaped = match waitid(Id::All, flags) {
            // One that cannot be reaped hides the others.
            Ok(status) => match status.pid().map(Pid::as_raw) {
                Some(pid) => reap_one(pid) || reap_any(process::ended_children(), &mut reap_one),
                None => false,
            },
            // A child ended by a real-time signal, which `nix` cannot represent. Find its pid in /proc.
            Err(Errno::EINVAL) => reap_any(process::ended_children(), &mut reap_one),
            Err(_) => false,
        };
        if !has_reaped {
            return;
        }
    }
}

/// Reaps the first that can be reaped; returns whether there is one.
fn reap_any(pids: Vec<i32>, mut reap_one: impl FnMut(i32) -> bool) -> bool {
    pids.into_iter().any(&mut reap_one)
}

/// Reaps an ended process that was re-parented to the supervisor and is not a task. Returns false if other threads of
/// the process still run, or it is reaped already.
pub(crate) fn reap_orphan(pid: i32) -> bool {
    let reaped = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    // EINVAL means that it is reaped and ended by a real-time signal.
    match reaped {
        Ok(status) => status != WaitStatus::StillAlive,
        Err(error) => error == Errno::EINVAL,
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
            reap(|pid| orphans.contains(&pid) && reap_orphan(pid));
            assert!(Instant::now() < deadline, "they are not reaped");
        }
        assert!(is_zombie(&task), "a task is not reaped as an orphan");
        assert!(waitpid(Pid::from_raw(task), None).is_err_and(|error| error == Errno::EINVAL));
    }
}
