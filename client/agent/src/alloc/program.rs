//! The `raw_exec` driver: converts a task to a command with arguments, environment, directory and log files.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::directory::TaskDirectories;
use super::runner::{AllocContext, Assignment};
use crate::environment::{EnvironmentSource, TaskEnvironment};
use crate::fingerprint::RAW_EXEC;
use crate::spec::TaskSpec;
use crate::supervisor::protocol::{LogSettings, Program, StartTask, TaskKey};

/// Builds the supervisor's start request. Errors are messages for the task's events.
pub(crate) fn of_task(
    alloc: &AllocContext,
    assignment: &Assignment,
    name: &str,
    key: TaskKey,
    directories: &TaskDirectories,
) -> Result<StartTask, String> {
    let group = assignment.group()?;
    let task = group.tasks.iter().find(|task| task.name == name);
    let task = task.ok_or_else(|| format!("the job has no task {name:?} any more"))?;
    check_driver(&task.driver, alloc.node.raw_exec_enabled)?;
    check_kill_signal(&task.kill_signal)?;
    let alloc_id = alloc.id.to_string();
    let environment = TaskEnvironment::build(&EnvironmentSource {
        node: &alloc.node.facts,
        alloc: &assignment.allocation,
        alloc_id: &alloc_id,
        job: &assignment.job,
        group,
        task,
        directories,
    });
    let (command, args) = command(&task.config, |text| environment.interpolate(text))?;
    let logs = LogSettings {
        directory: directories.logs.clone(),
        prefix: name.to_owned(),
        files_max: task.log_config.max_files,
        file_bytes_max: task.log_config.max_file_size_mb.saturating_mul(1024 * 1024),
    };
    let user = (!task.user.is_empty()).then(|| environment.interpolate(&task.user));
    let program =
        Program { command, args, env: environment.variables, directory: directories.task.clone(), user };
    Ok(StartTask { key, program, logs })
}

/// Returns the signal that asks the task to end; by default an interrupt, as in Nomad.
pub(crate) fn kill_signal(task: &TaskSpec) -> Signal {
    task.kill_signal.parse().unwrap_or(Signal::SIGINT)
}

fn check_driver(driver: &str, raw_exec_enabled: bool) -> Result<(), String> {
    match driver {
        RAW_EXEC if raw_exec_enabled => Ok(()),
        RAW_EXEC => Err("the driver \"raw_exec\" is disabled on this node".into()),
        other => Err(format!("this node has no driver {other:?}")),
    }
}

fn check_kill_signal(name: &str) -> Result<(), String> {
    if name.is_empty() || name.parse::<Signal>().is_ok() {
        return Ok(());
    }
    Err(format!("the kill signal {name:?} is none of this node's signals"))
}

/// Returns `command` and `args` of the task's configuration.
fn command(
    config: &BTreeMap<String, Value>,
    interpolate: impl Fn(&str) -> String,
) -> Result<(String, Vec<String>), String> {
    let wrong = |text: String| format!("failed to parse config: {text}");
    if let Some(unknown) = config.keys().find(|key| !matches!(key.as_str(), "command" | "args")) {
        return Err(wrong(format!("raw_exec knows no option {unknown:?}")));
    }
    let command = config.get("command").and_then(scalar).map(|text| interpolate(&text)).unwrap_or_default();
    if command.is_empty() {
        return Err(wrong("the option \"command\" is missing".into()));
    }
    let args = match config.get("args") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => {
            let texts: Option<Vec<String>> = items.iter().map(scalar).collect();
            texts.ok_or_else(|| wrong("the option \"args\" has to be a list of strings".into()))?
        }
        Some(_) => return Err(wrong("the option \"args\" has to be a list of strings".into())),
    };
    let args: Vec<String> = args.iter().map(|arg| interpolate(arg)).collect();
    if command.contains('\0') || args.iter().any(|arg| arg.contains('\0')) {
        return Err(wrong("a command cannot hold the character NUL".into()));
    }
    Ok((command, args))
}

/// Converts a scalar to a string, because a jobspec may contain a number or a boolean where a string is meant.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<(String, Vec<String>), String> {
        command(&serde_json::from_str(json).unwrap(), |text| text.replace("${x}", "X"))
    }

    #[test]
    fn command_and_args_are_interpolated_and_scalars_are_strings() {
        let expected = ("/bin/X".to_owned(), ["a", "X", "5", "true"].map(str::to_owned).to_vec());
        assert_eq!(parsed(r#"{"command":"/bin/${x}","args":["a","${x}",5,true]}"#), Ok(expected));
        assert_eq!(parsed(r#"{"command":"c","args":null}"#), Ok(("c".to_owned(), Vec::new())));
    }

    #[test]
    fn configurations_that_cannot_be_run_are_refused_in_words() {
        let cases = [
            (r#"{}"#, "\"command\" is missing"),
            (r#"{"command":["a"]}"#, "\"command\" is missing"),
            (r#"{"command":"c","args":"a b"}"#, "list of strings"),
            (r#"{"command":"c","args":[["a"]]}"#, "list of strings"),
            (r#"{"command":"c","image":"x"}"#, "no option \"image\""),
            (r#"{"command":"c\u0000"}"#, "NUL"),
        ];
        for (json, text) in cases {
            let refusal = parsed(json).unwrap_err();
            assert!(
                refusal.starts_with("failed to parse config") && refusal.contains(text),
                "{json}: {refusal}"
            );
        }
    }

    #[test]
    fn drivers_and_signals_that_this_node_has_not_are_named() {
        assert_eq!(check_driver("raw_exec", true), Ok(()));
        assert!(check_driver("raw_exec", false).unwrap_err().contains("disabled"));
        assert!(check_driver("docker", true).unwrap_err().contains("\"docker\""));
        for name in ["", "SIGTERM", "SIGUSR1"] {
            assert_eq!(check_kill_signal(name), Ok(()), "{name}");
        }
        assert!(check_kill_signal("SIGNOPE").unwrap_err().contains("SIGNOPE"));
    }
}
