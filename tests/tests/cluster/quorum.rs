//! A leader that loses its quorum: what it cannot hear of is not held against nodes.

use std::time::{Duration, Instant};

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds};
use ordu_tests::jobs::{sleeper, unplaceable};
use ordu_tests::observe::{Keeper, register, running_allocations};
use serde_json::Value;

/// How long a node may be silent here, grace included, in milliseconds. An agent without a leader looks for
/// one once a second or so.
const SILENCE_MS: u64 = 8_000;
/// A leader looks at its nodes twenty times in their time to live of 5 s.
const MANY_LOOKS: Duration = Duration::from_secs(3);
const SERVER_BLOCK: &str = "min_heartbeat_ttl = \"5s\"\n  heartbeat_grace = \"3s\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_goes_down_for_what_a_leader_without_a_quorum_could_not_hear() {
    let shape = Shape { server_block: SERVER_BLOCK.to_owned(), ..Shape::default() };
    let mut cluster = Cluster::start(shape).await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    let keeper = Keeper::start(client, sleeper("keeper")).await;
    let followers: Vec<usize> = (0..cluster.servers.len()).filter(|number| *number != leader).collect();
    for follower in &followers {
        cluster.servers[*follower].kill();
    }
    eventually("the leader is without a quorum for long", SETTLE_WITHIN, async || {
        let read = client.get("/v1/nodes?stale").await.map_err(|error| error.to_string())?;
        let contact_ms = read.header("X-Nomad-LastContact").and_then(|text| text.parse::<u64>().ok());
        holds(contact_ms.is_some_and(|ms| ms > SILENCE_MS + 2_000), || {
            format!("its last contact is {contact_ms:?}")
        })
    })
    .await;

    cluster.start_server(followers[0]);
    let leader = cluster.leader().await;
    let client = cluster.client(leader).with_timeout(Duration::from_secs(60));
    // It comes behind all that waited in the log.
    register(client, &unplaceable("after")).await;
    let is_back = Instant::now();
    let running = running_allocations(client, "keeper", 1).await;
    let path = format!("/v1/node/{}", running[0]["NodeID"].as_str().unwrap_or_default());
    eventually("the leader has looked after its nodes often since", SETTLE_WITHIN, async || {
        let node = client.json(&path).await.map_err(|error| error.to_string())?;
        let events = node["Events"].as_array().cloned().unwrap_or_default();
        let is_missed = |event: &Value| event["Message"].as_str().is_some_and(|text| text.contains("missed"));
        assert!(!events.is_empty() && !events.iter().any(is_missed), "{events:?}");
        assert_eq!(node["Status"], "ready");
        holds(is_back.elapsed() > MANY_LOOKS, || format!("it is back for {:?}", is_back.elapsed()))
    })
    .await;
    keeper.check_never_restarted(client).await;
}
