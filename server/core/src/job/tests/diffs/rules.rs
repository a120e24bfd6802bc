//! Rules for diffs of all kinds, and diffs that are rejected.

use expect_test::expect;
use ordu_proto::api::job::{DiffType, JobDiff};
use serde_json::{Value, json};

use super::{TASK, diff, planned_job, side, sign, told};
use crate::job::tests::{edited, register, small_job};
use crate::job::{DiffSide, job_diff};

#[test]
fn services_of_one_name_are_not_taken_for_one_another() {
    let of_ports = |ports: &[&str]| -> Value {
        ports.iter().map(|port| json!({"Name": "s", "PortLabel": port})).collect()
    };
    let services = format!("{TASK}/Services");
    let old = edited(planned_job(), &[(&services, of_ports(&["a", "b"]))]);
    for (ports, wanted) in [
        (vec!["b", "a"], vec![]),
        (vec!["b"], vec!["- a"]),
        (vec!["c", "a", "b"], vec!["+ c"]),
        (vec!["b", "c"], vec!["a => c"]),
    ] {
        let diff = diff(&old, &edited(old.clone(), &[(&services, of_ports(&ports))]));
        let objects = &diff.task_groups[0].tasks[0].objects;
        let got: Vec<String> = objects
            .iter()
            .map(|object| {
                let port = object.fields.iter().find(|field| field.name == "PortLabel").unwrap();
                match object.diff_type {
                    DiffType::Edited => format!("{} => {}", port.old, port.new),
                    diff_type => format!("{} {}{}", sign(diff_type), port.old, port.new),
                }
            })
            .collect();
        assert_eq!(got, wanted, "{ports:?}");
    }
}

#[test]
fn the_order_of_lists_without_an_order_makes_no_difference() {
    let constraint = |left: &str| json!({"LTarget": left, "Operand": "is_set"});
    let with = |lefts: [&str; 2], datacenters: [&str; 2]| {
        let constraints: Value = lefts.iter().map(|left| constraint(left)).collect();
        edited(planned_job(), &[("/Constraints", constraints), ("/Datacenters", json!(datacenters))])
    };
    let diff = diff(&with(["a", "b"], ["dc1", "dc2"]), &with(["b", "a"], ["dc2", "dc1"]));
    assert_eq!(diff.diff_type, DiffType::None);
}

#[test]
fn a_child_tells_its_parent() {
    let request = register(&small_job("batch"));
    let child = DiffSide { dispatched: true, parent_id: "parent", ..side(&request) };
    let diff = job_diff(Some(side(&request)), Some(child), true).unwrap();
    expect![[r#"
        ~ job small
          ~ Dispatched: "false" => "true"
          + ParentID: "parent"
          = group g
            = task t
    "#]]
    .assert_eq(&told(&diff));
}

#[test]
fn unchanged_values_of_a_changed_object_are_context() {
    let old = register(&planned_job());
    let new = register(&edited(planned_job(), &[(&format!("{TASK}/Resources/CPU"), json!(30))]));
    let diff = job_diff(Some(side(&old)), Some(side(&new)), false).unwrap();
    let resources = &diff.task_groups[0].tasks[0].objects[0];
    let names: Vec<&str> = resources.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["CPU"]);
}

#[test]
fn nothing_and_nothing_differ_in_nothing() {
    assert_eq!(job_diff(None, None, true).unwrap(), JobDiff::default());
}

#[test]
fn jobs_of_different_ids_have_no_diff() {
    let (one, other) = (register(&small_job("batch")), register(&planned_job()));
    expect![[r#"can not diff jobs with different IDs: "small" and "plan""#]]
        .assert_eq(&job_diff(Some(side(&one)), Some(side(&other)), true).unwrap_err());
}

#[test]
fn a_diff_that_would_be_much_larger_than_its_job_is_refused() {
    let mut config = Value::Array(vec![json!([]); 1000]);
    for _ in 0..85 {
        config = json!({ "k".repeat(1000): config });
    }
    let new = register(&edited(planned_job(), &[(&format!("{TASK}/Config"), config)]));
    let refusal = job_diff(None, Some(side(&new)), true).unwrap_err();
    assert!(
        refusal.starts_with("the diff of job \"plan\" would take more than 67108864 bytes;"),
        "{refusal}"
    );
}
