//! Servers that lose their quorum or lag far behind report it and answer at once, and nodes are not blamed for
//! heartbeats that the leader could not receive.

use std::time::{Duration, Instant};

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, eventually_now, holds};
use ordu_tests::jobs::{sleeper, unplaceable};
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::{
    Keeper, figure, health_is_well, health_tells, register, running_allocations, wait_for_acknowledged,
};
use serde_json::Value;

/// How long a node may be silent, including the grace period, in milliseconds. An agent without a leader looks for one
/// about once a second.
const SILENCE_MS: u64 = 8_000;
/// Long enough for many checks: a leader checks its nodes twenty times per TTL of 5 s.
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
    // This write is applied after everything that was waiting in the log.
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

/// Longer than requests wait for a new leader, in seconds.
const GIVEN_UP_S: f64 = 6.0;
/// Shorter than that: a request that waits for a leader would exceed it.
const AT_ONCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_quorum_is_told_by_every_server_that_is_left_and_taken_back_when_it_is_there_again() {
    let mut cluster = Cluster::start(Shape { servers: 5, nodes: 0, ..Shape::default() }).await;
    let leader = cluster.leader().await;
    let followers: Vec<usize> = (0..5).filter(|number| *number != leader).collect();
    // The leader and one follower, which still receives its heartbeats, stay alive.
    let (left, gone) = ([leader, followers[0]], &followers[1..]);
    for number in gone {
        cluster.servers[*number].kill();
    }
    for number in left {
        let client = cluster.client(number);
        health_tells(client, "the quorum is lost: 3 of 5 voters are not reached").await;
        for gone in gone {
            health_tells(client, &cluster.rpc_address(*gone)).await;
        }
        // What was measured of servers that have died counts no longer: nothing could correct it.
        eventually("one round trip is told", SETTLE_WITHIN, async || {
            let health = client.get("/v1/agent/health").await.map_err(|error| error.to_string())?.json();
            let trips = health["server"]["raft"]["round_trips_ms"].as_object().map_or(0, |trips| trips.len());
            holds(trips == 1, || health.to_string())
        })
        .await;
        assert_eq!(Ok(0.0), figure(client, "ordu_raft_leader_known").await);
        assert_eq!(500, client.get("/v1/agent/health").await.expect("it answers").status);
        let server = &cluster.servers[number];
        eventually_now("the log tells it", SETTLE_WITHIN, || {
            let log = server.log_text();
            holds(log.contains("WARN the quorum is lost: 3 of 5"), || log)
        })
        .await;
    }
    // Requests do not wait once no leader is to be expected.
    for number in left {
        let client = cluster.client(number);
        eventually("there is none for long", SETTLE_WITHIN, async || {
            let contact_ms = figure(client, "ordu_raft_last_contact_ms").await?;
            holds(contact_ms > GIVEN_UP_S * 1e3, || format!("{contact_ms} ms"))
        })
        .await;
        let soon = client.with_timeout(AT_ONCE);
        let read = soon.get("/v1/jobs").await.expect("it is answered at once");
        let job = ordu_tests::jobs::registration(&unplaceable("refused"));
        let write = soon.post("/v1/jobs", &job).await.expect("it is answered at once");
        for answer in [read, write] {
            assert_eq!((500, "No cluster leader"), (answer.status, answer.text().as_str()));
        }
    }

    cluster.start_server(gone[0]);
    cluster.leader_among(&[left[0], left[1], gone[0]]).await;
    for number in left {
        health_is_well(cluster.client(number)).await;
        let server = &cluster.servers[number];
        eventually_now("what was said is taken back", SETTLE_WITHIN, || {
            let log = server.log_text();
            holds(log.contains("s without a leader"), || log)
        })
        .await;
    }
    // They stop gracefully and log no errors.
    for number in [left[0], left[1], gone[0]] {
        cluster.servers[number].stop();
        let log = cluster.servers[number].log_text();
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

/// More entries than a server may lag behind and still let reads wait.
const FAR_BEHIND: usize = 4_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_far_behind_says_so_and_refuses_reads_until_it_has_caught_up() {
    let mut cluster = Cluster::start(Shape { nodes: 0, disks: true, ..Shape::default() }).await;
    let behind = cluster.follower().await;
    let client = cluster.client(behind);
    health_is_well(client).await;
    cluster.disks[behind].hang(true);
    let others: Vec<_> =
        (0..3).filter(|number| *number != behind).map(|number| cluster.servers[number].http).collect();
    let load = Load::start(&others, "ahead", Pressure { connections: 64, per_second: 100 });
    wait_for_acknowledged(&load, FAR_BEHIND).await;
    // The server applies what it still receives until its leader notices that its disk hangs: on a fast machine that is
    // much of the load.
    eventually("the server is far behind", SETTLE_WITHIN, async || {
        let behind = figure(client, "ordu_raft_entries_behind").await?;
        holds(behind > FAR_BEHIND as f64, || format!("it is {behind} entries behind"))
    })
    .await;
    load.finish().await;
    health_tells(client, "this server is catching up: it has log entry").await;
    let health = client.get("/v1/agent/health?type=server").await.expect("it answers").json();
    let lacks = health["server"]["raft"]["entries_behind"].as_u64().unwrap_or_default();
    assert!(lacks >= 4_096 && health["server"]["ok"] == false, "{health}");
    let read = client.with_timeout(AT_ONCE).get("/v1/jobs").await.expect("it is answered at once");
    assert_eq!(503, read.status, "{}", read.text());
    assert!(
        read.text().contains("is catching up") && read.header("Retry-After").is_some(),
        "{}",
        read.text()
    );
    // Stale reads are still served.
    assert_eq!(200, client.get("/v1/jobs?stale").await.expect("it answers").status);

    cluster.disks[behind].hang(false);
    health_is_well(client).await;
    assert_eq!(200, client.get("/v1/jobs").await.expect("it answers").status);
}
