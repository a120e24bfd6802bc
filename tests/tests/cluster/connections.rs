//! A server that has no free connections left.

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds};
use ordu_tests::http::Client;
use ordu_tests::jobs::unplaceable;
use ordu_tests::observe::{register, wait_for_figure};
use tokio::net::TcpStream;

/// Limit of open files. A server reserves half of it for connections to its API.
const OPEN_FILES: u32 = 512;
const IDLE: usize = 300;

/// Waits until a request is answered with this status and these words.
async fn answers(client: Client, path: &str, status: u16, words: &str) {
    eventually(&format!("{path} is answered with {status}"), SETTLE_WITHIN, async || {
        let answer = client.get(path).await.map_err(|error| error.to_string())?;
        let text = answer.text();
        holds(answer.status == status && text.contains(words), || format!("{} {text}", answer.status))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_connections_are_taken_says_so_answers_its_operator_and_keeps_its_peers() {
    let shape = Shape { nodes: 0, open_files: Some(OPEN_FILES), ..Shape::default() };
    let mut cluster = Cluster::start(shape).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let client = cluster.client(leader);
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(TcpStream::connect(cluster.servers[leader].http).await.expect("the system takes it"));
    }
    answers(client, "/v1/jobs", 503, "all connections that this server holds open at one time are taken")
        .await;
    answers(client, "/v1/agent/health", 200, "ok").await;
    wait_for_figure(client, r#"ordu_connections_refused_total{listener="http"}"#, |told| told >= 1.0).await;
    wait_for_figure(client, r#"ordu_connections{listener="http"}"#, |told| told >= 200.0).await;
    answers(client, "/v1/operator/raft/configuration", 200, "Servers").await;
    // Requests forwarded by another server are still served by the leader.
    register(cluster.client(follower), &unplaceable("meanwhile")).await;
    assert_eq!(leader, cluster.leader().await);
    drop(idle);
    answers(client, "/v1/jobs", 200, "meanwhile").await;
}
