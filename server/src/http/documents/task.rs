//! The states of an allocation's tasks, and their events.

use std::collections::BTreeMap;

use ordu_core::job::rfc3339;
use ordu_proto::state;
use schemars::JsonSchema;
use serde::Serialize;

/// A task's state.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TaskState<'a> {
    state: &'a str,
    failed: bool,
    restarts: u64,
    last_restart: String,
    started_at: String,
    finished_at: String,
    events: Vec<TaskEvent<'a>>,
    task_handle: (),
}

/// An event of a task. Besides the current members it has one for each kind of detail, for older clients.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct TaskEvent<'a> {
    #[serde(rename = "Type")]
    kind: &'a str,
    time: i64,
    message: &'a str,
    display_message: &'a str,
    details: &'a BTreeMap<String, String>,
    fails_task: bool,
    restart_reason: &'a str,
    setup_error: &'a str,
    driver_error: &'a str,
    driver_message: &'a str,
    exit_code: i64,
    signal: i64,
    kill_timeout: i64,
    kill_error: &'a str,
    kill_reason: &'a str,
    start_delay: i64,
    download_error: &'a str,
    validation_error: &'a str,
    disk_limit: i64,
    disk_size: i64,
    failed_sibling: &'a str,
    vault_error: &'a str,
    task_signal: &'a str,
    task_signal_reason: &'a str,
    generic_source: &'a str,
}

/// Returns the states of an allocation's tasks; `None` if there are none.
pub(crate) fn states(states: &BTreeMap<String, state::TaskState>) -> Option<BTreeMap<&str, TaskState<'_>>> {
    let of = |(name, state)| (String::as_str(name), TaskState::of(state));
    Some(states).filter(|states| !states.is_empty()).map(|states| states.iter().map(of).collect())
}

impl<'a> TaskState<'a> {
    fn of(state: &'a state::TaskState) -> Self {
        Self {
            state: &state.state,
            failed: state.failed,
            restarts: state.restarts,
            last_restart: rfc3339(state.last_restart_ns),
            started_at: rfc3339(state.started_at_ns),
            finished_at: rfc3339(state.finished_at_ns),
            events: state.events.iter().map(TaskEvent::of).collect(),
            task_handle: (),
        }
    }
}

impl<'a> TaskEvent<'a> {
    fn of(event: &'a state::TaskEvent) -> Self {
        let text = |name: &str| event.details.get(name).map(String::as_str).unwrap_or_default();
        let number = |name: &str| text(name).parse().unwrap_or(0);
        Self {
            kind: &event.r#type,
            time: event.time_ns,
            message: text("message"),
            display_message: &event.display_message,
            details: &event.details,
            fails_task: text("fails_task") == "true",
            restart_reason: text("restart_reason"),
            setup_error: text("setup_error"),
            driver_error: text("driver_error"),
            driver_message: text("driver_message"),
            exit_code: number("exit_code"),
            signal: number("signal"),
            kill_timeout: crate::http::duration::parse_ns(text("kill_timeout")).unwrap_or(0),
            kill_error: text("kill_error"),
            kill_reason: text("kill_reason"),
            start_delay: number("start_delay"),
            download_error: text("download_error"),
            validation_error: text("validation_error"),
            disk_limit: number("disk_limit"),
            disk_size: number("disk_size"),
            failed_sibling: text("failed_sibling"),
            vault_error: text("vault_renewal_error"),
            task_signal: text("task_signal"),
            task_signal_reason: text("task_signal_reason"),
            generic_source: text("generic_source"),
        }
    }
}
