//! Creates the golden data directories of the current release: kills real processes in the middle of their work and
//! packs their files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{MANIFEST, NODE, SERVER, pack, position_and_state_hash};
use crate::damage::find;
use crate::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, eventually_now, holds};
use crate::http::Client;
use crate::jobs::{job, parameterized, periodic, unplaceable, unplaceable_batch};
use crate::observe::{
    RUN_WITHIN, allocation_with_status, job_ids, list, register, running_allocations, state_hash,
    wait_until_decided,
};

/// Thresholds small enough that the log has entries both before and after the snapshot.
const RAFT: &str = "raft {\n    snapshot_logs = 20\n    logs_kept = 10\n  }";

/// A duration in seconds that no other process on the machine is likely to sleep for.
const SLEEPS_FOR: &str = "86417.25";

/// Recreates the directory `into`, named after the release. Returns its manifest.
pub async fn make(into: &Path) -> Value {
    let shape = Shape { servers: 1, server_block: RAFT.to_owned(), ..Shape::default() };
    let mut cluster = Cluster::start(shape).await;
    let client = cluster.client(0);
    let [finished, running] = fill(client).await;
    let data_dir = cluster.data_dir(0);
    eventually_now("the server has taken a snapshot", SETTLE_WITHIN, || {
        let snapshot = find(&data_dir, "server/tables/snapshot-*/ordu-snapshot");
        holds(snapshot.is_some(), || "there is none yet".to_owned())
    })
    .await;
    register(client, &unplaceable("behind-the-snapshot")).await;
    wait_until_decided(client).await;

    // Kill, so that state in memory is lost. The node's task keeps running until the files are packed.
    cluster.nodes[0].kill();
    let jobs: Vec<String> = job_ids(client, "").await.expect("the server answers").into_iter().collect();
    let told = state_hash(client).await;
    cluster.servers[0].kill();
    let [applied, last, hash] = position_and_state_hash(&data_dir);
    assert_ne!(applied, last, "the log has entries that the tables on the disk have not");
    let is_told = told["Hash"] == *hash && last.starts_with(&format!("{} of term", told["Index"]));
    assert!(is_told, "its directory has {hash} after {last}, and the server told {told}: make it again");

    let manifest = json!({
        "LastLogEntry": last,
        "StateHash": hash,
        "Jobs": jobs,
        "Node": finished["NodeID"],
        "FinishedAllocation": finished["ID"],
        "RunningAllocation": running["ID"],
        "RunningCommand": format!("/bin/sleep {SLEEPS_FOR}"),
    });
    fs::create_dir_all(into).expect("the directory can be written to");
    pack(&data_dir, &into.join(SERVER));
    pack(&cluster.root().path().join(&cluster.nodes[0].name), &into.join(NODE));
    let text = serde_json::to_string_pretty(&manifest).expect("a value can be written");
    fs::write(into.join(MANIFEST), text + "\n").expect("the directory can be written to");
    manifest
}

/// Writes rows of every kind. Returns the finished and the running allocation.
async fn fill(client: Client) -> [Value; 2] {
    for priority in 50..53 {
        let mut job = unplaceable("versions");
        job["Priority"] = priority.into();
        register(client, &job).await;
    }
    register(client, &parameterized(unplaceable_batch("parent"), &[])).await;
    post(client, "/v1/job/parent/dispatch", &json!({ "IdempotencyToken": "token" })).await;
    // The 30th of February: the schedule never fires by itself.
    register(client, &periodic(unplaceable_batch("periodic"), "0 0 30 2 *")).await;
    post(client, "/v1/job/periodic/periodic/force", &json!({})).await;
    register(client, &job("finished", "batch", "dc1", "/bin/true", &[])).await;
    let mut service = job("running", "service", "dc1", "/bin/sleep", &[SLEEPS_FOR]);
    service["Update"] =
        json!({ "MaxParallel": 1, "HealthCheck": "task_states", "MinHealthyTime": 1_000_000_000 });
    let restarts = json!({
        "Attempts": 10, "Mode": "delay", "Interval": 60_000_000_000_u64, "Delay": 1_000_000_000,
    });
    service["TaskGroups"][0]["RestartPolicy"] = restarts;
    register(client, &service).await;
    eventually("there is a deployment", RUN_WITHIN, async || {
        let deployments = list(client, "/v1/job/running/deployments").await?;
        holds(deployments.len() == 1, || format!("{deployments:?}"))
    })
    .await;
    let finished = allocation_with_status(client, "finished", "complete").await;
    let running = running_allocations(client, "running", 1).await.remove(0);
    wait_until_decided(client).await;
    [finished, running]
}

async fn post(client: Client, path: &str, body: &Value) {
    let answer = client.post(path, body).await.expect("the server answers");
    assert_eq!(200, answer.status, "{path}: {}", answer.text());
}
