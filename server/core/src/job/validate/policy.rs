//! Validation of restart, reschedule, update and migrate policies.

use ordu_proto::api::job::{MigrateStrategy, ReschedulePolicy, RestartPolicy, UpdateStrategy};

use crate::job::faults::{Faults, Span};

const RESTART_INTERVAL_NS_MIN: i64 = 5_000_000_000;
const RESCHEDULE_INTERVAL_NS_MIN: i64 = 15_000_000_000;
const RESCHEDULE_DELAY_NS_MIN: i64 = 5_000_000_000;
const DELAY_FUNCTIONS: [&str; 3] = ["constant", "exponential", "fibonacci"];

pub(super) fn check_restart(policy: &RestartPolicy) -> Faults {
    let mut faults = Faults::new();
    let (mode, attempts) = (policy.mode(), policy.attempts());
    if !matches!(mode, "delay" | "fail") {
        faults.add(format!("Unsupported restart mode: {mode:?}"));
    }
    if attempts == 0 && mode != "fail" {
        faults.add(format!("Restart policy {mode:?} with {attempts} attempts is ambiguous"));
    }
    let (interval, delay) = (Span(policy.interval_ns()), Span(policy.delay_ns()));
    if interval.0 < RESTART_INTERVAL_NS_MIN {
        let least = Span(RESTART_INTERVAL_NS_MIN);
        faults.add(format!("Interval can not be less than {least} (got {interval})"));
    }
    if i128::from(attempts) * i128::from(delay.0) > i128::from(interval.0) {
        faults.add(format!(
            "Nomad can't restart the TaskGroup {attempts} times in an interval of {interval} with a delay of {delay}"
        ));
    }
    faults
}

pub(super) fn check_reschedule(policy: &ReschedulePolicy) -> Faults {
    let mut faults = Faults::new();
    let (attempts, unlimited) = (policy.attempts(), policy.unlimited());
    if attempts <= 0 && !unlimited {
        return faults;
    }
    let interval = Span(policy.interval_ns());
    if attempts > 0 && interval.0 <= 0 {
        faults.add("Interval must be a non zero value if Attempts > 0");
    }
    if attempts > 0 && unlimited {
        faults.add(format!(
            "Reschedule Policy with Attempts = {attempts}, Interval = {interval}, and Unlimited = true is ambiguous"
        ));
        faults.add("If Attempts >0, Unlimited cannot also be set to true");
    }
    let delays = check_delays(policy);
    let delays_are_sound = delays.is_empty();
    faults.add_all(delays);
    if unlimited {
        return faults;
    }
    if interval.0 < RESCHEDULE_INTERVAL_NS_MIN {
        let least = Span(RESCHEDULE_INTERVAL_NS_MIN);
        faults.add(format!("Interval cannot be less than {least} (got {interval})"));
    }
    if delays_are_sound {
        faults.add_all(check_attempts_fit(policy));
    }
    faults
}

/// Checks the delays between a failure and the next attempt.
fn check_delays(policy: &ReschedulePolicy) -> Faults {
    let mut faults = Faults::new();
    let (delay, max_delay, function) =
        (Span(policy.delay_ns()), Span(policy.max_delay_ns()), policy.delay_function());
    let least = Span(RESCHEDULE_DELAY_NS_MIN);
    if delay.0 < least.0 {
        faults.add(format!("Delay cannot be less than {least} (got {delay})"));
    }
    if !DELAY_FUNCTIONS.contains(&function) {
        let [a, b, c] = DELAY_FUNCTIONS;
        faults.add(format!("Invalid delay function {function:?}, must be one of [{a:?} {b:?} {c:?}]"));
    }
    if function != "constant" {
        if max_delay.0 < least.0 {
            // Nomad's text has the delay here rather than the maximum delay; clients match it.
            faults.add(format!("Max Delay cannot be less than {least} (got {delay})"));
        }
        if max_delay.0 < delay.0 {
            faults.add(format!("Max Delay cannot be less than Delay {delay} (got {max_delay})"));
        }
    }
    faults
}

