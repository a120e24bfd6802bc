//! The canonical form of a service.

use ordu_proto::api::job::{CheckRestart, Service};

use super::JobFacts;
use crate::job::defaults;

/// Brings a service of a group, or of one of its tasks, into its canonical form.
pub(super) fn canonicalise(service: &mut Service, job: &JobFacts, group: &str, task: Option<&str>) {
    let base = match task {
        Some(task) => format!("{}-{group}-{task}", job.name),
        None => format!("{}-{group}", job.name),
    };
    if service.name.is_empty() {
        service.name.clone_from(&base);
    } else if service.name.contains("${") {
        let words = [
            ("JOB", job.name.as_str()),
            ("TASKGROUP", group),
            ("TASK", task.unwrap_or_default()),
            ("BASE", &base),
        ];
        for (word, value) in words {
            service.name = service.name.replace(&format!("${{{word}}}"), value);
        }
    }
    if service.address_mode.is_empty() {
        service.address_mode.push_str("auto");
    }

    let default = service.check_restart.take();
    for check in &mut service.checks {
        if check.name.is_empty() {
            check.name = format!("service: {:?} check", service.name);
        }
        check.check_restart = merge(default.as_ref(), check.check_restart.take());
        check.success_before_passing = check.success_before_passing.max(0);
        check.failures_before_critical = check.failures_before_critical.max(0);
    }
}

/// What a check says of restarts, with the service's words for what it leaves open.
fn merge(default: Option<&CheckRestart>, own: Option<CheckRestart>) -> Option<CheckRestart> {
    let merged = match (default, own) {
        (None, None) => return None,
        (None, Some(own)) => own,
        (Some(default), None) => default.clone(),
        (Some(default), Some(own)) => CheckRestart {
            limit: if own.limit > 0 { own.limit } else { default.limit },
            grace: own.grace.or(default.grace),
            ignore_warnings: own.ignore_warnings || default.ignore_warnings,
        },
    };
    let grace = merged.grace.unwrap_or(defaults::CHECK_RESTART_GRACE_NS);
    Some(CheckRestart { grace: Some(grace), ..merged })
}
