//! Full disks: which requests are refused, which still succeed, and how servers recover when there is space again.

use std::path::Path;
use std::time::Duration;

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds, may_mount, skipped};
use ordu_tests::http::{Client, Response};
use ordu_tests::jobs::{registration, unplaceable};
use ordu_tests::observe::{figure, health_is_well, health_tells, register};

/// Size of each server's disk. The constant below is the space that should stay free on it.
const DISK_MB: u64 = 300;
const FREE_MIN_MB: u64 = 80;

async fn try_to_register(client: Client, id: &str) -> Result<Response, String> {
    let client = client.with_timeout(Duration::from_secs(20));
    client.post("/v1/jobs", &registration(&unplaceable(id))).await.map_err(|error| error.to_string())
}

/// Waits until new work is refused; then checks that `id` is refused.
async fn is_refused(client: Client, id: &str) {
    let before = format!("before-{id}");
    eventually("new work is refused for want of room", SETTLE_WITHIN, async || {
        let answer = try_to_register(client, &before).await?;
        let told = answer.status == 507 && answer.text().contains("nearly full");
        holds(told, || format!("{} {}", answer.status, answer.text()))
    })
    .await;
    assert_eq!(507, try_to_register(client, id).await.expect("it is answered").status);
}

async fn is_taken(client: Client, id: &str) {
    eventually("new work is taken", SETTLE_WITHIN, async || {
        let answer = try_to_register(client, id).await?;
        holds(answer.status == 200, || format!("{} {}", answer.status, answer.text()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_disks_fill_up_new_work_waits_all_else_goes_on_and_room_brings_it_back() {
    if let Err(why) = may_mount(&std::env::temp_dir().join(format!("ordu-mount-{}", std::process::id()))) {
        return skipped(&format!("a small file system cannot be mounted here: {why}"));
    }
    let shape = Shape {
        nodes: 0,
        disk_mb: Some(DISK_MB),
        server_block: format!("disk_free_min_mb = {FREE_MIN_MB}"),
        ..Shape::default()
    };
    let mut cluster = Cluster::start(shape).await;
    let all = 0..cluster.servers.len();
    let first = cluster.leader().await;
    for id in ["stopped", "removed"] {
        register(cluster.client(first), &unplaceable(id)).await;
    }
    let reserve = cluster.data_dir(first).join("server").join("reserve");
    eventually("room is set aside", SETTLE_WITHIN, async || {
        holds(reserve.metadata().is_ok_and(|file| file.len() == (FREE_MIN_MB << 20) / 4), || {
            format!("{} is not there", reserve.display())
        })
    })
    .await;

    // One disk is low: another server leads and accepts everything.
    cluster.small_disks[first].fill_but(FREE_MIN_MB / 2);
    health_tells(cluster.client(first), "MiB should be").await;
    let clients: Vec<Client> = all.clone().map(|server| cluster.client(server)).collect();
    let next = eventually("another server leads", SETTLE_WITHIN, async || {
        for (server, client) in clients.iter().enumerate().filter(|(server, _)| *server != first) {
            if figure(*client, "ordu_raft_leads").await? > 0.0 {
                return Ok(server);
            }
        }
        Err("none of the others does".to_owned())
    })
    .await;
    is_taken(cluster.client(first), "while-one-is-low").await;

    // All disks are low: new work is refused, everything else succeeds.
    for disk in &cluster.small_disks {
        disk.fill_but(FREE_MIN_MB / 2);
    }
    for server in all.clone() {
        is_refused(cluster.client(server), "refused").await;
        let free = figure(cluster.client(server), "ordu_disk_free_bytes").await.expect("it is told");
        assert!(free < (FREE_MIN_MB << 20) as f64, "{free} bytes are free");
    }
    let client = cluster.client(first);
    assert_eq!(200, client.delete("/v1/job/stopped").await.expect("it is answered").status);
    assert_eq!(200, client.delete("/v1/job/removed?purge=true").await.expect("it is answered").status);
    let jobs = client.json("/v1/jobs").await.expect("it is answered").to_string();
    assert!(!jobs.contains("\"refused\"") && !jobs.contains("removed"), "{jobs}");

    // A server that dies now is replaced as leader, and can start without a single free block.
    cluster.servers[next].kill();
    cluster.small_disks[next].fill();
    let others: Vec<usize> = all.clone().filter(|server| *server != next).collect();
    cluster.leader_among(&others).await;
    cluster.start_server(next);
    cluster.leader().await;
    assert!(
        cluster.servers[next].log_text().contains("are given up, so that this server can start"),
        "it says nothing of the room that was set aside"
    );
    is_refused(cluster.client(next), "refused").await;

    // With space again, everything recovers without intervention.
    for disk in &cluster.small_disks {
        disk.empty();
    }
    for server in all.clone() {
        is_taken(cluster.client(server), &format!("after-{server}")).await;
        health_is_well(cluster.client(server)).await;
    }
    cluster.wait_for_equal_states().await;
    eventually("room is set aside again", SETTLE_WITHIN, async || {
        let reserve = cluster.data_dir(next).join("server").join("reserve");
        holds(Path::new(&reserve).exists(), || format!("{} is not there", reserve.display()))
    })
    .await;
}
