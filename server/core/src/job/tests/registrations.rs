//! Bodies of registrations, good and bad.

use serde_json::json;

use super::small_job;
use crate::job::{canonicalise, decode_job, decode_register, validate};

fn refusal(body: &str) -> String {
    decode_register(body.as_bytes()).unwrap_err()
}

#[test]
fn what_is_asked_for_beside_the_job_is_read() {
    let body = json!({
        "Job": small_job("batch"), "EnforceIndex": true, "JobModifyIndex": 7, "PolicyOverride": true,
        "PreserveCounts": true, "Region": "r", "Namespace": "n", "SecretID": "ignored",
    });
    let request = decode_register(body.to_string().as_bytes()).unwrap();
    assert!(request.enforce_index && request.policy_override && request.preserve_counts && !request.stop);
    assert_eq!((request.job_modify_index, request.job.id.as_str()), (7, "small"));
    assert_eq!((request.region.as_str(), request.namespace.as_str()), ("r", "n"));
}

#[test]
fn a_job_may_be_registered_as_stopped_and_its_other_facts_are_not_the_users() {
    let body = r#"{"Job": {"ID": "a", "Stop": true, "Version": "x", "Status": 7, "CreateIndex": null}}"#;
    assert!(decode_register(body.as_bytes()).unwrap().stop);
}

#[test]
fn members_are_found_in_any_case_and_a_users_own_words_are_kept() {
    let body = r#"{"job": {"id": "a", "NAME": "b", "taskGroups": [{"name": "g", "tasks": [
        {"Name": "t", "driver": "raw_exec", "CONFIG": {"Command": "x", "command": "y"},
         "env": {"name": "n", "Name": "N"}, "resources": {"cpu": 7, "memorymb": 8}}
    ]}], "meta": {"ID": "kept"}}, "enforceindex": true}"#;
    let request = decode_register(body.as_bytes()).unwrap();
    assert!(request.enforce_index);
    assert_eq!((request.job.id.as_str(), request.job.name()), ("a", "b"));
    assert_eq!(request.job.meta["ID"], "kept");
    let task = &request.job.task_groups[0].tasks[0];
    assert_eq!((task.cpu_mhz(), task.memory_mb()), (7, 8));
    assert_eq!((&task.config["Command"], &task.config["command"]), (&json!("x"), &json!("y")));
    assert_eq!((task.env["name"].as_str(), task.env["Name"].as_str()), ("n", "N"));
}

#[test]
fn null_says_nothing_wherever_it_stands() {
    let body = r#"{"Job": {"ID": "a", "AllAtOnce": null, "Datacenters": [null, "dc1"], "Meta": {"k": null},
        "ConsulToken": null, "Constraints": [null], "TaskGroups": [{"Name": null, "Tasks": [
        {"Leader": null, "ShutdownDelay": null, "Config": null, "Resources": null}]}]}, "EnforceIndex": null}"#;
    let job = decode_register(body.as_bytes()).unwrap().job;
    assert_eq!(job.datacenters, ["", "dc1"]);
    assert_eq!(job.meta["k"], "");
    assert_eq!(job.constraints.len(), 1);
    assert_eq!(job.task_groups[0].tasks[0].resources, None);
}

#[test]
fn unknown_members_are_ignored_at_any_depth() {
    let body = r#"{"Job": {"ID": "a", "Novel": {"deep": [1, {"x": null}]}, "TaskGroups": [{"Novel": 1}]}, "Novel": 2}"#;
    assert_eq!(decode_register(body.as_bytes()).unwrap().job.task_groups.len(), 1);
}

#[test]
fn bodies_that_say_nothing() {
    for (body, text) in [
        ("", "Request body is empty"),
        (" \n", "Request body is empty"),
        ("{}", "Job must be specified"),
        ("null", "Job must be specified"),
        (r#"{"Job": null}"#, "Job must be specified"),
        (r#"{"Job": {}}"#, "Job ID hasn't been provided"),
        (r#"{"Job": {"ID": null}}"#, "Job ID hasn't been provided"),
    ] {
        assert_eq!(refusal(body), text, "{body}");
    }
}

#[test]
fn bodies_that_cannot_be_read_are_told_why_and_where() {
    for (body, text) in [
        ("{nope", "invalid JSON: key must be a string at line 1 column 2"),
        ("[]", "invalid JSON: invalid type: sequence, expected an object"),
        (r#"{"Job": []}"#, "invalid JSON: Job: invalid type: sequence, expected an object"),
        (r#"{"Job": {"ID": 7}}"#, "invalid JSON: Job.ID: invalid type: integer `7`, expected a string"),
        (r#"{"job": {"id": 7}}"#, "invalid JSON: Job.ID: invalid type: integer `7`, expected a string"),
        (
            r#"{"Job": {"TaskGroups": [{}, {"Tasks": [{"KillTimeout": "5s"}]}]}}"#,
            "invalid JSON: Job.TaskGroups[1].Tasks[0].KillTimeout: invalid type: string \"5s\", expected i64",
        ),
        (
            r#"{"Job": {"Meta": {"k": 1}}}"#,
            "invalid JSON: Job.Meta.k: invalid type: integer `1`, expected a string",
        ),
        (
            r#"{"Job": {"Affinities": [{"Weight": 1000}]}}"#,
            "invalid JSON: Job.Affinities[0].Weight: invalid value: integer `1000`, expected i8",
        ),
        (r#"{"Job": {"ID": "a", "id": "b"}}"#, "invalid JSON: Job: duplicate field `ID`"),
        (r#"{"Job": {"ID": "a"}} x"#, "invalid JSON: trailing characters"),
    ] {
        let told = refusal(body);
        assert!(told.starts_with(text), "{body}: {told}");
    }
    let deep = format!(r#"{{"Job": {{"ID": "a", "Multiregion": {}"#, "[".repeat(100_000));
    assert!(refusal(&deep).contains("recursion limit exceeded"));
}

#[test]
fn a_users_file_is_read_as_a_body_is() {
    let mut job = decode_job(small_job("service").to_string().as_bytes()).unwrap();
    canonicalise(&mut job);
    assert_eq!(validate(&job), Ok(()));
    assert!(decode_job(b"{").is_err());
}
