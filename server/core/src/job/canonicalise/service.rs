//! Canonical form of a service.

use ordu_proto::api::job::{CheckRestart, Service};

use super::JobFacts;
use crate::job::defaults;

/// Brings a service of a group, or of one of its tasks, into its canonical form.
pub(super) fn canonicalise(service: &mut Service, job: &JobFacts, group: &str, task: Option<&str>) {
    if service.name.is_empty() {
        service.name = match task {
            Some(task) => format!("{}-{group}-{task}", job.name),
            None => format!("{}-{group}", job.name),
        };
    } else if service.name.contains("${") {
        // In services of a group, `${TASK}` stands for "group".
        let task = task.unwrap_or("group");
        let base = format!("{}-{group}-{task}", job.name);
        let words = [("JOB", job.name.as_str()), ("TASKGROUP", group), ("TASK", task), ("BASE", &base)];
        service.name = interpolate(&service.name, &words);
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

/// Merges the restart settings of a check with those of its service; the check's take precedence.
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

/// Replaces each known `${NAME}` by its value. A value that contains `$`, `{` or `}` is not inserted: it could form a
/// new reference, and interpolating twice would then change the result.
fn interpolate(text: &str, words: &[(&str, &str)]) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        let Some(end) = from.find('}') else { break };
        let (whole, after) = from.split_at(end + 1);
        let word =
            words.iter().find(|(name, word)| whole[2..end] == **name && !word.contains(['$', '{', '}']));
        result.push_str(before);
        result.push_str(word.map_or(whole, |(_, word)| word));
        rest = after;
    }
    result.push_str(rest);
    result
}
