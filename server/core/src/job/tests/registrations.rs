//! Bodies of registrations, valid and invalid.

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
    let number = "json: cannot unmarshal number into Go struct field";
    for (body, text) in [
        ("{nope", "invalid character 'n' looking for beginning of object key string".to_owned()),
        ("[]", "json: cannot unmarshal array into Go value of type api.JobRegisterRequest".to_owned()),
        ("7", "json: cannot unmarshal number into Go value of type api.JobRegisterRequest".to_owned()),
        (
            r#"{"Job": []}"#,
            "json: cannot unmarshal array into Go struct field JobRegisterRequest.Job of type api.Job".to_owned(),
        ),
        (r#"{"Job": {"ID": 7}}"#, format!("{number} Job.Job.ID of type string")),
        (r#"{"job": {"id": 7}}"#, format!("{number} Job.Job.ID of type string")),
        (r#"{"EnforceIndex": 1}"#, format!("{number} JobRegisterRequest.EnforceIndex of type bool")),
        (
            r#"{"Job": {"ID": "a", "Stop": "no"}}"#,
            "json: cannot unmarshal string into Go struct field Job.Job.Stop of type bool".to_owned(),
        ),
        (
            r#"{"Job": {"TaskGroups": {}}}"#,
            "json: cannot unmarshal object into Go struct field Job.Job.TaskGroups of type []*api.TaskGroup"
                .to_owned(),
        ),
        (
            r#"{"Job": {"TaskGroups": [{}, {"Tasks": [{"KillTimeout": "5s"}]}]}}"#,
            "json: cannot unmarshal string into Go struct field Task.Job.TaskGroups.Tasks.KillTimeout of type time.Duration, at Job.TaskGroups[1].Tasks[0].KillTimeout".to_owned(),
        ),
        (r#"{"Job": {"TaskGroups": [true]}}"#,
            "json: cannot unmarshal bool into Go struct field Job.Job.TaskGroups of type api.TaskGroup, at Job.TaskGroups[0]".to_owned()),
        (r#"{"Job": {"Meta": {"k": 1}}}"#, format!("{number} Job.Job.Meta of type string, at Job.Meta[\"k\"]")),
        (r#"{"Job": {"Priority": 1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field Job.Job.Priority of type int".to_owned()),
        (r#"{"Job": {"Priority": 9223372036854775808}}"#,
            "json: cannot unmarshal number 9223372036854775808 into Go struct field Job.Job.Priority of type int".to_owned()),
        (
            r#"{"Job": {"Affinities": [{"Weight": 1000}]}}"#,
            "json: cannot unmarshal number 1000 into Go struct field Affinity.Job.Affinities.Weight of type int8, at Job.Affinities[0].Weight".to_owned(),
        ),
        (r#"{"JobModifyIndex": -1}"#,
            "json: cannot unmarshal number -1 into Go struct field JobRegisterRequest.JobModifyIndex of type uint64".to_owned()),
        (r#"{"Job": {"ID": 7}, nope"#,
            "invalid character 'n' looking for beginning of object key string".to_owned()),
        (r#"{"Job": {"ID": "a"}} x"#, "invalid character 'x' after top-level value".to_owned()),
        (r#"{"Job": {"ID": "a", "Payload": "!!"}}"#, "illegal base64 data at input byte 0".to_owned()),
    ] {
        assert_eq!(refusal(body), text, "{body}");
    }
    let twice = refusal(r#"{"Job": {"ID": "a", "id": "b"}}"#);
    assert!(twice.starts_with("json: duplicate field `ID`") && twice.ends_with(", in Job"), "{twice}");
    let deep =
        format!(r#"{{"Job": {{"ID": "a", "Multiregion": {}{}}}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    assert!(refusal(&deep).contains("nested in more than 100 levels"));
}

#[test]
fn a_payload_with_a_job_is_a_fault_of_the_registration() {
    for (payload, faults) in [
        ("null", ""),
        (r#""""#, ""),
        (
            r#""aGVsbG8=""#,
            "1 error occurred:\n\t* job can't be submitted with a payload, only dispatched\n\n",
        ),
    ] {
        let mut job = small_job("batch");
        job["Payload"] = serde_json::from_str(payload).unwrap();
        let mut request = decode_register(json!({ "Job": job }).to_string().as_bytes()).unwrap();
        canonicalise(&mut request.job);
        let told = request.validate().err().map(|faults| faults.to_string()).unwrap_or_default();
        assert_eq!(told, faults, "{payload}");
    }
}

#[test]
fn a_users_file_is_read_as_a_body_is() {
    let mut job = decode_job(small_job("service").to_string().as_bytes()).unwrap();
    canonicalise(&mut job);
    assert_eq!(validate(&job), Ok(()));
    assert!(decode_job(b"{").is_err());
}
