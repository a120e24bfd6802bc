//! The difference between two versions of a job, as returned by a plan and by the list of versions.
//!
//! All values are given as text, regardless of their type in the specification; an absent value is an empty
//! text. Empty lists are `null`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// How an element differs between the old and the new version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DiffType {
    /// Unchanged.
    #[default]
    None,
    /// Only in the new version.
    Added,
    /// Only in the old version.
    Deleted,
    /// Changed, directly or in one of its members.
    Edited,
}

/// The difference between two versions of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobDiff {
    /// How the job differs.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// The job's ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Changed scalar members of the job, and changed metadata.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<FieldDiff>>")]
    pub fields: Vec<FieldDiff>,
    /// Changed members of the job that are objects.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ObjectDiff>>")]
    pub objects: Vec<ObjectDiff>,
    /// All groups, by name.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<TaskGroupDiff>>")]
    pub task_groups: Vec<TaskGroupDiff>,
}

/// The difference between two versions of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskGroupDiff {
    /// How the group differs.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// The group's name.
    pub name: String,
    /// Changed scalar members.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<FieldDiff>>")]
    pub fields: Vec<FieldDiff>,
    /// Changed members that are objects.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ObjectDiff>>")]
    pub objects: Vec<ObjectDiff>,
    /// All tasks, by name.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<TaskDiff>>")]
    pub tasks: Vec<TaskDiff>,
    /// How many allocations of the group are affected, by kind of change; absent if no scheduler was run.
    pub updates: Option<BTreeMap<String, u64>>,
}

/// The difference between two versions of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskDiff {
    /// How the task differs.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// The task's name.
    pub name: String,
    /// Changed scalar members.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<FieldDiff>>")]
    pub fields: Vec<FieldDiff>,
    /// Changed members that are objects.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ObjectDiff>>")]
    pub objects: Vec<ObjectDiff>,
    /// Effects of the change on the allocations.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub annotations: Vec<String>,
}

/// The difference between two versions of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ObjectDiff {
    /// How the object differs.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// The kind of object.
    pub name: String,
    /// The object's changed scalar members; in a contextual diff, unchanged ones too.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<FieldDiff>>")]
    pub fields: Vec<FieldDiff>,
    /// The object's changed members that are objects.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<ObjectDiff>>")]
    pub objects: Vec<ObjectDiff>,
}

/// The difference between two versions of a scalar value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct FieldDiff {
    /// How the value differs.
    #[serde(rename = "Type")]
    pub diff_type: DiffType,
    /// The value's name, for example `Count`, `Meta[key]` or `args[0]`.
    pub name: String,
    /// The old value; empty if there was none.
    pub old: String,
    /// The new value; empty if there is none.
    pub new: String,
    /// Effects of the change on the allocations.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub annotations: Vec<String>,
}

/// How many allocations of a group the scheduler plans to change, by kind of change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DesiredUpdates {
    /// Left unchanged.
    pub ignore: u64,
    /// Created.
    pub place: u64,
    /// Moved to another node.
    pub migrate: u64,
    /// Stopped.
    pub stop: u64,
    /// Updated in place.
    pub in_place_update: u64,
    /// Replaced by a new allocation.
    pub destructive_update: u64,
    /// Created as canaries.
    pub canary: u64,
    /// Stopped to make room for others with a higher priority.
    pub preemptions: u64,
}