/// Checks that the attempts of a limited policy fit into its interval.
fn check_attempts_fit(policy: &ReschedulePolicy) -> Faults {
    let mut faults = Faults::new();
    let (fitting, needed_ns) = attempts_that_fit(policy);
    if fitting >= policy.attempts() {
        return faults;
    }
    let (interval, delay, function) =
        (Span(policy.interval_ns()), Span(policy.delay_ns()), policy.delay_function());
    let ceiling = match function {
        "constant" => format!(" and delay function {function:?}"),
        _ => format!(", delay function {function:?}, and delay ceiling {}", Span(policy.max_delay_ns())),
    };
    faults.add(format!(
        "Nomad can only make {fitting} attempts in {interval} with initial delay {delay}{ceiling}"
    ));
    let whole_seconds_ns = needed_ns.div_ceil(1_000_000_000).saturating_mul(1_000_000_000);
    let needed = Span(i64::try_from(whole_seconds_ns).unwrap_or(i64::MAX));
    faults
        .add(format!("Set the interval to at least {needed} to accommodate {} attempts", policy.attempts()));
    faults
}

/// Returns how many attempts fit into the interval, and the interval in nanoseconds that all of them need.
///
/// As long as the delay grows, an attempt's time is its own delay, measured from the first failure. Once the delay
/// exceeds the ceiling, each attempt follows one ceiling after the previous one; with `fibonacci` the first of these is
/// at the ceiling itself. With `constant`, each attempt follows one delay after the previous one.
fn attempts_that_fit(policy: &ReschedulePolicy) -> (i64, u128) {
    let positive = |ns: i64| u128::try_from(ns).unwrap_or(0);
    let (attempts, interval) = (policy.attempts(), positive(policy.interval_ns()));
    let first = positive(policy.delay_ns()).max(1);
    let (ceiling, grows, is_doubled) = match policy.delay_function() {
        "constant" => (first, false, false),
        function => (positive(policy.max_delay_ns()).max(first), true, function == "exponential"),
    };

    let (mut counted, mut fitting, mut at, mut before) = (0_i64, 0_i64, 0_u128, 0_u128);
    let mut next = first;
    // Terminates quickly: the delay grows at least as fast as the Fibonacci numbers.
    while grows && counted < attempts && next <= ceiling {
        (counted, at) = (counted + 1, next);
        fitting += i64::from(at <= interval);
        next = match (is_doubled, before) {
            (true, _) => at * 2,
            (false, 0) => at,
            (false, before) => at + before,
        };
        before = at;
    }
    let rest = u128::try_from(attempts - counted).unwrap_or(0);
    let base = if is_doubled || rest == 0 { at } else { 0 };
    let needed = base.saturating_add(rest.saturating_mul(ceiling));
    if fitting == counted {
        let fitting_rest = (interval.saturating_sub(base) / ceiling).min(rest);
        fitting = fitting.saturating_add(i64::try_from(fitting_rest).unwrap_or(i64::MAX));
    }
    (fitting, needed)
}

pub(super) fn check_update(update: &UpdateStrategy) -> Faults {
    let mut faults = Faults::new();
    if !matches!(update.health_check(), "checks" | "task_states" | "manual") {
        faults.add(format!("Invalid health check given: {:?}", update.health_check()));
    }
    if update.max_parallel() < 0 {
        faults.add(format!("Max parallel can not be less than zero: {} < 0", update.max_parallel()));
    }
    if update.canary() < 0 {
        faults.add(format!("Canary count can not be less than zero: {} < 0", update.canary()));
    }
    if update.canary() == 0 && update.auto_promote() {
        faults.add("Auto Promote requires a Canary count greater than zero");
    }
    let (healthy, deadline, progress) = (
        Span(update.min_healthy_time_ns()),
        Span(update.healthy_deadline_ns()),
        Span(update.progress_deadline_ns()),
    );
    if healthy.0 < 0 {
        faults.add(format!("Minimum healthy time may not be less than zero: {healthy}"));
    }
    if deadline.0 <= 0 {
        faults.add(format!("Healthy deadline must be greater than zero: {deadline}"));
    }
    if progress.0 < 0 {
        faults.add(format!("Progress deadline must be zero or greater: {progress}"));
    }
    if healthy.0 >= deadline.0 {
        faults
            .add(format!("Minimum healthy time must be less than healthy deadline: {healthy} > {deadline}"));
    }
    if progress.0 != 0 && deadline.0 >= progress.0 {
        faults.add(format!("Healthy deadline must be less than progress deadline: {deadline} > {progress}"));
    }
    if update.stagger_ns() <= 0 {
        faults.add(format!("Stagger must be greater than zero: {}", Span(update.stagger_ns())));
    }
    faults
}

