//! Scheduling priority of threads: higher for Raft, lower for long work that can wait.

use std::io;

use rustix::process::{Pid, getpid, getpriority_process, setpriority_process};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// The kind of work a thread does. If processors are short, each urgency gets several times the processor share
/// of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Raft and its log: small pieces of work that must run soon, or a healthy leader is deposed. Such a thread
    /// runs next but does not preempt others: a few milliseconds later it handles more work in one batch.
    Raft,
    /// All other work.
    Usual,
    /// Work that takes long and can wait.
    Large,
}

/// Relative niceness of Raft's threads: next to a thread that always runs, one gets nine tenths of a processor.
const RAFT_NICENESS: i32 = -10;
/// Relative niceness of large work: next to a thread that always runs, it gets a tenth of a processor, and all
/// of an idle one.
const LARGE_NICENESS: i32 = 10;

impl Urgency {
    /// Returns the niceness for this urgency, relative to the niceness with which the process was started.
    fn niceness(self) -> io::Result<i32> {
        // The first thread keeps the niceness with which the process was started.
        let usual = getpriority_process(Some(getpid()))?;
        let by = match self {
            Self::Raft => RAFT_NICENESS,
            Self::Usual => 0,
            Self::Large => LARGE_NICENESS,
        };
        Ok((usual + by).clamp(-20, 19))
    }

    /// Sets this thread's priority to this urgency. Must not be called on the process's first thread, whose
    /// niceness is the base.
    ///
    /// # Errors
    /// If the system denies the change; then the priority stays as it was. A process may always lower its priority,
    /// but raise it only with `CAP_SYS_NICE` or within `RLIMIT_NICE`.
    pub fn take(self) -> io::Result<()> {
        const THIS_THREAD: Option<Pid> = None;
        let (before, niceness) = (getpriority_process(THIS_THREAD)?, self.niceness()?);
        setpriority_process(THIS_THREAD, niceness)?;
        if self != Self::Raft {
            return Ok(());
        }
        let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
        let taken = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
        // That call also changes the niceness. Without the batch policy, restore the previous one: a thread at raft's
        // niceness that preempts all others does more harm than good.
        setpriority_process(THIS_THREAD, if taken.is_ok() { niceness } else { before })?;
        taken.map_err(|error| io::Error::other(error.to_string()))
    }
}

/// Runs `work` at no more than usual urgency, and then restores the thread's priority.
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
