//! How two versions of a job differ, as a plan and a list of versions tell it.
//!
//! Every value is told as text, whatever it is in the specification, and an absent one as an empty
//! text. Lists are `null` when they are empty.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// What became of a thing from the old version to the new one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DiffType {
    /// It is as it was.
    #[default]
    None,
    /// It was not there before.
    Added,
    /// It is there no more.
    Deleted,
    /// It, or something in it, is another.
    Edited,
}

/// How two versions of a job differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobDiff {
    /// What became of the job.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// The job.
    #[serde(rename = "ID")]
    pub id: String,
    /// Members of the job that hold a value, and its free words; changed ones only.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<FieldDiff>>")]
    pub fields: Vec<FieldDiff>,
    /// Members of the job that hold more than a value; changed ones only.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ObjectDiff>>")]
    pub objects: Vec<ObjectDiff>,
    /// All of the groups, by name.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<TaskGroupDiff>>")]
    pub task_groups: Vec<TaskGroupDiff>,
}

/// What became of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskGroupDiff {
    /// What became of the group.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// The group.
    pub name: String,
    /// Members that hold a value; changed ones only.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<FieldDiff>>")]
    pub fields: Vec<FieldDiff>,
    /// Members that hold more than a value; changed ones only.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ObjectDiff>>")]
    pub objects: Vec<ObjectDiff>,
    /// All of the tasks, by name.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<TaskDiff>>")]
    pub tasks: Vec<TaskDiff>,
    /// What happens to how many of the group's allocations; nothing where nobody asked a scheduler.
    pub updates: Option<BTreeMap<String, u64>>,
}

/// What became of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskDiff {
    /// What became of the task.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// The task.
    pub name: String,
    /// Members that hold a value; changed ones only.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<FieldDiff>>")]
    pub fields: Vec<FieldDiff>,
    /// Members that hold more than a value; changed ones only.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ObjectDiff>>")]
    pub objects: Vec<ObjectDiff>,
    /// What the change does to the allocations.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub annotations: Vec<String>,
}

/// What became of a member that holds more than a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ObjectDiff {
    /// What became of the object.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// The kind of object.
    pub name: String,
    /// Its members that hold a value; in a contextual diff the unchanged ones too.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<FieldDiff>>")]
    pub fields: Vec<FieldDiff>,
    /// Its members that hold more; changed ones only.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ObjectDiff>>")]
    pub objects: Vec<ObjectDiff>,
}

/// What became of a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct FieldDiff {
    /// What became of the value.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// Its name: `Count`, `Meta[key]`, `args[0]`.
    pub name: String,
    /// The value before; empty where there was none.
    pub old: String,
    /// The value now; empty where there is none.
    pub new: String,
    /// What the change does to the allocations.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub annotations: Vec<String>,
}

/// What a scheduler wants to do with a group's allocations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DesiredUpdates {
    /// Leave alone.
    pub ignore: u64,
    /// Create.
    pub place: u64,
    /// Move to another node.
    pub migrate: u64,
    /// Stop.
    pub stop: u64,
    /// Update where they run.
    pub in_place_update: u64,
    /// Replace.
    pub destructive_update: u64,
    /// Create as canaries.
    pub canary: u64,
    /// Stop for others of a higher priority.
    pub preemptions: u64,
}