pub(super) fn check_migrate(migrate: &MigrateStrategy) -> Faults {
    let mut faults = Faults::new();
    if migrate.max_parallel() < 0 {
        faults.add(format!("MaxParallel must be >= 0 but found {}", migrate.max_parallel()));
    }
    match migrate.health_check() {
        "checks" | "task_states" => {}
        "" if migrate.max_parallel() > 0 => faults.add("Missing HealthCheck"),
        "" => {}
        other => faults.add(format!("Invalid HealthCheck: {other:?}")),
    }
    let (healthy, deadline) = (Span(migrate.min_healthy_time_ns()), Span(migrate.healthy_deadline_ns()));
    if healthy.0 < 0 {
        faults.add(format!("MinHealthyTime is {healthy} and must be >= 0"));
    }
    if deadline.0 < 0 {
        faults.add(format!("HealthyDeadline is {deadline} and must be >= 0"));
    }
    if healthy.0 > deadline.0 {
        faults.add("MinHealthyTime must be less than HealthyDeadline");
    }
    faults
}

#[cfg(test)]
mod tests {
    use ordu_proto::api::job::ReschedulePolicy;

    use super::{attempts_that_fit, check_reschedule};

    const SECOND: i64 = 1_000_000_000;

    fn policy(
        function: &str,
        attempts: i64,
        delay_s: i64,
        ceiling_s: i64,
        interval_s: i64,
    ) -> ReschedulePolicy {
        ReschedulePolicy {
            attempts: Some(attempts),
            interval: Some(interval_s.saturating_mul(SECOND)),
            delay: Some(delay_s * SECOND),
            delay_function: Some(function.to_owned()),
            max_delay: Some(ceiling_s * SECOND),
            unlimited: Some(false),
        }
    }

    #[test]
    fn attempts_are_counted_against_the_interval() {
        for (function, attempts, delay_s, ceiling_s, interval_s, fitting, needed_s) in [
            ("constant", 3, 5, 0, 15, 3, 15),
            ("constant", 4, 5, 0, 15, 3, 20),
            // Attempts at 10, 20, 40, then every further 60.
            ("exponential", 5, 10, 60, 160, 5, 160),
            ("exponential", 5, 10, 60, 150, 4, 160),
            ("exponential", 5, 10, 60, 30, 2, 160),
            // In minutes, attempts at 5, 10, 20, 40 (the ceiling), then every further 40.
            ("exponential", 10, 300, 2_400, 1_800, 3, 16_800),
            // Attempts at 10, 10, 20, 30, 50, 60, then every further 60.
            ("fibonacci", 7, 10, 60, 120, 7, 120),
            ("fibonacci", 7, 10, 60, 119, 6, 120),
            ("fibonacci", 3, 10, 60, 19, 2, 20),
            ("fibonacci", 10, 1_200, 4_800, 3_600, 4, 28_800),
        ] {
            let policy = policy(function, attempts, delay_s, ceiling_s, interval_s);
            let found = attempts_that_fit(&policy);
            assert_eq!(found, (fitting, needed_s as u128 * SECOND as u128), "{policy:?}");
        }
    }

    #[test]
    fn a_policy_whose_attempts_do_not_fit_is_told_the_interval_it_needs() {
        let faults = check_reschedule(&policy("constant", 10, 30, 0, 60)).to_string();
        assert!(faults.contains(
            "Nomad can only make 2 attempts in 1m0s with initial delay 30s and delay function \"constant\""
        ));
        assert!(faults.contains("Set the interval to at least 5m0s to accommodate 10 attempts"));
    }

    #[test]
    fn attempts_and_no_bound_on_them_are_a_contradiction() {
        let both =
            ReschedulePolicy { unlimited: Some(true), interval: Some(0), ..policy("constant", 3, 30, 0, 0) };
        assert_eq!(
            check_reschedule(&both).texts(),
            [
                "Interval must be a non zero value if Attempts > 0",
                "Reschedule Policy with Attempts = 3, Interval = 0s, and Unlimited = true is ambiguous",
                "If Attempts >0, Unlimited cannot also be set to true",
            ]
        );
    }

    #[test]
    fn absurd_attempts_are_answered_without_counting_them_one_by_one() {
        let policy = policy("fibonacci", i64::MAX, 5, i64::MAX / SECOND, i64::MAX / SECOND);
        assert!(!check_reschedule(&policy).is_empty());
    }
}
