//! A server whose disk hangs gives up leadership.

use ordu_tests::harness::{Cluster, Shape};
use ordu_tests::jobs::unplaceable;
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::{health_is_well, health_tells, register, wait_for_acknowledged, wait_for_jobs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_hangs_hands_leadership_on_and_tells_it_until_it_is_well() {
    let shape =
        Shape { nodes: 0, disks: true, server_block: "sync_limit = \"1s\"".to_owned(), ..Shape::default() };
    let mut cluster = Cluster::start(shape).await;
    let leader = cluster.leader().await;
    let others: Vec<usize> = (0..cluster.servers.len()).filter(|number| *number != leader).collect();
    register(cluster.client(leader), &unplaceable("before")).await;

    cluster.disks[leader].hang(true);
    let addresses = others.iter().map(|other| cluster.servers[*other].http).collect::<Vec<_>>();
    let load = Load::start(&addresses, "meanwhile", Pressure::default());
    health_tells(cluster.client(leader), "a sync of the raft log took").await;
    let next = cluster.leader_among(&others).await;
    assert_ne!(leader, next);
    let before = load.acknowledged();
    wait_for_acknowledged(&load, before + 100).await;

    cluster.disks[leader].hang(false);
    health_is_well(cluster.client(leader)).await;
    let record = load.finish().await;
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "meanwhile", &record.acknowledged).await;
    }
    cluster.wait_for_equal_states().await;
}
