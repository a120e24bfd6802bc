//! Rejected jobs, with the error texts of a Nomad 1.0.18 server.

mod group;
mod placement;
mod service;
mod task;

use serde_json::{Value, json};

use super::{edited, register, small_job};
use crate::job::validate;

/// Returns the validation error, empty for a valid job.
fn refusal(job: &Value) -> String {
    validate(&register(job).job).err().map(|faults| faults.to_string()).unwrap_or_default()
}

fn one(fault: &str) -> String {
    format!("1 error occurred:\n\t* {fault}\n\n")
}

fn of_group(fault: &str) -> String {
    one(&format!("Task group g validation failed: {fault}"))
}

fn of_task(fault: &str) -> String {
    of_group(&one(&format!("Task t validation failed: {fault}")))
}

fn assert_refused(job_type: &str, cases: &[(&str, Value, String)]) {
    for (pointer, value, text) in cases {
        let job = edited(small_job(job_type), &[(pointer, value.clone())]);
        assert_eq!(refusal(&job), *text, "{pointer} = {value}");
    }
}

#[test]
fn the_small_jobs_are_valid() {
    for job_type in ["service", "batch", "system"] {
        assert_eq!(refusal(&small_job(job_type)), "", "{job_type}");
    }
}

#[test]
fn faults_of_the_job_itself() {
    let priority = one("Job priority must be between [1, 100]");
    assert_refused(
        "service",
        &[
            ("/ID", json!(""), one("Missing job ID")),
            ("/ID", json!("a b"), one("Job ID contains a space")),
            ("/ID", json!("a\0"), one("Job ID contains a null character")),
            ("/Name", json!(""), one("Missing job name")),
            ("/Type", json!(""), one("Missing job type")),
            ("/Type", json!("_core"), one("job type cannot be core")),
            ("/Type", json!("nonsense"), one("Invalid job type: \"nonsense\"")),
            ("/Priority", json!(0), priority.clone()),
            ("/Priority", json!(101), priority.clone()),
            ("/Priority", json!(-1), priority),
            ("/Datacenters", json!([]), one("Missing job datacenters")),
            ("/Datacenters", json!(["dc1", ""]), one("Job datacenter must be non-empty string")),
            ("/TaskGroups", json!([]), one("Missing job task groups")),
            (
                "/TaskGroups/0/Count",
                json!(2_000_000),
                one("total count was greater than configured job_max_count: 2000000 > 100000"),
            ),
            (
                "/TaskGroups/0/Name",
                json!(""),
                "2 errors occurred:\n\t* Job task group 1 missing name\n\t* Task group  validation failed: 1 error occurred:\n\t* Missing task group name\n\n\n\n".to_owned(),
            ),
            (
                "/TaskGroups/-",
                small_job("service")["TaskGroups"][0].clone(),
                one("Job task group 2 redefines 'g' from group 1"),
            ),
        ],
    );
}

#[test]
fn faults_of_jobs_that_launch_children() {
    assert_refused(
        "service",
        &[
            (
                "/Periodic",
                json!({"Spec": "* * * * *"}),
                one("Periodic can only be used with \"batch\" scheduler"),
            ),
            (
                "/ParameterizedJob",
                json!({}),
                one("Parameterized job can only be used with \"batch\" scheduler"),
            ),
        ],
    );
    assert_refused(
        "batch",
        &[
            ("/Periodic", json!({"Spec": "nope"}), one(&one("Invalid cron spec \"nope\": missing field(s)"))),
            (
                "/Periodic",
                json!({"Spec": "* * * * *", "TimeZone": "Mars/Olympus"}),
                one(&one("Invalid time zone \"Mars/Olympus\": unknown time zone Mars/Olympus")),
            ),
            ("/Periodic", json!({"Spec": "*/15 * * * * *", "TimeZone": "America/New_York"}), String::new()),
            ("/Periodic", json!({"Spec": "nope", "TimeZone": "nowhere", "Enabled": false}), String::new()),
            (
                "/Periodic",
                json!({"Spec": "* * * * *", "SpecType": "test"}),
                one(&one("Unknown periodic specification type \"test\"")),
            ),
            ("/Periodic", json!({}), one(&one("Must specify a spec"))),
            ("/Periodic", json!({"Enabled": false}), String::new()),
            (
                "/ParameterizedJob",
                json!({"Payload": "maybe"}),
                one(&one("Unknown payload requirement: \"maybe\"")),
            ),
            (
                "/ParameterizedJob",
                json!({"MetaRequired": ["a"], "MetaOptional": ["a"]}),
                one(&one(
                    "Required and optional meta keys should be disjoint. Following keys exist in both: [a]",
                )),
            ),
        ],
    );
}

#[test]
fn jobs_of_several_regions_say_their_datacenters_there() {
    let regions = json!({"regions": [{"Name": "north", "Datacenters": ["dc1"], "Count": 2}]});
    for (multiregion, text) in [
        (regions, String::new()),
        (json!({"Regions": []}), one("Missing job datacenters")),
        (json!({"Regions": null}), one("Missing job datacenters")),
        (json!("nonsense"), one("Missing job datacenters")),
    ] {
        let edits = [("/Datacenters", json!([])), ("/Multiregion", multiregion)];
        assert_eq!(refusal(&edited(small_job("service"), &edits)), text);
    }
}

#[test]
fn several_faults_are_told_at_once() {
    let job = edited(
        small_job("nonsense"),
        &[
            ("/Priority", json!(200)),
            ("/Datacenters", json!([])),
            ("/TaskGroups/0/Name", json!("")),
            ("/TaskGroups/0/Tasks", json!([])),
        ],
    );
    let faults = validate(&register(&job).job).unwrap_err();
    assert_eq!(faults.texts().len(), 5);
    assert_eq!(
        faults.to_string(),
        "5 errors occurred:\n\t* Invalid job type: \"nonsense\"\n\t* Job priority must be between [1, 100]\n\t* Missing job datacenters\n\t* Job task group 1 missing name\n\t* Task group  validation failed: 2 errors occurred:\n\t* Missing task group name\n\t* Missing tasks for task group\n\n\n\n"
    );
}
