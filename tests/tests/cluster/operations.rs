//! What operators do with a cluster's servers while clients write: no write is refused or lost.

use std::time::Duration;

use ordu_tests::cli::ordu;
use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds, say};
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::wait_for_jobs;

use crate::membership::{Voters, wait_for_more, wait_for_voters};

/// Longest permitted gap between acknowledgements. Far above the usual gap, because both cores may be busy. The actual
/// gap is printed.
const GAP_MAX: Duration = Duration::from_secs(20);

async fn three_under_load(prefix: &str) -> (Cluster, Load, Voters) {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let voters = wait_for_voters(&mut cluster, &Voters::new()).await;
    let load = Load::start(&cluster.http_addresses(), prefix, Pressure { connections: 3, per_second: 40 });
    wait_for_more(&load).await;
    (cluster, load, voters)
}

/// Ends the load and checks that no write was refused and that every running server has all acknowledged writes.
async fn check_writes(cluster: &mut Cluster, load: Load, prefix: &str) {
    wait_for_more(&load).await;
    let record = load.finish().await;
    say(&format!(
        "{prefix}: {} writes, {} without an answer, the longest gap {:.3} s",
        record.acknowledged.len(),
        record.unanswered,
        record.longest_gap.as_secs_f32()
    ));
    assert_eq!(0, record.refused, "{}", record.latest_refusal);
    assert!(record.longest_gap < GAP_MAX, "{:?}", record.longest_gap);
    for server in cluster.servers.iter().filter(|server| server.is_started()) {
        wait_for_jobs(server.client(), prefix, &record.acknowledged).await;
    }
}

/// Removes a server as an operator does. Retries, because the leader refuses until it considers the server failed.
async fn remove_peer(cluster: &Cluster, by: usize, address: String) {
    let asked = format!("http://{}", cluster.servers[by].http);
    eventually("a server is removed", SETTLE_WITHIN, async || {
        let peer = format!("-peer-address={address}");
        let asked = asked.clone();
        let removing = tokio::task::spawn_blocking(move || {
            let arguments = ["operator", "raft", "remove-peer", &peer];
            ordu(&arguments, &[("NOMAD_ADDR", &asked)], SETTLE_WITHIN)
        });
        let printed = removing.await.expect("running a command does not panic");
        holds(printed.code == Some(0), || printed.all())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_from_three_servers_to_five_and_shrinks_to_three_while_clients_write() {
    let (mut cluster, load, of_three) = three_under_load("grown").await;
    let new = [cluster.add_server(), cluster.add_server()];
    for number in new {
        cluster.start_server(number);
    }
    let of_five = wait_for_voters(&mut cluster, &of_three).await;
    assert_eq!(5, of_five.len());
    wait_for_more(&load).await;
    for number in new {
        cluster.servers[number].stop();
        remove_peer(&cluster, 0, cluster.rpc_address(number)).await;
        wait_for_more(&load).await;
    }
    assert_eq!(of_three, wait_for_voters(&mut cluster, &of_five).await);
    check_writes(&mut cluster, load, "grown").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_replaced_by_one_of_another_name_while_clients_write() {
    let (mut cluster, load, of_three) = three_under_load("replaced").await;
    // Kill the leader, which is the harder case.
    let lost = cluster.leader().await;
    let address = cluster.rpc_address(lost);
    cluster.servers[lost].kill();
    let new = cluster.add_server();
    cluster.start_server(new);
    let voters = wait_for_voters(&mut cluster, &of_three).await;
    assert!(voters.contains_key(&cluster.rpc_address(new)) && !voters.contains_key(&address), "{voters:?}");
    check_writes(&mut cluster, load, "replaced").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_comes_back_with_an_empty_disk_and_holds_no_client_of_the_others_up() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let of_three = wait_for_voters(&mut cluster, &Voters::new()).await;
    let wiped = cluster.follower().await;
    let others: Vec<_> = (0..3).filter(|number| *number != wiped).collect();
    let addresses: Vec<_> = others.iter().map(|number| cluster.servers[*number].http).collect();
    let load = Load::start(&addresses, "wiped", Pressure { connections: 2, per_second: 40 });
    cluster.servers[wiped].kill();
    cluster.wipe_server(wiped);
    cluster.start_server(wiped);
    wait_for_voters(&mut cluster, &of_three).await;
    check_writes(&mut cluster, load, "wiped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_moves_to_another_address_with_its_data_while_clients_write() {
    let (mut cluster, load, of_three) = three_under_load("moved").await;
    let moved = cluster.leader().await;
    let before = cluster.rpc_address(moved);
    cluster.servers[moved].stop();
    wait_for_more(&load).await;
    cluster.move_server(moved);
    cluster.start_server(moved);
    let voters = wait_for_voters(&mut cluster, &of_three).await;
    assert_eq!(of_three[&before], voters[&cluster.rpc_address(moved)], "it is the same server");
    check_writes(&mut cluster, load, "moved").await;
}
