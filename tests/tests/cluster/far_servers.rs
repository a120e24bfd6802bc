//! Servers with high latency between them: with the right multiplier the leadership is stable, and health recommends
//! it.

use std::time::{Duration, Instant};

use ordu_tests::harness::{Cluster, Loss, SETTLE_WITHIN, Shape, eventually, holds, skipped};
use ordu_tests::http::Client;
use ordu_tests::jobs::{registration, unplaceable};
use ordu_tests::observe::{figure, health_tells};

/// Latency from one server to another.
const ONE_WAY: Duration = Duration::from_millis(200);
/// How long the leadership must be stable.
const HELD_FOR: Duration = Duration::from_secs(20);

async fn health(client: Client) -> Result<serde_json::Value, String> {
    client.json("/v1/agent/health").await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_a_region_apart_hold_one_leader_and_serve_with_the_multiplier_that_health_tells() {
    let shape =
        Shape { nodes: 0, links: true, server_block: "raft_multiplier = 10".to_owned(), ..Shape::default() };
    let mut cluster = Cluster::start(shape).await;
    let links = cluster.links.clone().expect("there are links");
    links.set_delay(ONE_WAY);
    let loss = Loss::of(1, cluster.advertised_rpc_ports());
    if let Err(why) = &loss {
        skipped(&format!("no packets are lost: {why}"));
    }
    for server in 0..cluster.servers.len() {
        let client = cluster.client(server);
        eventually("the round trips are measured", SETTLE_WITHIN, async || {
            let health = health(client).await?;
            let raft = &health["server"]["raft"];
            let trips: Vec<f64> = raft["round_trips_ms"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(_, trip)| trip.as_f64())
                .collect();
            let far = trips.len() == 2 && trips.iter().all(|trip| (400.0..600.0).contains(trip));
            let needed = raft["multiplier_needed"].as_u64().unwrap_or(0);
            holds(far && (10..=15).contains(&needed) && raft["multiplier"] == 10, || health.to_string())
        })
        .await;
    }
    // The leadership must be stable from here on; earlier changes do not count.
    let leader = cluster.leader().await;
    let term = figure(cluster.client(leader), "ordu_raft_term").await.expect("it is told");
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut written = 0;
    while start.elapsed() < HELD_FOR {
        for server in 0..cluster.servers.len() {
            let client = cluster.client(server).with_timeout(Duration::from_secs(10));
            let asked = Instant::now();
            let answer =
                client.post("/v1/jobs", &registration(&unplaceable(&format!("far-{written}")))).await;
            let answer = answer.expect("it is answered");
            assert_eq!(200, answer.status, "{}", answer.text());
            let read = client.get(&format!("/v1/job/far-{written}")).await.expect("it is answered");
            assert_eq!(200, read.status, "{}", read.text());
            slowest = slowest.max(asked.elapsed());
            written += 1;
        }
    }
    assert_eq!(leader, cluster.leader().await, "another server leads");
    let after = figure(cluster.client(leader), "ordu_raft_term").await.expect("it is told");
    assert_eq!(term, after, "there was an election");
    assert!(written >= 15, "{written} writes, the slowest with its read in {slowest:?}");
    drop(loss);
    links.set_delay(Duration::ZERO);
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_which_multiplier_servers_that_are_apart_would_need() {
    let mut cluster = Cluster::start(Shape { nodes: 0, links: true, ..Shape::default() }).await;
    cluster.links.as_ref().expect("there are links").set_delay(Duration::from_millis(40));
    let leader = cluster.leader().await;
    health_tells(cluster.client(leader), "set `raft_multiplier = ").await;
    let alarmed = figure(cluster.client(leader), "ordu_alarm{alarm=\"far_servers\"}").await;
    assert_eq!(Ok(1.0), alarmed);
}
