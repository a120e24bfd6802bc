//! The members of a job specification that are needed to run it. The specification arrives as the API's JSON in
//! canonical form, in which unset members are null.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::limits::TASK_NAME_BYTES_MAX;

/// A job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct JobSpec {
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(rename = "ParentID", deserialize_with = "nullable")]
    pub(crate) parent_id: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) task_groups: Vec<GroupSpec>,
}

/// A task group.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct GroupSpec {
    pub(crate) name: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) restart_policy: Option<RestartPolicy>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) tasks: Vec<TaskSpec>,
}

/// A task.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct TaskSpec {
    pub(crate) name: String,
    pub(crate) driver: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) user: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) config: BTreeMap<String, Value>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) meta: BTreeMap<String, String>,
    /// Nanoseconds.
    #[serde(deserialize_with = "nullable")]
    pub(crate) kill_timeout: i64,
    #[serde(deserialize_with = "nullable")]
    pub(crate) kill_signal: String,
    /// Nanoseconds.
    #[serde(deserialize_with = "nullable")]
    pub(crate) shutdown_delay: i64,
    #[serde(deserialize_with = "nullable")]
    pub(crate) leader: bool,
    #[serde(deserialize_with = "nullable")]
    pub(crate) log_config: LogConfig,
    #[serde(deserialize_with = "nullable")]
    pub(crate) resources: ResourcesSpec,
    pub(crate) restart_policy: Option<RestartPolicy>,
    artifacts: Value,
    templates: Value,
    vault: Value,
    volume_mounts: Value,
    lifecycle: Value,
    dispatch_payload: Option<DispatchPayload>,
}

/// Where a task receives the payload of a dispatched job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DispatchPayload {
    #[serde(deserialize_with = "nullable")]
    file: String,
}

/// How often a task is restarted on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RestartPolicy {
    pub(crate) attempts: u32,
    /// Nanoseconds.
    pub(crate) interval: i64,
    /// Nanoseconds.
    pub(crate) delay: i64,
    /// `fail` or `delay`.
    pub(crate) mode: String,
}

/// How much of a task's output is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LogConfig {
    pub(crate) max_files: u32,
    #[serde(rename = "MaxFileSizeMB")]
    pub(crate) max_file_size_mb: u64,
}

impl Default for LogConfig {
    /// Nomad's default.
    fn default() -> Self {
        Self { max_files: 10, max_file_size_mb: 10 }
    }
}

/// The resources that a task asks for; the allocation has those granted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ResourcesSpec {
    #[serde(rename = "CPU", deserialize_with = "nullable")]
    pub(crate) cpu: i64,
    #[serde(rename = "MemoryMB", deserialize_with = "nullable")]
    pub(crate) memory_mb: i64,
}

impl JobSpec {
    /// Parses a specification. Errors are messages for the operator.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json)
            .map_err(|error| format!("the job's specification cannot be read: {error}"))
    }

    /// Returns the group with this name, if it has tasks and their names are valid.
    pub(crate) fn group(&self, name: &str) -> Result<&GroupSpec, String> {
        let group = self.task_groups.iter().find(|group| group.name == name);
        let group = group.ok_or_else(|| format!("the job has no task group \"{name}\""))?;
        if group.tasks.is_empty() {
            return Err(format!("the task group \"{name}\" has no task"));
        }
        for task in &group.tasks {
            check_task_name(&task.name)?;
        }
        Ok(group)
    }
}

impl TaskSpec {
    /// Returns the jobspec name of a block in this task that the agent does not support, if any. Running the task
    /// without it would run something else.
    pub(crate) fn unsupported(&self) -> Option<&'static str> {
        let parts = [
            ("artifact", &self.artifacts),
            ("template", &self.templates),
            ("vault", &self.vault),
            ("volume_mount", &self.volume_mounts),
            ("lifecycle", &self.lifecycle),
        ];
        let is_set = |value: &Value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            _ => true,
        };
        parts.into_iter().find(|(_, value)| is_set(value)).map(|(name, _)| name)
    }

    /// Returns the file for the payload, relative to the task's local directory, if the task asks for one.
    pub(crate) fn payload_file(&self) -> Option<&str> {
        let file = self.dispatch_payload.as_ref()?.file.as_str();
        (!file.is_empty()).then_some(file)
    }
}

