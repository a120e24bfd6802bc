//! Validates a canonical job. All errors are reported at once, with the texts that clients of the API match.

mod group;
mod network;
mod number;
mod paths;
mod placement;
mod policy;
mod schedule;
mod service;
mod service_check;
mod task;

use std::collections::BTreeMap;

use ordu_proto::api::job::{DEFAULT_NAMESPACE, JobSpec, TaskGroup};

use super::JobKind;
use super::faults::Faults;
use crate::limits::{JOB_ALLOCATIONS_MAX, NAMESPACE_BYTES_MAX};

/// Type of the servers' internal jobs.
const TYPE_CORE: &str = "_core";
/// Lowest priority of a job or an evaluation.
pub(super) const PRIORITY_MIN: i64 = 1;
/// Highest priority of a job or an evaluation.
pub(super) const PRIORITY_MAX: i64 = 100;

/// An invalid name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid namespace \"{shown}\": a namespace has 1 to {NAMESPACE_BYTES_MAX} letters, digits and dashes"
)]
pub struct InvalidNamespace {
    shown: String,
}

/// Checks the name of a namespace before something is written in it.
pub fn check_namespace(name: &str) -> Result<(), InvalidNamespace> {
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=NAMESPACE_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_of_it) {
        return Ok(());
    }
    let shown = name.chars().take(NAMESPACE_BYTES_MAX).collect::<String>().escape_debug().to_string();
    Err(InvalidNamespace { shown })
}

/// Validates a canonical job. The error's text is the body of the answer.
pub fn validate(job: &JobSpec) -> Result<(), Faults> {
    validate_submitted(job, false)
}

/// Validates a canonical job, and the payload sent with its registration.
pub(super) fn validate_submitted(job: &JobSpec, carries_payload: bool) -> Result<(), Faults> {
    let mut faults = Faults::new();
    if !placement::check_bounds(&mut faults, job) {
        return faults.into_result();
    }
    check_facts(job, &mut faults);
    if job.task_groups.is_empty() {
        faults.add("Missing job task groups");
    }
    placement::check(&mut faults, job, &job.constraints, &job.affinities);
    placement::check_spreads(&mut faults, job, &job.spreads);
    check_groups(job, &mut faults);
    for group in &job.task_groups {
        faults.add_part_of(group::check(job, group), || format!("Task group {}", group.name));
    }
    schedule::check(job, &mut faults);
    if job.job_type() == TYPE_CORE {
        faults.add("job type cannot be core");
    }
    if carries_payload {
        faults.add("job can't be submitted with a payload, only dispatched");
    }
    faults.into_result()
}

fn check_facts(job: &JobSpec, faults: &mut Faults) {
    if job.region().is_empty() {
        faults.add("Missing job region");
    }
    if job.id.is_empty() {
        faults.add("Missing job ID");
    } else if job.id.contains(' ') {
        faults.add("Job ID contains a space");
    } else if job.id.contains('\0') {
        faults.add("Job ID contains a null character");
    }
    if job.name().is_empty() {
        faults.add("Missing job name");
    } else if job.name().contains('\0') {
        faults.add("Job Name contains a null character");
    }
    if job.namespace().is_empty() {
        faults.add("Job must be in a namespace");
    } else if job.namespace() != DEFAULT_NAMESPACE {
        // There is no way to create another namespace yet.
        faults.add(format!("job {:?} is in nonexistent namespace {:?}", job.id, job.namespace()));
    }
    match job.job_type() {
        "" => faults.add("Missing job type"),
        other if JobKind::parse(other).is_none() && other != TYPE_CORE => {
            faults.add(format!("Invalid job type: {other:?}"));
        }
        _ => {}
    }
    if !(PRIORITY_MIN..=PRIORITY_MAX).contains(&job.priority()) {
        faults.add(format!("Job priority must be between [{PRIORITY_MIN}, {PRIORITY_MAX}]"));
    }
    if job.datacenters.is_empty() && !job.is_multiregion() {
        faults.add("Missing job datacenters");
    }
    if job.datacenters.iter().any(String::is_empty) {
        faults.add("Job datacenter must be non-empty string");
    }
}

/// Checks all groups in relation to each other and to the job.
fn check_groups(job: &JobSpec, faults: &mut Faults) {
    let mut numbers = BTreeMap::new();
    for (number, group) in (1..).zip(&job.task_groups) {
        if group.name.is_empty() {
            faults.add(format!("Job task group {number} missing name"));
        } else if let Some(earlier) = numbers.get(group.name.as_str()) {
            faults.add(format!("Job task group {number} redefines '{}' from group {earlier}", group.name));
        } else {
            numbers.insert(group.name.as_str(), number);
        }
        if group.shutdown_delay.is_some_and(|delay_ns| delay_ns < 0) {
            faults.add("ShutdownDelay must be a positive value");
        }
        let stop_after_ns = group.stop_after_client_disconnect.unwrap_or(0);
        if stop_after_ns < 0 {
            faults.add("stop_after_client_disconnect must be a positive value");
        } else if stop_after_ns > 0 && !matches!(JobKind::of(job), Some(JobKind::Batch | JobKind::Service)) {
            faults.add("stop_after_client_disconnect can only be set in batch and service jobs");
        }
        let count = group.count();
        if JobKind::of(job) == Some(JobKind::System) && count > 1 {
            faults.add(format!(
                "Job task group {} has count {count}. Count cannot exceed 1 with system scheduler",
                group.name
            ));
        }
    }
    if let Err(fault) = check_total(job.task_groups.iter().map(TaskGroup::count)) {
        faults.add(fault);
    }
}

/// Rejects a job whose groups request too many allocations in total.
pub(crate) fn check_total(counts: impl Iterator<Item = i64>) -> Result<(), String> {
    let total = counts.fold(0, |total: i64, count| total.saturating_add(count.max(0)));
    if total > JOB_ALLOCATIONS_MAX {
        return Err(format!(
            "total count was greater than configured job_max_count: {total} > {JOB_ALLOCATIONS_MAX}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_letters_digits_and_dashes() {
        for name in ["default", "a", "Team-7", "-", &"x".repeat(128)] {
            assert_eq!(Ok(()), check_namespace(name), "{name}");
        }
        for name in ["", "*", "a.b", "a b", "a/b", "ä", "a_b", "a\0b", &"x".repeat(129)] {
            assert!(check_namespace(name).is_err(), "{name}");
        }
        let refused = check_namespace(&"\"ö.".repeat(1_000)).unwrap_err().to_string();
        assert!(refused.starts_with("invalid namespace \"\\\"ö.") && refused.len() < 500, "{refused}");
    }
}
