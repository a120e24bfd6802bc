//! Task events with Nomad's texts, which clients display and match.

use std::collections::BTreeMap;

use ordu_proto::state::TaskEvent;

use crate::supervisor::now_ns;
use crate::supervisor::protocol::Exit;
use crate::text::cut;

/// Reason of a restart within the policy; not displayed.
pub(crate) const WITHIN_POLICY: &str = "Restart within policy";

/// Builds an event. Shortens the texts, because they may quote parts of the job.
fn event(kind: &str, message: impl AsRef<str>, details: &[(&str, String)]) -> TaskEvent {
    TaskEvent {
        r#type: kind.to_owned(),
        time_ns: now_ns(),
        display_message: cut(message.as_ref()).into_owned(),
        details: details
            .iter()
            .map(|(key, value)| ((*key).to_owned(), cut(value).into_owned()))
            .collect::<BTreeMap<_, _>>(),
    }
}

pub(crate) fn received() -> TaskEvent {
    event("Received", "Task received by client", &[])
}

pub(crate) fn building_directory() -> TaskEvent {
    let message = "Building Task Directory";
    event("Task Setup", message, &[("message", message.into())])
}

pub(crate) fn setup_failure(text: &str) -> TaskEvent {
    event("Setup Failure", text, &[("setup_error", text.into()), ("fails_task", "true".into())])
}

pub(crate) fn driver_failure(text: &str) -> TaskEvent {
    event("Driver Failure", text, &[("driver_error", text.into())])
}

pub(crate) fn started() -> TaskEvent {
    event("Started", "Task started by client", &[])
}

pub(crate) fn terminated(exit: &Exit) -> TaskEvent {
    // Nomad has no representation for an unknown exit code. Use -1, since 0 would mean success.
    let code = exit.code.unwrap_or(-1);
    let mut parts = vec![format!("Exit Code: {code}")];
    let mut details = vec![("exit_code", code.to_string()), ("signal", exit.signal.to_string())];
    if exit.signal != 0 {
        parts.push(format!("Signal: {}", exit.signal));
    }
    if exit.code.is_none() {
        let message = "the task ended while no supervisor watched it: its exit code is not known";
        parts.push(format!("Exit Message: {message:?}"));
        details.push(("exit_message", message.into()));
    }
    details.push(("oom_killed", "false".into()));
    event("Terminated", parts.join(", "), &details)
}

pub(crate) fn restarting(reason: &str, delay_ns: i64) -> TaskEvent {
    let soon = format!("Task restarting in {}", go_duration(delay_ns));
    let message = if reason == WITHIN_POLICY { soon } else { format!("{reason} - {soon}") };
    event("Restarting", message, &[("restart_reason", reason.into()), ("start_delay", delay_ns.to_string())])
}

pub(crate) fn not_restarting(reason: &str) -> TaskEvent {
    event("Not Restarting", reason, &[("restart_reason", reason.into()), ("fails_task", "true".into())])
}

pub(crate) fn killing(kill_timeout_ns: i64) -> TaskEvent {
    let timeout = go_duration(kill_timeout_ns);
    let message = format!("Sent interrupt. Waiting {timeout} before force killing");
    event("Killing", message, &[("kill_timeout", timeout)])
}

pub(crate) fn killed() -> TaskEvent {
    event("Killed", "Task successfully killed", &[])
}

pub(crate) fn sibling_failed(sibling: &str) -> TaskEvent {
    let message = format!("Task's sibling {sibling:?} failed");
    event("Sibling Task Failed", message, &[("failed_sibling", sibling.into())])
}

pub(crate) fn leader_dead() -> TaskEvent {
    event("Leader Task Dead", "Leader Task in Group dead", &[])
}

/// Formats a duration as Go does: `1h2m3.5s`, `300ms`, `0s`.
pub(crate) fn go_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let whole = nanoseconds.unsigned_abs();
    let fraction = |unit: u64, name: &str| {
        let digits = format!("{:0width$}", whole % unit, width = unit.ilog10() as usize);
        let digits = digits.trim_end_matches('0');
        let point = if digits.is_empty() { "" } else { "." };
        format!("{sign}{}{point}{digits}{name}", whole / unit)
    };
    match whole {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{whole}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        1_000_000_000..60_000_000_000 => fraction(1_000_000_000, "s"),
        _ => {
            let (hours, minutes) = (whole / 3_600_000_000_000, whole / 60_000_000_000 % 60);
            let seconds = format!("{:.9}", (whole % 60_000_000_000) as f64 / 1e9);
            let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
            let hours = if hours == 0 { String::new() } else { format!("{hours}h") };
            format!("{sign}{hours}{minutes}m{seconds}s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_does() {
        let cases = [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (1_000_000_000, "1s"),
            (1_250_000_000, "1.25s"),
            (60_000_000_000, "1m0s"),
            (60_500_000_000, "1m0.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_025_000_000_000, "1h23m45s"),
            (-1_000_000_000, "-1s"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(go_duration(nanoseconds), expected);
        }
    }

    #[test]
    fn an_end_is_told_with_its_code_and_signal_or_as_unknown() {
        let exit = |code, signal| Exit { code, signal, at_ns: 0 };
        let cases = [
            (exit(Some(0), 0), "Exit Code: 0"),
            (exit(Some(3), 0), "Exit Code: 3"),
            (exit(Some(137), 9), "Exit Code: 137, Signal: 9"),
        ];
        for (exit, message) in cases {
            assert_eq!(terminated(&exit).display_message, message);
        }
        let unknown = terminated(&exit(None, 0));
        assert!(unknown.display_message.contains("not known"));
        assert_ne!(unknown.details["exit_code"], "0");
    }

    #[test]
    fn only_an_unusual_reason_of_a_restart_is_shown() {
        assert_eq!(restarting(WITHIN_POLICY, 1_000_000_000).display_message, "Task restarting in 1s");
        let delayed = restarting("Exceeded allowed attempts, applying a delay", 2_000_000_000);
        assert_eq!(
            delayed.display_message,
            "Exceeded allowed attempts, applying a delay - Task restarting in 2s"
        );
    }
}