/// Checks a task name. It names a directory beside `alloc` and is part of file names, so it must neither lead out of
/// the allocation's directory nor into the directory shared by the tasks.
pub(crate) fn check_task_name(name: &str) -> Result<(), String> {
    let problem = match name {
        "" => "is empty",
        "." | ".." => "is a way through directories",
        "alloc" => "is that of the directory that the group shares",
        _ if name.contains('/') => "has a slash",
        _ if name.contains(|letter: char| letter.is_control()) => "has a control character",
        _ if name.len() > TASK_NAME_BYTES_MAX => "is too long",
        _ => return Ok(()),
    };
    Err(format!("the task name {name:?} cannot be used: it {problem}"))
}

fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_are_null_or_missing_have_their_defaults() {
        let json = br#"{"ID":"j","Name":"j","Meta":null,"Unknown":1,"TaskGroups":[{"Name":"g","Meta":null,
            "RestartPolicy":null,"Tasks":[{"Name":"t","Driver":"raw_exec","Config":null,"Env":null,"Meta":null,
            "KillSignal":"","LogConfig":null,"Resources":null,"RestartPolicy":{"Attempts":1,"Interval":5,
            "Delay":7,"Mode":"delay"},"Artifacts":null,"Templates":[],"Vault":null}]}]}"#;
        let job = JobSpec::parse(json).unwrap();
        let task = &job.group("g").unwrap().tasks[0];
        assert_eq!(task.log_config.max_files, 10);
        assert_eq!(task.unsupported(), None);
        let policy = RestartPolicy { attempts: 1, interval: 5, delay: 7, mode: "delay".into() };
        assert_eq!(task.restart_policy, Some(policy));
    }

    #[test]
    fn names_that_are_no_directory_of_the_task_are_refused() {
        let long = "x".repeat(TASK_NAME_BYTES_MAX + 1);
        for name in ["", ".", "..", "../t", "a/b", "/", "alloc", "a\0b", "a\nb", long.as_str()] {
            assert!(check_task_name(name).is_err(), "{name:?}");
        }
        for name in ["t", "web server", "...", "local", "ünï", ".hidden"] {
            assert_eq!(check_task_name(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn what_this_agent_does_not_do_is_named() {
        let cases = [
            (r#"{"Artifacts":[{"GetterSource":"x"}]}"#, Some("artifact")),
            (r#"{"Templates":[{}]}"#, Some("template")),
            (r#"{"Vault":{"Policies":["p"]}}"#, Some("vault")),
            (r#"{"Lifecycle":{"Hook":"prestart"}}"#, Some("lifecycle")),
            (r#"{"Artifacts":[],"Vault":null}"#, None),
            (r#"{"DispatchPayload":{"File":"in.txt"}}"#, None),
        ];
        for (json, expected) in cases {
            let task: TaskSpec = serde_json::from_str(json).unwrap();
            assert_eq!(task.unsupported(), expected, "{json}");
        }
    }

    #[test]
    fn a_task_names_the_file_of_its_payload_or_has_none() {
        let cases = [
            (r#"{"DispatchPayload":{"File":"a/in.txt"}}"#, Some("a/in.txt")),
            (r#"{"DispatchPayload":{"File":""}}"#, None),
            (r#"{"DispatchPayload":{"File":null}}"#, None),
            (r#"{"DispatchPayload":{}}"#, None),
            (r#"{"DispatchPayload":null}"#, None),
            (r#"{}"#, None),
        ];
        for (json, expected) in cases {
            let task: TaskSpec = serde_json::from_str(json).unwrap();
            assert_eq!(task.payload_file(), expected, "{json}");
        }
    }

    #[test]
    fn groups_that_cannot_be_run_are_refused_in_words() {
        let json = br#"{"TaskGroups":[{"Name":"empty"},{"Name":"bad","Tasks":[{"Name":".."}]}]}"#;
        let job = JobSpec::parse(json).unwrap();
        for (name, text) in [("none", "no task group"), ("empty", "has no task"), ("bad", "cannot be used")] {
            let refusal = job.group(name).unwrap_err();
            assert!(refusal.contains(text), "{refusal}");
        }
        assert!(JobSpec::parse(b"[").unwrap_err().contains("cannot be read"));
    }
}
