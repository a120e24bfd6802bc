//! Recounting the job summaries gives the same summaries.

use ordu_tests::harness::{Cluster, Shape, eventually, holds};
use ordu_tests::http::Client;
use ordu_tests::jobs::{EVERY_SECOND, job, parameterized, periodic, sleeper, unplaceable, unplaceable_batch};
use ordu_tests::observe::{
    RUN_WITHIN, allocation_with_status, list, register, running_allocations, texts_of, wait_until_decided,
};
use serde_json::{Value, json};

async fn summary(client: Client, id: &str) -> Value {
    client.json(&format!("/v1/job/{id}/summary")).await.expect("the server answers")
}

/// Returns all summaries, including those of children.
async fn summaries(client: Client) -> Vec<Value> {
    let mut found = Vec::new();
    for id in texts_of(&list(client, "/v1/jobs").await.expect("the server answers"), "ID") {
        found.push(summary(client, &id).await);
    }
    found
}

/// Registers jobs that cover everything a summary counts.
async fn all_kinds_of_jobs(client: Client) {
    register(client, &sleeper("runs").job).await;
    register(client, &unplaceable("waits")).await;
    for (id, command) in [("ends", "/bin/true"), ("fails", "/bin/false"), ("gone", "/bin/true")] {
        let mut job = job(id, "batch", "dc1", command, &[]);
        job["TaskGroups"][0]["RestartPolicy"] = json!({
            "Attempts": 0, "Mode": "fail", "Interval": 60_000_000_000_u64, "Delay": 1_000_000_000
        });
        job["TaskGroups"][0]["ReschedulePolicy"] = json!({ "Attempts": 0, "Unlimited": false });
        register(client, &job).await;
    }
    let parent = job("parent", "batch", "dc1", "/bin/true", &[]);
    register(client, &parameterized(parent, &[])).await;
    register(client, &parameterized(unplaceable_batch("idle"), &[])).await;
    for parent in ["parent", "parent", "idle"] {
        let answer = client.post(&format!("/v1/job/{parent}/dispatch"), &json!({})).await;
        assert_eq!(answer.expect("the server answers").status, 200);
    }
    register(client, &periodic(unplaceable_batch("tick"), EVERY_SECOND)).await;
    eventually("a launch is made", RUN_WITHIN, async || {
        let launched = list(client, "/v1/jobs?prefix=tick/").await?.len();
        holds(launched > 0, || "there is none".to_owned())
    })
    .await;
    assert_eq!(client.delete("/v1/job/tick").await.expect("the server answers").status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_reconcile_the_summaries_at_any_server_leaves_them_as_they_were() {
    let mut cluster = Cluster::start_three().await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    all_kinds_of_jobs(client).await;
    running_allocations(client, "runs", 1).await;
    for (id, status) in [("ends", "complete"), ("fails", "failed"), ("gone", "complete")] {
        allocation_with_status(client, id, status).await;
    }
    eventually("two children have ended", RUN_WITHIN, async || {
        let found = client.json("/v1/job/parent/summary").await.map_err(|error| error.to_string())?;
        holds(found["Children"]["Dead"] == 2, || found.to_string())
    })
    .await;
    // Purge a job whose allocations still exist, and a child that its parent's summary then no longer counts.
    let child = list(client, "/v1/jobs?prefix=parent/").await.expect("the server answers");
    for id in ["gone", child[0]["ID"].as_str().unwrap_or_default()] {
        let path = format!("/v1/job/{id}?purge=true");
        assert_eq!(client.delete(&path).await.expect("the server answers").status, 200, "{id}");
    }
    wait_until_decided(client).await;
    cluster.wait_for_equal_states().await;

    let before = summaries(client).await;
    let shown = |id: &str| before.iter().find(|summary| summary["JobID"] == id).cloned().unwrap_or_default();
    assert_eq!(shown("runs")["Summary"]["group"]["Running"], 1, "{before:?}");
    assert_eq!(shown("waits")["Summary"]["group"]["Queued"], 1, "{before:?}");
    assert_eq!(shown("fails")["Summary"]["group"]["Failed"], 1, "{before:?}");
    assert_eq!(shown("idle")["Children"]["Pending"], 1, "{before:?}");
    assert_eq!(shown("parent")["Children"]["Dead"], 1, "{before:?}");

    for server in 0..cluster.servers.len() {
        let client = cluster.client(server);
        let path = "/v1/system/reconcile/summaries";
        let done = client.send("PUT", path, None).await.expect("the server answers");
        assert_eq!((done.status, done.text().as_str()), (200, ""), "at server {server}");
        assert!(done.index() > 0, "the answer tells no index");
        let after = summaries(client).await;
        for (was, is) in before.iter().zip(&after) {
            assert_eq!(is, was, "after reconciling at server {server}");
        }
        assert_eq!(after.len(), before.len());
    }
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_earlier_versions_is_forgotten_until_one_of_them_is_the_job_again() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let follower = cluster.follower().await;
    let client = cluster.client(follower);
    let mut both = unplaceable("fewer");
    let mut second = both["TaskGroups"][0].clone();
    second["Name"] = "second".into();
    both["TaskGroups"].as_array_mut().expect("groups are a list").push(second);
    register(client, &both).await;
    register(client, &unplaceable("fewer")).await;
    wait_until_decided(client).await;
    let done = client.send("PUT", "/v1/system/reconcile/summaries", None).await.expect("the server answers");
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(summary(client, "fewer").await["Summary"]["second"], Value::Null);

    let body = json!({ "JobID": "fewer", "JobVersion": 0 });
    let reverted = client.post("/v1/job/fewer/revert", &body).await.expect("the server answers");
    assert_eq!(reverted.status, 200, "{}", reverted.text());
    eventually("both groups wait for room", RUN_WITHIN, async || {
        let found = summary(client, "fewer").await;
        let waits = |group: &str| found["Summary"][group]["Queued"] == 1;
        holds(waits("group") && waits("second"), || found.to_string())
    })
    .await;
    cluster.wait_for_equal_states().await;
}
