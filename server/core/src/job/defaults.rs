//! Default values of a job.

use ordu_proto::api::job::{MigrateStrategy, ReschedulePolicy, RestartPolicy, UpdateStrategy};

use super::JobKind;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Grace period after a start in which failing checks do not count, nanoseconds.
pub(crate) const CHECK_RESTART_GRACE_NS: i64 = SECOND;
/// Longest random delay before a template's change takes effect, nanoseconds.
pub(crate) const TEMPLATE_SPLAY_NS: i64 = 5 * SECOND;

/// Copies each listed member that is absent in `$own` from `$from`.
macro_rules! fill {
    ($own:expr, $from:expr; $($member:ident),+) => {
        $(if $own.$member.is_none() {
            $own.$member.clone_from(&$from.$member);
        })+
    };
}

pub(crate) fn fill_restart(own: &mut RestartPolicy, from: &RestartPolicy) {
    fill!(own, from; attempts, interval, delay, mode);
}

pub(crate) fn fill_reschedule(own: &mut ReschedulePolicy, from: &ReschedulePolicy) {
    fill!(own, from; attempts, interval, delay, delay_function, max_delay, unlimited);
}

pub(crate) fn fill_update(own: &mut UpdateStrategy, from: &UpdateStrategy) {
    fill!(own, from; stagger, max_parallel, health_check, min_healthy_time, healthy_deadline,
        progress_deadline, auto_revert, auto_promote, canary);
}

pub(crate) fn fill_migrate(own: &mut MigrateStrategy, from: &MigrateStrategy) {
    fill!(own, from; max_parallel, health_check, min_healthy_time, healthy_deadline);
}

pub(crate) fn restart(kind: Option<JobKind>) -> RestartPolicy {
    let (attempts, interval_ns) = match kind {
        Some(JobKind::Service | JobKind::System) => (2, 30 * MINUTE),
        Some(JobKind::Batch) | None => (3, 24 * HOUR),
    };
    RestartPolicy {
        attempts: Some(attempts),
        interval: Some(interval_ns),
        delay: Some(15 * SECOND),
        mode: Some("fail".to_owned()),
    }
}

pub(crate) fn reschedule(kind: Option<JobKind>) -> ReschedulePolicy {
    let policy =
        |attempts, interval_ns, delay_ns, function: &str, max_delay_ns, unlimited| ReschedulePolicy {
            attempts: Some(attempts),
            interval: Some(interval_ns),
            delay: Some(delay_ns),
            delay_function: Some(function.to_owned()),
            max_delay: Some(max_delay_ns),
            unlimited: Some(unlimited),
        };
    match kind {
        Some(JobKind::Service) => policy(0, 0, 30 * SECOND, "exponential", HOUR, true),
        Some(JobKind::Batch) => policy(1, 24 * HOUR, 5 * SECOND, "constant", 0, false),
        Some(JobKind::System) | None => policy(0, 0, 0, "", 0, false),
    }
}

pub(crate) fn migrate() -> MigrateStrategy {
    MigrateStrategy {
        max_parallel: Some(1),
        health_check: Some("checks".to_owned()),
        min_healthy_time: Some(10 * SECOND),
        healthy_deadline: Some(5 * MINUTE),
    }
}

pub(crate) fn update() -> UpdateStrategy {
    UpdateStrategy {
        stagger: Some(30 * SECOND),
        max_parallel: Some(1),
        health_check: Some("checks".to_owned()),
        min_healthy_time: Some(10 * SECOND),
        healthy_deadline: Some(5 * MINUTE),
        progress_deadline: Some(10 * MINUTE),
        auto_revert: Some(false),
        auto_promote: Some(false),
        canary: Some(0),
    }
}

/// Returns an update strategy whose members are all zero.
pub(crate) fn no_update() -> UpdateStrategy {
    UpdateStrategy {
        stagger: Some(0),
        max_parallel: Some(0),
        health_check: Some(String::new()),
        min_healthy_time: Some(0),
        healthy_deadline: Some(0),
        progress_deadline: Some(0),
        auto_revert: Some(false),
        auto_promote: Some(false),
        canary: Some(0),
    }
}
