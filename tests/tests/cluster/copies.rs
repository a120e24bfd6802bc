//! Data directories that were copied and started elsewhere, or restored from an old copy.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, eventually_now, holds};
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::wait_for_jobs;

use crate::membership::{Voters, wait_for_voters};

fn without_nodes() -> Shape {
    Shape { nodes: 0, ..Shape::default() }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").args([from, to]).status().expect("cp can be run");
    assert!(copied.success(), "{} cannot be copied", from.display());
}

/// Waits until a server has ended by itself; returns its log from offset `begin` on.
pub(crate) async fn wait_for_end(cluster: &mut Cluster, server: usize, begin: usize) -> String {
    let agent = &mut cluster.servers[server];
    eventually_now("the server ends by itself", SETTLE_WITHIN, || {
        holds(agent.ended_by_itself().is_err(), || agent.log_text()[begin..].to_owned())
    })
    .await;
    agent.kill();
    agent.log_text()[begin..].to_owned()
}

pub(crate) async fn load_of(
    cluster: &Cluster,
    servers: &[usize],
    prefix: &str,
    count: usize,
) -> BTreeSet<String> {
    let addresses: Vec<_> = servers.iter().map(|server| cluster.servers[*server].http).collect();
    let load = Load::start(&addresses, prefix, Pressure { connections: 2, per_second: 100 });
    eventually_now("registrations are acknowledged", SETTLE_WITHIN, || {
        holds(load.acknowledged() >= count, || format!("{} are", load.acknowledged()))
    })
    .await;
    load.finish().await.acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_data_directory_is_refused_and_the_original_goes_on() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let before = load_of(&cluster, &[0, 1, 2], "before", 50).await;
    let original = cluster.follower().await;
    let from = cluster.data_dir(original);
    // Servers started within the same second have no defined order of age.
    let began = Instant::now();
    eventually_now("the original is the elder", SETTLE_WITHIN, || {
        holds(began.elapsed() > Duration::from_secs(2), || "not yet".to_owned())
    })
    .await;

    let number = cluster.add_server();
    let to = cluster.data_dir(number);
    // Suspend the server, so that the copy is consistent like a disk snapshot.
    cluster.servers[original].pause();
    copy(&from, &to);
    cluster.servers[original].resume();
    let load =
        Load::start(&cluster.http_addresses()[..3], "during", Pressure { connections: 2, per_second: 50 });
    let addresses = [original, number].map(|server| cluster.rpc_address(server));
    cluster.start_server(number);
    let said = wait_for_end(&mut cluster, number, 0).await;
    let last = said.lines().rfind(|line| line.starts_with("Error:")).unwrap_or_default();
    assert!(addresses.iter().all(|address| last.contains(address)), "{addresses:?} in {said}");

    eventually_now("the original tells of it", SETTLE_WITHIN, || {
        let log = cluster.servers[original].log_text();
        let told = log
            .lines()
            .any(|line| line.contains("ERROR") && addresses.iter().all(|address| line.contains(address)));
        holds(told, || log)
    })
    .await;
    let acknowledged = load.acknowledged();
    eventually_now("writes go on", SETTLE_WITHIN, || {
        holds(load.acknowledged() > acknowledged + 20, || format!("{} acknowledged", load.acknowledged()))
    })
    .await;
    let during = load.finish().await.acknowledged;
    drop(cluster.servers.pop());
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "before", &before).await;
        wait_for_jobs(cluster.client(server), "during", &during).await;
    }
    cluster.wait_for_equal_states().await;
}

/// Returns a stopped follower whose data directory was reset to a state before some of its acknowledged writes, and
/// those writes.
async fn gone_back(cluster: &mut Cluster) -> (usize, BTreeSet<String>) {
    load_of(cluster, &[0, 1, 2], "early", 20).await;
    let follower = cluster.follower().await;
    let (data, copied) = (cluster.data_dir(follower), cluster.root().path().join("copied"));
    cluster.servers[follower].stop();
    copy(&data, &copied);
    cluster.start_server(follower);
    cluster.leader().await;
    let late = load_of(cluster, &[0, 1, 2], "late", 50).await;
    cluster.wait_for_equal_states().await;
    cluster.servers[follower].stop();
    std::fs::rename(&data, cluster.root().path().join("newest"))
        .expect("the test's folder can be written to");
    copy(&copied, &data);
    (follower, late)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_log_went_back_says_so_and_joins_anew_by_itself() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let before = wait_for_voters(&mut cluster, &Voters::new()).await;
    let (follower, late) = gone_back(&mut cluster).await;
    let begin = cluster.servers[follower].log_text().len();
    cluster.start_server(follower);
    let after = wait_for_voters(&mut cluster, &before).await;
    let stayed = after.iter().filter(|(address, id)| before.get(*address) == Some(*id));
    assert_eq!(2, stayed.count(), "{before:?}, then {after:?}");
    let said = cluster.servers[follower].log_text()[begin..].to_owned();
    assert!(said.contains("this server's log went back"), "{said}");
    let aside = std::fs::read_dir(cluster.data_dir(follower).join("server")).expect("it has its directory");
    let aside: Vec<_> =
        aside.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("aside-")).collect();
    assert_eq!(1, aside.len(), "what it had is set aside: {aside:?}");
    assert!(aside[0].path().join("identity").is_file() && aside[0].path().join("raft-log").is_dir());
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "late", &late).await;
    }
    cluster.wait_for_equal_states().await;

    // After a restart it keeps its new identity.
    cluster.servers[follower].stop();
    cluster.start_server(follower);
    cluster.leader().await;
    assert_eq!(after, wait_for_voters(&mut cluster, &before).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_log_went_back_ends_while_no_quorum_of_the_others_is_there() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let before = wait_for_voters(&mut cluster, &Voters::new()).await;
    let (follower, late) = gone_back(&mut cluster).await;
    let third = cluster.follower().await;
    cluster.servers[third].kill();
    let begin = cluster.servers[follower].log_text().len();
    cluster.start_server(follower);
    let said = wait_for_end(&mut cluster, follower, begin).await;
    assert!(said.contains("this server's log went back"), "{said}");
    assert!(said.contains("No quorum of the others has confirmed"), "{said}");

    cluster.start_server(third);
    cluster.leader().await;
    cluster.start_server(follower);
    wait_for_voters(&mut cluster, &before).await;
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "late", &late).await;
    }
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hears_only_while_it_runs_that_its_log_went_back_is_unwell_until_a_quorum_confirms() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let before = wait_for_voters(&mut cluster, &Voters::new()).await;
    let (follower, late) = gone_back(&mut cluster).await;
    let leader = cluster.leader().await;
    let third = cluster.follower().await;
    for server in [leader, third] {
        cluster.servers[server].pause();
    }
    let begin = cluster.servers[follower].log_text().len();
    cluster.start_server(follower);
    eventually_now("the server has found no one to ask and runs", SETTLE_WITHIN, || {
        let log = cluster.servers[follower].log_text()[begin..].to_owned();
        holds(log.contains("this server is up"), || log)
    })
    .await;
    // Now one server knows that the log went back, but without this server there is no quorum.
    cluster.servers[leader].resume();
    let client = cluster.client(follower);
    eventually("it is unwell", SETTLE_WITHIN, async || {
        let health = client.get("/v1/agent/health?type=server").await.map_err(|error| error.to_string())?;
        let text = health.text();
        holds(health.status == 500 && text.contains("this server's log went back"), || text)
    })
    .await;
    cluster.servers[third].resume();
    wait_for_voters(&mut cluster, &before).await;
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "late", &late).await;
    }
    cluster.wait_for_equal_states().await;
}
