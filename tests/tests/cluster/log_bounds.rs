//! The raft log is bounded in bytes whatever the size of its entries, and keeps the entries that a follower needs.

use std::time::Duration;

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds};
use ordu_tests::jobs::unplaceable;
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::{
    applied_index, figure, register, wait_for_acknowledged, wait_for_jobs, wait_until_purged,
};

const MIB: f64 = 1024.0 * 1024.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_entries_are_purged_by_their_bytes_long_before_their_count() {
    let bounds = "raft {\n    snapshot_mb = 16\n    logs_kept_mb = 16\n  }".to_owned();
    let mut cluster = Cluster::start(Shape { nodes: 0, server_block: bounds, ..Shape::default() }).await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader).with_timeout(Duration::from_secs(30));
    // 120 MB in 80 entries. The limit on the number of entries alone would keep all of them.
    for number in 0..80 {
        let mut job = unplaceable(&format!("large-{number}"));
        job["Meta"] = serde_json::json!({"much": "x".repeat(1_500_000)});
        register(client, &job).await;
    }
    for server in 0..cluster.servers.len() {
        let client = cluster.client(server);
        eventually("the log has what it may keep", SETTLE_WITHIN, async || {
            let bytes = figure(client, "ordu_raft_log_bytes").await?;
            holds(bytes < 34.0 * MIB, || format!("it has {} MiB", bytes / MIB))
        })
        .await;
    }
    cluster.servers[leader].kill();
    cluster.start_server(leader);
    cluster.leader().await;
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_needs_a_snapshot_catches_up_while_many_more_are_taken() {
    // A snapshot every 50 entries, and hardly any entries kept: faster than any follower can receive one.
    let bounds = "raft {\n    snapshot_logs = 50\n    logs_kept = 10\n  }".to_owned();
    let mut cluster = Cluster::start(Shape { nodes: 0, server_block: bounds, ..Shape::default() }).await;
    let away = cluster.follower().await;
    let leader = cluster.leader().await;
    cluster.servers[away].kill();
    let pressure = Pressure { connections: 8, per_second: 100 };
    let load = Load::start(&[cluster.servers[leader].http], "away", pressure);
    wait_for_acknowledged(&load, 2_000).await;
    wait_until_purged(cluster.client(leader)).await;
    let log_before = cluster.servers[away].log_text().len();
    cluster.start_server(away);
    let (behind, ahead) = (cluster.client(away), cluster.client(leader));
    eventually("it has caught up while the load goes on", SETTLE_WITHIN, async || {
        let (has, there_are) = (applied_index(behind).await?, applied_index(ahead).await?);
        holds(has > 0.0 && there_are - has < 100.0, || format!("it has applied {has} of {there_are}"))
    })
    .await;
    let before = load.acknowledged();
    wait_for_acknowledged(&load, before + 500).await;
    let record = load.finish().await;
    wait_for_jobs(cluster.client(away), "away", &record.acknowledged).await;
    cluster.wait_for_equal_states().await;
    let said = cluster.servers[away].log_text()[log_before..].to_owned();
    let received = said.matches("receiving a snapshot from the leader").count();
    assert!((1..=3).contains(&received), "it took over {received} snapshots:\n{said}");
}
