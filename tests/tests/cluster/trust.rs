//! Servers that share a key form a cluster; servers without the key cannot join it.

use std::collections::BTreeSet;

use http::uri::PathAndQuery;
use ordu_proto::raft::raft_server;
use ordu_proto::server::{GreetReply, GreetRequest, server_server};
use ordu_tests::harness::{Agent, Cluster, Root, SETTLE_WITHIN, Shape, eventually_now, holds};
use ordu_tests::jobs::unplaceable;
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::{register, wait_for_acknowledged, wait_for_jobs};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::membership::{Voters, wait_for_voters};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMA==";

fn encrypt(key: &str) -> String {
    format!("encrypt = \"{key}\"")
}

fn shape(server_block: String, nodes: usize) -> Shape {
    Shape { server_block, nodes, ..Shape::default() }
}

async fn wait_for_words(agent: &Agent, words: &str) {
    eventually_now("it is said", SETTLE_WITHIN, || {
        let log = agent.log_text();
        holds(log.contains(words), || format!("{} does not say {words:?}:\n{log}", agent.name))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_another_key_or_none_becomes_no_part_of_a_cluster_and_both_sides_say_why() {
    let mut cluster = Cluster::start(shape(encrypt(KEY), 1)).await;
    let voters = wait_for_voters(&mut cluster, &Voters::new()).await;
    register(cluster.client(0), &unplaceable("before")).await;
    let joined: Vec<String> = (0..3).map(|server| cluster.rpc_address(server)).collect();
    let join = format!("bootstrap_expect = 3\n  retry_join = {joined:?}\n  ");
    let strangers = [
        (encrypt(OTHER_KEY), "the server there has another key", "has another key in `server { encrypt }`"),
        (String::new(), "asks for the key of its cluster", "proves no key of `server { encrypt }`"),
    ];
    for (number, (block, said_there, said_here)) in strangers.iter().enumerate() {
        let name = format!("stranger-{number}");
        let (mut stranger, _) =
            Agent::lone_server(cluster.root(), &name, "127.0.0.1", &format!("{join}{block}"));
        stranger.start();
        wait_for_words(&stranger, said_there).await;
        let told = "a server that this one is told to join cannot be reached: ";
        eventually_now("each address is told with the cause", SETTLE_WITHIN, || {
            let log = stranger.log_text();
            let is_told = |address: &String| {
                let words = [address.as_str(), told, said_there];
                log.lines().any(|line| words.iter().all(|word| line.contains(word)))
            };
            holds(joined.iter().all(is_told), || log.clone())
        })
        .await;
        for server in &cluster.servers {
            wait_for_words(server, said_here).await;
        }
        register(cluster.client(number), &unplaceable(&format!("beside-{number}"))).await;
    }
    for number in 0..3 {
        let raft = cluster.client(number).json("/v1/operator/raft/configuration").await;
        let raft = raft.expect("the server answers");
        let ids: BTreeSet<&str> = raft["Servers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|server| server["ID"].as_str())
            .collect();
        assert_eq!(voters.values().map(String::as_str).collect::<BTreeSet<_>>(), ids, "{raft}");
        let told = cluster.client(number).get("/v1/agent/self").await.expect("the server answers").text();
        let log = cluster.servers[number].log_text();
        assert!(!told.contains(KEY) && !log.contains(KEY), "the key is told: {told}\n{log}");
        assert!(log.contains("only servers that prove the key of `server { encrypt }` are let in"), "{log}");
    }
    cluster.wait_for_nodes(1).await;
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_key_and_one_without_do_not_form_a_cluster_and_both_say_why() {
    let root = Root::new();
    let start = |name: &str, block: &str| Agent::lone_server(&root, name, "127.0.0.1", block);
    let (mut without, rpc) = start("without", "bootstrap_expect = 2");
    let join = format!("bootstrap_expect = 2\n  retry_join = [\"127.0.0.1:{rpc}\"]\n  {}", encrypt(KEY));
    let (mut with, _) = start("with", &join);
    without.start();
    with.start();
    wait_for_words(&without, "whoever reaches the RPC port may join this cluster").await;
    wait_for_words(&with, "the server there has no key in `server { encrypt }`, and this one has").await;
    let asked = "asks for the key of its cluster (`server { encrypt }`), and this one has none";
    wait_for_words(&without, asked).await;
    for server in [&with, &without] {
        wait_for_words(server, "waiting for the cluster").await;
        assert!(!server.log_text().contains("settling on them"), "{}", server.log_text());
    }
}

/// Calls a method with an empty message; returns the error.
async fn call(address: &str, service: &str, method: &str) -> Status {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.expect("connections are taken"));
    client.ready().await.expect("it is connected");
    let path = PathAndQuery::try_from(format!("/{service}/{method}")).expect("a path");
    let codec: ProstCodec<GreetRequest, GreetReply> = ProstCodec::default();
    let answered = client.unary(Request::new(GreetRequest::default()), path, codec).await;
    answered.expect_err("a stranger is answered")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_proves_no_key_is_refused_whatever_it_asks_as_a_server() {
    let cluster = Cluster::start(Shape { servers: 1, ..shape(encrypt(KEY), 0) }).await;
    let mut asked = 0;
    for (service, file) in [(raft_server::SERVICE_NAME, "raft"), (server_server::SERVICE_NAME, "server")] {
        let text = std::fs::read_to_string(format!("../proto/proto/ordu/{file}.proto")).expect("it is there");
        let methods = text.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
        for method in methods {
            let status = call(&cluster.rpc_address(0), service, method).await;
            assert_eq!(Code::Unauthenticated, status.code(), "{method}: {status}");
            assert!(status.message().contains("the key of its cluster"), "{method}: {status}");
            asked += 1;
        }
    }
    assert!(asked >= 14, "{asked} methods were found");
    register(cluster.client(0), &unplaceable("after")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_brought_into_a_running_cluster_and_changed_while_writes_go_on() {
    let mut cluster = Cluster::start(shape(String::new(), 0)).await;
    let load = Load::start(&cluster.http_addresses(), "rolled", Pressure { connections: 2, per_second: 40 });
    let lax = |key: &str| format!("{}\n  encrypt_verify = false", encrypt(key));
    for block in [lax(KEY), encrypt(KEY), lax(KEY), lax(OTHER_KEY), encrypt(OTHER_KEY)] {
        cluster.set_server_block(block);
        for number in 0..cluster.servers.len() {
            cluster.servers[number].stop();
            cluster.start_server(number);
            wait_for_voters(&mut cluster, &Voters::new()).await;
            cluster.leader().await;
            wait_for_acknowledged(&load, load.acknowledged() + 10).await;
        }
    }
    let record = load.finish().await;
    for number in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(number), "rolled", &record.acknowledged).await;
        let log = cluster.servers[number].log_text();
        assert!(log.contains("`encrypt_verify` is false, so that servers without the key"), "{log}");
        assert!(log.contains("let in, since `encrypt_verify` is false"), "{log}");
    }
    cluster.wait_for_equal_states().await;
}
