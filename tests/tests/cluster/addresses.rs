//! The address that a server advertises on a machine whose addresses are added and removed.

use std::time::Duration;

use ordu_tests::harness::{Agent, Network, Root, SETTLE_WITHIN, eventually, eventually_now, holds, skipped};

/// Far above the interval of ten seconds at which a server checks its address.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

async fn wait_for_line(agent: &Agent, words: &[&str]) {
    eventually_now("the server says it", NOTICED_WITHIN, || {
        let log = agent.log_text();
        holds(log.lines().any(|line| words.iter().all(|word| line.contains(word))), || {
            format!("no line with {words:?}:\n{log}")
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_waits_for_an_address_that_others_reach_and_tells_when_it_is_gone() {
    let root = Root::new();
    let network = match Network::new(root.path()) {
        Ok(network) => network,
        Err(why) => return skipped(&why),
    };
    let (mut server, rpc) = Agent::lone_server(&root, "early", "0.0.0.0", "bootstrap_expect = 1");
    server.set_network(&network);
    server.start();
    let waiting = ["WARN", "waiting for an address", "no interface has an IPv4 address"];
    wait_for_line(&server, &waiting).await;
    // The server waits without a timeout and repeats the message.
    eventually_now("it says it again", NOTICED_WITHIN, || {
        let log = server.log_text();
        holds(log.lines().filter(|line| line.contains(waiting[1])).count() > 1, || log.clone())
    })
    .await;
    assert_eq!(Ok(()), server.ended_by_itself());
    assert!(!server.log_text().contains("this server is up"), "{}", server.log_text());

    let change = |what: &str, address: &str| {
        network
            .ip(&["address", what, &format!("{address}/24"), "dev", "lo"])
            .expect("addresses can be changed");
    };
    let http = format!("-address=http://127.0.0.1:{}", server.http.port());
    let wait_for_peer = async |address: &str| {
        let wanted = format!("{address}:{rpc}");
        eventually("the cluster knows the address", SETTLE_WITHIN, async || {
            let peers = network.ordu(&["operator", "raft", "list-peers", &http])?;
            holds(peers.contains(&wanted), || peers.clone())
        })
        .await;
    };
    change("add", "10.77.0.1");
    wait_for_line(&server, &["this server is up", &format!("10.77.0.1:{rpc}")]).await;
    wait_for_peer("10.77.0.1").await;

    change("del", "10.77.0.1");
    let gone = "the address 10.77.0.1, which others reach this server at, is on no interface any more";
    wait_for_line(&server, &["ERROR", gone, "there is no other one"]).await;
    change("add", "10.77.0.2");
    wait_for_line(&server, &["ERROR", gone, "there are 10.77.0.2 (lo): restart this server"]).await;
    server.stop();
    server.start();
    wait_for_line(&server, &["this server is up", &format!("10.77.0.2:{rpc}")]).await;
    wait_for_peer("10.77.0.2").await;
    let log = server.log_text();
    assert!(!log.contains(&format!("127.0.0.1:{rpc}")), "loopback was told: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_loopback_is_told_others_there_and_waits_for_nothing() {
    let root = Root::new();
    let (mut server, rpc) = Agent::lone_server(&root, "local", "127.0.0.1", "bootstrap_expect = 1");
    server.start();
    wait_for_line(&server, &["this server is up", &format!("127.0.0.1:{rpc}")]).await;
    assert!(!server.log_text().contains("waiting for an address"), "{}", server.log_text());
}
