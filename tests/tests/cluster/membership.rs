//! Servers find each other, and find each other again.

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds};
use ordu_tests::jobs::unplaceable;
use ordu_tests::observe::{register, wait_for_jobs};

fn without_nodes() -> Shape {
    Shape { nodes: 0, ..Shape::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_name_the_same_three_peers_and_one_leader() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let leader = cluster.leader().await;
    let expected = cluster.client(leader).json("/v1/status/peers").await.expect("the leader answers");
    assert_eq!(expected.as_array().map(Vec::len), Some(3), "{expected}");
    for server in 0..cluster.servers.len() {
        let client = cluster.client(server);
        eventually("every server names the same peers", SETTLE_WITHIN, async || {
            let mut peers = client.json("/v1/status/peers").await.map_err(|error| error.to_string())?;
            let mut expected = expected.clone();
            for list in [&mut peers, &mut expected].into_iter().filter_map(|list| list.as_array_mut()) {
                list.sort_by_key(|peer| peer.to_string());
            }
            holds(peers == expected, || format!("{peers}, not {expected}"))
        })
        .await;
        let raft = client.json("/v1/operator/raft/configuration").await.expect("the server answers");
        let servers: Vec<_> = raft["Servers"].as_array().into_iter().flatten().collect();
        assert_eq!(servers.len(), 3, "{raft}");
        assert!(servers.iter().all(|server| server["Voter"] == true), "{raft}");
        assert_eq!(servers.iter().filter(|server| server["Leader"] == true).count(), 1, "{raft}");
        let members = client.json("/v1/agent/members").await.expect("the server answers");
        let alive =
            members["Members"].as_array().into_iter().flatten().filter(|m| m["Status"] == "alive").count();
        assert_eq!(alive, 3, "{members}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_at_another_address_is_a_member_again() {
    let mut cluster = Cluster::start(without_nodes()).await;
    // The leader moves, so that both it and its followers have to learn something.
    let moved = cluster.leader().await;
    register(cluster.client(moved), &unplaceable("before")).await;
    cluster.servers[moved].kill();
    cluster.leader().await;
    cluster.move_server(moved);
    cluster.start_server(moved);
    let leader = cluster.leader().await;
    register(cluster.client(leader), &unplaceable("after")).await;
    let both = ["after", "before"].map(str::to_owned).into();
    wait_for_jobs(cluster.client(moved), "", &both).await;
    cluster.wait_for_equal_states().await;

    // It is a full member there: with another one gone, it is needed for a quorum.
    let gone = (0..cluster.servers.len()).find(|number| *number != moved).unwrap_or(0);
    cluster.servers[gone].kill();
    let leader = cluster.leader().await;
    register(cluster.client(leader), &unplaceable("by-two")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_all_come_back_at_other_addresses_are_one_cluster_again() {
    let mut cluster = Cluster::start(without_nodes()).await;
    register(cluster.client(0), &unplaceable("before")).await;
    for server in &mut cluster.servers {
        server.kill();
    }
    for number in 0..cluster.servers.len() {
        cluster.move_server(number);
    }
    for number in 0..cluster.servers.len() {
        cluster.start_server(number);
    }
    let leader = cluster.leader().await;
    register(cluster.client(leader), &unplaceable("after")).await;
    let both = ["after", "before"].map(str::to_owned).into();
    for number in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(number), "", &both).await;
    }
    cluster.wait_for_equal_states().await;
}
