//! Validation of a service's health checks.

use std::collections::BTreeSet;

use ordu_proto::api::job::ServiceCheck;

use crate::job::faults::{Faults, Span};

const CHECK_SPAN_NS_MIN: i64 = 1_000_000_000;

pub(super) fn needs_port(check: &ServiceCheck) -> bool {
    matches!(check.check_type.to_ascii_lowercase().as_str(), "http" | "tcp" | "grpc")
}

/// Checks the task and the address mode of a check in a service of a group that has these tasks.
pub(super) fn check_in_group(tasks: &BTreeSet<&str>, check: &ServiceCheck, faults: &mut Faults) {
    let ServiceCheck { name, task_name, check_type, .. } = check;
    if !task_name.is_empty() {
        if !matches!(check_type.as_str(), "script" | "grpc") {
            faults.add(format!("Check {name} invalid: only script and gRPC checks should have tasks"));
        }
        if !tasks.contains(task_name.as_str()) {
            faults.add(format!("Check {name} invalid: refers to non-existent task {task_name}"));
        }
    }
    if check.address_mode == "driver" {
        faults.add(format!(
            "check {name:?} cannot use address_mode=\"driver\", only checks defined in a \"task\" service block can use this mode"
        ));
    }
}

/// Returns the first error of a check. Errors of its restart settings are combined into one.
pub(super) fn fault(check: &ServiceCheck) -> Option<String> {
    type_fault(check)
        .or_else(|| span_fault(check))
        .or_else(|| mode_fault(check))
        .or_else(|| restart_fault(check))
}

fn type_fault(check: &ServiceCheck) -> Option<String> {
    let told = match check.check_type.to_ascii_lowercase().as_str() {
        "grpc" | "tcp" => return None,
        "http" if check.path.is_empty() => "http type must have a valid http path",
        "http" if check.path.contains("://") => "http type must have a relative http path",
        "http" => return None,
        "script" if check.command.is_empty() => "script type must have a valid script path",
        "script" => return None,
        _ => {
            return Some(format!(
                "invalid type ({:?}), must be one of \"http\", \"tcp\", or \"script\" type",
                check.check_type
            ));
        }
    };
    Some(told.to_owned())
}

fn span_fault(check: &ServiceCheck) -> Option<String> {
    let (interval, timeout, least) = (Span(check.interval), Span(check.timeout), Span(CHECK_SPAN_NS_MIN));
    match (interval.0, timeout.0) {
        (0, _) => Some(format!("missing required value interval. Interval cannot be less than {least}")),
        (ns, _) if ns < least.0 => Some(format!("interval ({interval}) cannot be lower than {least}")),
        (_, 0) => Some(format!("missing required value timeout. Timeout cannot be less than {least}")),
        (_, ns) if ns < least.0 => {
            Some(format!("timeout ({timeout}) is lower than required minimum timeout {least}"))
        }
        _ => None,
    }
}

fn mode_fault(check: &ServiceCheck) -> Option<String> {
    let ServiceCheck { check_type, initial_status, address_mode, .. } = check;
    if !matches!(initial_status.as_str(), "" | "passing" | "warning" | "critical") {
        return Some(format!(
            "invalid initial check state ({initial_status}), must be one of \"passing\", \"warning\", \"critical\" or empty"
        ));
    }
    match address_mode.as_str() {
        "" | "host" | "driver" | "alloc" => {}
        "auto" => return Some("invalid address_mode \"auto\" - auto only valid for services".to_owned()),
        other => return Some(format!("invalid address_mode {other:?}")),
    }
    if check.expose && !matches!(check_type.as_str(), "http" | "grpc") {
        return Some("expose may only be set on HTTP or gRPC checks".to_owned());
    }
    let thresholds = [
        ("success_before_passing", check.success_before_passing),
        ("failures_before_critical", check.failures_before_critical),
    ];
    let unused = thresholds.into_iter().find(|(_, count)| *count > 0 && !needs_port(check));
    unused.map(|(word, _)| format!("{word} not supported for check of type {check_type:?}"))
}

fn restart_fault(check: &ServiceCheck) -> Option<String> {
    let restart = check.check_restart.as_ref()?;
    let mut faults = Faults::new();
    if restart.limit < 0 {
        faults.add(format!("limit must be greater than or equal to 0 but found {}", restart.limit));
    }
    let grace_ns = restart.grace.unwrap_or(0);
    if grace_ns < 0 {
        faults.add(format!("grace period must be greater than or equal to 0 but found {grace_ns}"));
    }
    faults.into_result().err().map(|faults| faults.to_string())
}
