//! Acknowledged writes survive the death of any server, and tasks are not affected.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ordu_tests::harness::{Cluster, Shape, say};
use ordu_tests::jobs::{sleeper, unplaceable};
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::{Keeper, register, wait_for_acknowledged, wait_for_jobs, wait_until_purged};

/// Number of times to kill the leader: `ORDU_KILL_ROUNDS`, by default 20.
fn kill_rounds() -> usize {
    std::env::var("ORDU_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_registrations_survive_the_leaders_death_under_load() {
    let mut cluster = Cluster::start_three().await;
    let follower = cluster.follower().await;
    let keeper = Keeper::start(cluster.client(follower), sleeper("keeper")).await;
    let mut all = BTreeSet::new();
    for round in 0..kill_rounds() {
        let leader = cluster.leader().await;
        let prefix = format!("round-{round}");
        let load = Load::start(&cluster.http_addresses(), &prefix, Pressure::default());
        wait_for_acknowledged(&load, 50).await;
        cluster.servers[leader].kill();
        let before = load.acknowledged();
        // The two remaining servers continue to acknowledge the load.
        wait_for_acknowledged(&load, before + 50).await;
        let successor = cluster.leader().await;
        assert_ne!(successor, leader, "a dead server leads");
        cluster.start_server(leader);
        let record = load.finish().await;
        for server in 0..cluster.servers.len() {
            wait_for_jobs(cluster.client(server), &prefix, &record.acknowledged).await;
        }
        println!(
            "round {round}: server-{} killed, {} acknowledged, {} refused, {} unanswered",
            leader + 1,
            record.acknowledged.len(),
            record.refused,
            record.unanswered
        );
        all.extend(record.acknowledged);
    }
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "round-", &all).await;
    }
    cluster.wait_for_equal_states().await;
    let leader = cluster.leader().await;
    keeper.check_never_restarted(cluster.client(leader)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_registrations_survive_the_death_of_all_servers_at_once() {
    let mut cluster = Cluster::start_three().await;
    let follower = cluster.follower().await;
    let keeper = Keeper::start(cluster.client(follower), sleeper("keeper")).await;
    let load = Load::start(&cluster.http_addresses(), "all", Pressure::default());
    wait_for_acknowledged(&load, 300).await;
    for server in &mut cluster.servers {
        server.kill();
    }
    let record = load.finish().await;
    for server in 0..cluster.servers.len() {
        cluster.start_server(server);
    }
    let leader = cluster.leader().await;
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "all", &record.acknowledged).await;
    }
    cluster.wait_for_equal_states().await;
    cluster.wait_for_nodes(1).await;
    keeper.check_never_restarted(cluster.client(leader)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_too_long_for_the_log_catches_up_by_a_snapshot() {
    let few_logs = "raft {\n    snapshot_logs = 200\n    logs_kept = 100\n  }".to_owned();
    let mut cluster = Cluster::start(Shape { server_block: few_logs, ..Shape::default() }).await;
    let away = cluster.follower().await;
    let keeper = Keeper::start(cluster.client(away), sleeper("keeper")).await;
    cluster.servers[away].kill();
    let log_before = cluster.servers[away].log_text().len();

    let leader = cluster.leader().await;
    let pressure = Pressure { connections: 8, per_second: 400 };
    let load = Load::start(&[cluster.servers[leader].http], "away", pressure);
    wait_for_acknowledged(&load, 3_000).await;
    wait_until_purged(cluster.client(leader)).await;
    let record = load.finish().await;

    cluster.start_server(away);
    wait_for_jobs(cluster.client(away), "away", &record.acknowledged).await;
    cluster.wait_for_equal_states().await;
    keeper.check_never_restarted(cluster.client(away)).await;

    // Its log must show that it caught up by a snapshot, not by log entries.
    let said = cluster.servers[away].log_text()[log_before..].to_lowercase();
    let received = said.lines().any(|line| line.contains("receiving a snapshot from the leader"));
    assert!(received, "the follower says nothing of receiving a snapshot:\n{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_asked_to_end_hands_over_and_loses_nothing() {
    let mut cluster = Cluster::start_three().await;
    let leader = cluster.leader().await;
    let load = Load::start(&cluster.http_addresses(), "polite", Pressure::default());
    wait_for_acknowledged(&load, 100).await;
    cluster.servers[leader].stop();
    let before = load.acknowledged();
    wait_for_acknowledged(&load, before + 100).await;
    let record = load.finish().await;
    cluster.start_server(leader);
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "polite", &record.acknowledged).await;
    }
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hangs_is_replaced_and_follows_when_it_goes_on() {
    let mut cluster = Cluster::start_three().await;
    let leader = cluster.leader().await;
    let others: Vec<usize> = (0..cluster.servers.len()).filter(|number| *number != leader).collect();
    cluster.servers[leader].pause();
    // The follower does not know yet that the leader hangs; it repeats the request to the next leader.
    let asked = Instant::now();
    register(cluster.client(others[0]), &unplaceable("asked-in-vain")).await;
    say(&format!(
        "what was asked of a leader that hangs was answered after {} ms",
        asked.elapsed().as_millis()
    ));
    let successor = cluster.leader_among(&others).await;
    assert_ne!(successor, leader, "a server that hangs leads");
    let load = Load::start(&[cluster.servers[successor].http], "hung", Pressure::default());
    wait_for_acknowledged(&load, 100).await;
    let record = load.finish().await;
    cluster.servers[leader].resume();
    let behind = cluster.client(leader).with_timeout(Duration::from_secs(30));
    wait_for_jobs(behind, "hung", &record.acknowledged).await;
    wait_for_jobs(behind, "asked-in-vain", &["asked-in-vain".to_owned()].into()).await;
    cluster.wait_for_equal_states().await;
}
