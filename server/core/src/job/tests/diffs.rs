//! Diffs as returned by a Nomad 1.0.18 server, and their annotations.

mod annotations;
mod full_job;
mod members;
mod properties;
mod rules;
mod task_members;

use std::fmt::Write;

use expect_test::Expect;
use ordu_proto::api::job::{DiffType, FieldDiff, JobDiff, ObjectDiff};
use serde_json::{Value, json};

use super::{edited, register};
use crate::job::{DiffSide, RegisterRequest, job_diff};

fn side(request: &RegisterRequest) -> DiffSide<'_> {
    DiffSide { spec: &request.job, stop: request.stop, dispatched: false, parent_id: "" }
}

/// Returns the diff between two jobs; `null` stands for an absent job.
fn diff(old: &Value, new: &Value) -> JobDiff {
    let side_of = |job: &Value| (!job.is_null()).then(|| register(job));
    let (old, new) = (side_of(old), side_of(new));
    job_diff(old.as_ref().map(side), new.as_ref().map(side), true).unwrap()
}

/// Formats a diff compactly: a sign, names, values, and annotations after `#`.
fn told(diff: &JobDiff) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} job {}", sign(diff.diff_type), diff.id);
    inside(&diff.fields, &diff.objects, 1, &mut out);
    for group in &diff.task_groups {
        let _ = write!(out, "  {} group {}", sign(group.diff_type), group.name);
        let _ = match &group.updates {
            Some(updates) => writeln!(out, " # {updates:?}"),
            None => writeln!(out),
        };
        inside(&group.fields, &group.objects, 2, &mut out);
        for task in &group.tasks {
            let _ = write!(out, "    {} task {}", sign(task.diff_type), task.name);
            annotations(&task.annotations, &mut out);
            inside(&task.fields, &task.objects, 3, &mut out);
        }
    }
    out
}

fn sign(diff_type: DiffType) -> char {
    match diff_type {
        DiffType::None => '=',
        DiffType::Added => '+',
        DiffType::Deleted => '-',
        DiffType::Edited => '~',
    }
}

fn annotations(annotations: &[String], out: &mut String) {
    let _ = match annotations {
        [] => writeln!(out),
        words => writeln!(out, " # {}", words.join(", ")),
    };
}

fn inside(fields: &[FieldDiff], objects: &[ObjectDiff], depth: usize, out: &mut String) {
    for field in fields {
        let _ = write!(out, "{:width$}{} {}:", "", sign(field.diff_type), field.name, width = depth * 2);
        let _ = match field.diff_type {
            DiffType::Edited => write!(out, " {:?} => {:?}", field.old, field.new),
            DiffType::Deleted => write!(out, " {:?}", field.old),
            _ => write!(out, " {:?}", field.new),
        };
        annotations(&field.annotations, out);
    }
    for object in objects {
        let _ =
            writeln!(out, "{:width$}{} {} {{}}", "", sign(object.diff_type), object.name, width = depth * 2);
        inside(&object.fields, &object.objects, depth + 1, out);
    }
}

/// Returns the job of the plans below, with a group `web` of a task `sleep`.
fn planned_job() -> Value {
    json!({
        "ID": "plan", "Name": "plan", "Type": "service", "Priority": 50, "Datacenters": ["dc1"],
        "Meta": {"a": "1"},
        "TaskGroups": [{
            "Name": "web", "Count": 2,
            "Tasks": [{
                "Name": "sleep", "Driver": "raw_exec", "Config": {"command": "/bin/sleep", "args": ["600"]},
                "Env": {"K": "v"}, "Resources": {"CPU": 20, "MemoryMB": 10},
                "Services": [{"Name": "s1", "Tags": ["x"]}],
            }],
        }],
    })
}

const GROUP: &str = "/TaskGroups/0";
const TASK: &str = "/TaskGroups/0/Tasks/0";

/// Asserts the diff that results from edits of the planned job.
fn assert_told(edits: &[(&str, Value)], wanted: &Expect) {
    let job = planned_job();
    wanted.assert_eq(&told(&diff(&job, &edited(job.clone(), edits))));
}
