//! How urgent the system holds a thread's work for: raft's most, large work that can wait least.

use std::io;

use rustix::process::{Pid, getpid, getpriority_process, setpriority_process};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// What a thread works on. Where the system is short of processors, it gives each urgency several times the share of
/// the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Raft and its log: little at a time, and soon, or a healthy leader is deposed. It is next, and interrupts nothing:
    /// a few milliseconds later there is more of it at one time, which is less work.
    Raft,
    /// All other.
    Usual,
    /// What takes long and can wait.
    Large,
}

/// By how much more urgent raft's threads are than others, as `nice` counts: beside a thread that always runs one has
/// nine tenths of a processor.
const RAFT_NICENESS: i32 = -10;
/// By how much less urgent large work is: beside a thread that always runs it has a tenth of a processor, and all of one
/// that is free.
const LARGE_NICENESS: i32 = 10;

impl Urgency {
    /// The niceness on this process, which was started with one.
    fn niceness(self) -> io::Result<i32> {
        // The first thread keeps what the process was started with.
        let usual = getpriority_process(Some(getpid()))?;
        let by = match self {
            Self::Raft => RAFT_NICENESS,
            Self::Usual => 0,
            Self::Large => LARGE_NICENESS,
        };
        Ok((usual + by).clamp(-20, 19))
    }

    /// Gives this thread's work that urgency, from here on. Not for a process's first thread.
    ///
    /// # Errors
    /// Where the system does not allow it, which leaves all as it was: a process may make its work less urgent, and
    /// more only with `CAP_SYS_NICE` or within `RLIMIT_NICE`.
    pub fn take(self) -> io::Result<()> {
        const THIS_THREAD: Option<Pid> = None;
        let (before, niceness) = (getpriority_process(THIS_THREAD)?, self.niceness()?);
        setpriority_process(THIS_THREAD, niceness)?;
        if self != Self::Raft {
            return Ok(());
        }
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
        let taken = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
        // That sets a niceness as well. One that interrupts all others does more harm than good.
        setpriority_process(THIS_THREAD, if taken.is_ok() { niceness } else { before })?;
        taken.map_err(|error| io::Error::other(error.to_string()))
    }
}

/// Does `work` with no more than the usual urgency, whatever the thread has for its other work.
pub fn at_most_usual<T>(work: impl FnOnce() -> T) -> T {
    let before = getpriority_process(None).ok();
    let lowered = before.zip(Urgency::Usual.niceness().ok()).filter(|(before, usual)| before < usual);
    let Some((before, usual)) = lowered else { return work() };
    let is_lowered = setpriority_process(None, usual).is_ok();
    let done = work();
    if is_lowered && let Err(error) = setpriority_process(None, before) {
        tracing::warn!(%error, "a thread of raft has lost its priority");
    }
    done
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn niceness() -> i32 {
        getpriority_process(None).unwrap()
    }

    #[test]
    fn a_thread_takes_an_urgency_and_leaves_it_for_what_is_not_raft_s() {
        let usual = niceness();
        let raft_s = thread::spawn(move || {
            if let Err(error) = Urgency::Raft.take() {
                println!("skipped: this process may not make a thread more urgent: {error}");
                assert_eq!(usual, niceness());
                return;
            }
            assert_eq!(usual + RAFT_NICENESS, niceness());
            assert_eq!(usual, at_most_usual(niceness));
            assert_eq!(usual + RAFT_NICENESS, niceness());
        });
        raft_s.join().unwrap();
        let large = thread::spawn(move || {
            Urgency::Large.take().unwrap();
            assert_eq!(usual + LARGE_NICENESS, niceness());
            assert_eq!(usual + LARGE_NICENESS, at_most_usual(niceness));
        });
        large.join().unwrap();
        assert_eq!(usual, niceness());
    }
}
