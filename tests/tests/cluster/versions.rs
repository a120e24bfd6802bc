//! Versions of a job can be read, reverted to and marked stable at any server.

use std::collections::BTreeSet;

use ordu_tests::harness::{Cluster, Shape};
use ordu_tests::http::Client;
use ordu_tests::jobs::unplaceable;
use ordu_tests::observe::{register, wait_until_decided};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Registers versions 0 to 2 of a job, which differ in priority.
async fn three_versions(client: Client, id: &str) {
    for version in 0..3 {
        let mut job = unplaceable(id);
        job["Priority"] = (50 + version).into();
        register(client, &job).await;
    }
    wait_until_decided(client).await;
}

async fn versions(client: Client, id: &str) -> Vec<Value> {
    let answer = client.json(&format!("/v1/job/{id}/versions")).await.expect("the server answers");
    answer["Versions"].as_array().cloned().unwrap_or_default()
}

/// Returns version number, priority and stability of all versions, newest first.
fn members(versions: &[Value]) -> Vec<(u64, u64, bool)> {
    let number = |version: &Value, member: &str| version[member].as_u64().unwrap_or(u64::MAX);
    versions.iter().map(|v| (number(v, "Version"), number(v, "Priority"), v["Stable"] == true)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_goes_back_to_versions_marks_them_and_tells_what_they_changed() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    three_versions(client, "web").await;

    let body = json!({ "JobID": "web", "JobVersion": 1, "Stable": true });
    let marked = client.post("/v1/job/web/stable", &body).await.expect("the server answers");
    assert_eq!(marked.status, 200, "{}", marked.text());
    assert_eq!(marked.json()["Index"], marked.index());
    // The server that marked the version also returns the mark.
    let marks: Vec<bool> = members(&versions(client, "web").await).iter().map(|found| found.2).collect();
    assert_eq!(marks, [false, true, false]);

    let body = json!({ "JobID": "web", "JobVersion": 0 });
    let reverted = client.post("/v1/job/web/revert", &body).await.expect("the server answers");
    assert_eq!(reverted.status, 200, "{}", reverted.text());
    let job = client.json("/v1/job/web").await.expect("the server answers");
    assert_eq!((&job["Priority"], &job["Stable"]), (&50.into(), &false.into()));
    assert_eq!(job["JobModifyIndex"], reverted.json()["JobModifyIndex"]);
    let eval = reverted.json()["EvalID"].as_str().unwrap_or_default().to_owned();
    let eval = client.json(&format!("/v1/evaluation/{eval}")).await.expect("its evaluation is there at once");
    assert_eq!((&eval["JobID"], &eval["TriggeredBy"]), (&"web".into(), &"job-register".into()));
    wait_until_decided(client).await;

    let mut told = Vec::new();
    for server in 0..cluster.servers.len() {
        let path = "/v1/job/web/versions?diffs=true";
        let mut answer = cluster.client(server).json(path).await.expect("the server answers");
        answer["LastContact"] = Value::Null;
        told.push(answer);
    }
    assert!(told.iter().all(|answer| *answer == told[0]), "servers differ: {told:?}");
    let found = told[0]["Versions"].as_array().cloned().unwrap_or_default();
    let diffs = told[0]["Diffs"].as_array().cloned().unwrap_or_default();
    assert_eq!(diffs.len() + 1, found.len(), "{diffs:?}");
    for (diff, pair) in diffs.iter().zip(found.windows(2)) {
        let priority = diff["Fields"].as_array().into_iter().flatten().find(|f| f["Name"] == "Priority");
        let (old, new) = (pair[1]["Priority"].to_string(), pair[0]["Priority"].to_string());
        match priority {
            Some(field) => {
                assert_eq!(field["Type"], "Edited", "{field}");
                assert_eq!((&field["Old"], &field["New"]), (&old.into(), &new.into()), "{field}");
            }
            None => assert_eq!(old, new, "{diff}"),
        }
    }
    assert!(diffs.iter().any(|diff| diff["Type"] == "Edited"), "{diffs:?}");
    let plain = client.json("/v1/job/web/versions").await.expect("the server answers");
    assert_eq!(plain["Diffs"], Value::Null);
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_and_follower_refuse_in_the_same_words_and_change_nothing() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let client = cluster.client(follower);
    three_versions(client, "web").await;
    let before = client.get("/v1/job/web/versions").await.expect("the server answers").text();
    for (path, body, words) in [
        ("web/revert", json!({ "JobID": "web", "JobVersion": 2 }), "can't revert to current version"),
        ("web/revert", json!({ "JobID": "web", "JobVersion": 9 }), "at version 9 not found"),
        ("none/revert", json!({ "JobID": "none", "JobVersion": 0 }), "job \"none\" not found"),
        (
            "web/revert",
            json!({ "JobID": "web", "JobVersion": 0, "EnforcePriorVersion": 1 }),
            "Current job has version 2; enforcing version 1",
        ),
        ("web/revert", json!({ "JobID": "other", "JobVersion": 0 }), "Job ID does not match"),
        ("web/revert", json!({ "JobVersion": 0 }), "JobID must be specified"),
        ("web/stable", json!({ "JobID": "web", "JobVersion": 9, "Stable": true }), "at version 9 not found"),
        ("none/stable", json!({ "JobID": "none", "Stable": true }), "job \"none\" not found"),
        ("web/stable", json!({ "JobID": "other", "Stable": true }), "Job ID does not match"),
        ("web/dispatch", json!({}), "not a parameterized job"),
        ("none/dispatch", json!({}), "parameterized job not found"),
    ] {
        let mut answers = BTreeSet::new();
        for server in [leader, follower] {
            let refused = cluster.client(server).post(&format!("/v1/job/{path}"), &body).await;
            let refused = refused.expect("the server answers");
            answers.insert((refused.status, refused.text()));
        }
        assert_eq!(answers.len(), 1, "{path} {body}: {answers:?}");
        let Some((status, text)) = answers.pop_first() else { continue };
        assert!((400..500).contains(&status) && text.contains(words), "{path} {body}: {status} {text:?}");
        assert!(!text.contains("rpc error"), "{path} {body}: {text:?}");
    }
    assert_eq!(client.get("/v1/job/web/versions").await.expect("the server answers").text(), before);
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_go_back_from_the_same_version_one_does() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    three_versions(client, "web").await;
    let mut callers = JoinSet::new();
    for caller in 0..9 {
        let client = cluster.client(caller % cluster.servers.len());
        let body = json!({ "JobID": "web", "JobVersion": caller % 2, "EnforcePriorVersion": 2 });
        callers.spawn(async move {
            (caller, client.post("/v1/job/web/revert", &body).await.expect("the server answers"))
        });
    }
    let answers = callers.join_all().await;
    let winners: Vec<usize> =
        answers.iter().filter(|(_, answer)| answer.status == 200).map(|(caller, _)| *caller).collect();
    assert_eq!(winners.len(), 1, "{winners:?} went back");
    for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != 200) {
        assert_eq!(answer.text(), "Current job has version 3; enforcing version 2");
    }
    let found = members(&versions(client, "web").await);
    let expected = (3, 50 + winners[0] as u64 % 2, false);
    assert_eq!(found, [expected, (2, 52, false), (1, 51, false), (0, 50, false)]);
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_lives_on_after_marks_that_set_its_version_back() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    let with_priority = |priority: u64| {
        let mut job = unplaceable("web");
        job["Priority"] = priority.into();
        job
    };
    let mark = async |version: u64, stable: bool| {
        let body = json!({ "JobID": "web", "JobVersion": version, "Stable": stable });
        let marked = client.post("/v1/job/web/stable", &body).await.expect("the server answers");
        assert_eq!(marked.status, 200, "{}", marked.text());
    };
    for version in 0..12 {
        register(client, &with_priority(50 + version)).await;
        if version == 4 {
            mark(4, true).await;
        }
    }
    // These marks make the oldest kept version current again, so later registrations get numbers below existing ones.
    mark(4, false).await;
    mark(4, true).await;
    for priority in [80, 81, 82] {
        register(client, &with_priority(priority)).await;
        let job = client.json("/v1/job/web").await.expect("the job can be read");
        assert_eq!(job["Priority"], priority);
        let newest = versions(client, "web").await;
        assert!(newest.iter().any(|version| version["Version"] == job["Version"]), "{job} is no version");
        assert!(newest.iter().any(|version| version["Version"] == 4 && version["Stable"] == true));
    }
    let stopped = client.delete("/v1/job/web").await.expect("the server answers");
    assert_eq!(stopped.status, 200, "{}", stopped.text());
    wait_until_decided(client).await;
    cluster.wait_for_equal_states().await;
}
