//! Decides whether and when a task that ended is restarted, from its restart policy, the number of restarts in the
//! current interval, and its exit.

use super::events::{WITHIN_POLICY, go_duration};
use crate::limits::RESTART_JITTER;
use crate::spec::RestartPolicy;

/// The number of restarts in the current interval. Survives restarts of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RestartCount {
    pub(crate) count: u32,
    /// Start of the interval, in nanoseconds since 1970.
    pub(crate) interval_began_ns: i64,
}

/// The decision about a task that ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The task has succeeded.
    Complete,
    /// The task is restarted after the delay.
    Restart { delay_ns: i64, reason: &'static str },
    /// The task has failed for good.
    Fail { reason: String },
}

/// Decides about a task that ended by itself. `runs_for_ever` is true for services, for which no exit is a success.
/// `jitter` is in 0..1.
pub(crate) fn after_exit(
    policy: &RestartPolicy,
    count: &mut RestartCount,
    success: bool,
    runs_for_ever: bool,
    now_ns: i64,
    jitter: f64,
) -> Decision {
    if success && !runs_for_ever {
        return Decision::Complete;
    }
    if policy.attempts == 0 {
        return Decision::Fail { reason: "Policy allows no restarts".into() };
    }
    let interval_end_ns = count.interval_began_ns.saturating_add(policy.interval);
    if now_ns > interval_end_ns || count.interval_began_ns == 0 {
        *count = RestartCount { count: 0, interval_began_ns: now_ns };
    }
    count.count += 1;
    if count.count <= policy.attempts {
        let extra_ns = (policy.delay as f64 * RESTART_JITTER * jitter) as i64;
        return Decision::Restart { delay_ns: policy.delay.saturating_add(extra_ns), reason: WITHIN_POLICY };
    }
    if policy.mode == "delay" {
        let delay_ns = interval_end_ns.saturating_sub(now_ns).max(policy.delay);
        return Decision::Restart { delay_ns, reason: "Exceeded allowed attempts, applying a delay" };
    }
    let interval = go_duration(policy.interval);
    let reason = format!(
        "Exceeded allowed attempts {} in interval {interval} and mode is {:?}",
        policy.attempts, policy.mode
    );
    Decision::Fail { reason }
}

/// Decides about a task that could not be started: another attempt would fail in the same way.
pub(crate) fn after_failed_start() -> Decision {
    Decision::Fail { reason: "Error was unrecoverable".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn policy(attempts: u32, mode: &str) -> RestartPolicy {
        RestartPolicy { attempts, interval: 60 * SECOND, delay: 4 * SECOND, mode: mode.into() }
    }

    fn restart(delay_ns: i64) -> Decision {
        Decision::Restart { delay_ns, reason: WITHIN_POLICY }
    }

    #[test]
    fn success_completes_a_batch_task_and_restarts_a_service() {
        let mut count = RestartCount::default();
        assert_eq!(after_exit(&policy(2, "fail"), &mut count, true, false, SECOND, 0.0), Decision::Complete);
        assert_eq!(after_exit(&policy(2, "fail"), &mut count, true, true, SECOND, 0.0), restart(4 * SECOND));
        assert_eq!(count.count, 1);
    }

    #[test]
    fn no_attempts_allow_no_restart_but_do_not_fail_success() {
        let mut count = RestartCount::default();
        assert_eq!(after_exit(&policy(0, "fail"), &mut count, true, false, SECOND, 0.0), Decision::Complete);
        let refused = Decision::Fail { reason: "Policy allows no restarts".into() };
        assert_eq!(after_exit(&policy(0, "fail"), &mut count, false, false, SECOND, 0.0), refused);
        assert_eq!(after_exit(&policy(0, "delay"), &mut count, true, true, SECOND, 0.0), refused);
    }

    #[test]
    fn attempts_are_counted_within_an_interval() {
        let (policy, mut count) = (policy(2, "fail"), RestartCount::default());
        for now in [1, 2] {
            let decision = after_exit(&policy, &mut count, false, false, now * SECOND, 0.0);
            assert_eq!(decision, restart(4 * SECOND));
        }
        let third = after_exit(&policy, &mut count, false, false, 3 * SECOND, 0.0);
        let reason = "Exceeded allowed attempts 2 in interval 1m0s and mode is \"fail\"".to_owned();
        assert_eq!(third, Decision::Fail { reason });
        let later = after_exit(&policy, &mut count, false, false, 62 * SECOND, 0.0);
        assert_eq!(later, restart(4 * SECOND));
        assert_eq!(count, RestartCount { count: 1, interval_began_ns: 62 * SECOND });
    }

    #[test]
    fn the_delay_mode_waits_for_the_next_interval() {
        let (policy, mut count) = (policy(1, "delay"), RestartCount::default());
        after_exit(&policy, &mut count, false, false, 10 * SECOND, 0.0);
        let decision = after_exit(&policy, &mut count, false, false, 20 * SECOND, 0.0);
        let Decision::Restart { delay_ns, .. } = decision else { panic!("{decision:?}") };
        assert_eq!(delay_ns, 50 * SECOND);
    }

    #[test]
    fn jitter_only_adds_and_stays_within_its_bound() {
        let mut count = RestartCount::default();
        let decision = after_exit(&policy(1, "fail"), &mut count, false, false, SECOND, 1.0);
        assert_eq!(decision, restart(5 * SECOND));
    }
}
