//! Wrong clocks: of the leader, of a follower, and of all servers.

use std::time::Duration;

use ordu_tests::cli::ordu;
use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds};
use ordu_tests::http::Client;
use ordu_tests::jobs::{EVERY_SECOND, periodic, unplaceable_batch};
use ordu_tests::observe::{figure, health_is_well, health_tells, register, texts_of};
use serde_json::Value;

use super::periodic::{SECOND_NS, children, now_ns, second_of};

const HOUR: i64 = 3_600;
/// 2100-01-01.
const IN_2100: i64 = 4_102_444_800;
/// Largest difference between the test's clock and a timestamp from a correct clock.
const NEAR_SECONDS: i64 = 60;
/// A job that should launch every second counts as stopped if it has no launch for this long.
const QUIET_SECONDS: i64 = 5;

async fn start(servers: usize) -> Cluster {
    Cluster::start(Shape { servers, nodes: 0, clocks: true, ..Shape::default() }).await
}

fn now_seconds() -> i64 {
    now_ns() / SECOND_NS
}

/// Returns the seconds of the launches of `tick`, read from this server itself.
async fn launched(client: Client) -> Result<Vec<i64>, String> {
    Ok(texts_of(&children(client, "tick").await?, "ID").iter().map(|id| second_of(id)).collect())
}

/// Waits for two launches that became due from now on, and checks that none is far in the future.
async fn launches_go_on(client: Client) {
    let since = now_seconds();
    eventually("launches go on", SETTLE_WITHIN, async || {
        let seconds = launched(client).await?;
        let last = seconds.iter().copied().max().unwrap_or(0);
        assert!(last < now_seconds() + NEAR_SECONDS, "{last} was launched at {}", now_seconds());
        let new = seconds.iter().filter(|second| **second >= since).count();
        holds(new >= 2, || format!("{new} since {since}, the last is {last}"))
    })
    .await;
}

/// Registers a job and checks that its submit time is correct.
async fn register_in_true_time(client: Client, id: &str) {
    register(client, &unplaceable_batch(id)).await;
    let job = client.json(&format!("/v1/job/{id}")).await.expect("the server answers");
    let submitted = job["SubmitTime"].as_i64().unwrap_or(0) / SECOND_NS;
    let now = now_seconds();
    assert!((submitted - now).abs() < NEAR_SECONDS, "{id} was submitted at {submitted}, and it is {now}");
}

/// Waits until all servers report the same leader, other than `former`; returns its number.
async fn led_by_another(cluster: &mut Cluster, former: usize) -> usize {
    let former = cluster.servers[former].name.clone();
    let clients: Vec<Client> = cluster.servers.iter().map(|server| server.client()).collect();
    eventually("another server leads", SETTLE_WITHIN, async || {
        let mut leaders = Vec::new();
        for client in &clients {
            let raft = client.json("/v1/operator/raft/configuration?stale").await;
            let raft = raft.map_err(|error| error.to_string())?;
            let leads = |server: &&Value| server["Leader"] == true;
            let leader = raft["Servers"].as_array().into_iter().flatten().find(leads);
            leaders.push(leader.map(|leader| leader["Node"].as_str().unwrap_or_default().to_owned()));
        }
        let agreed = leaders.iter().all(|leader| leader.is_some() && *leader == leaders[0]);
        holds(agreed && leaders[0] != Some(format!("{former}.global")), || format!("{leaders:?}"))
    })
    .await;
    cluster.leader().await
}

fn restart(cluster: &mut Cluster) {
    for number in 0..cluster.servers.len() {
        cluster.servers[number].kill();
    }
    for number in 0..cluster.servers.len() {
        cluster.start_server(number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_clock_is_an_hour_ahead_hands_leadership_on_and_stamps_nothing_by_it() {
    let mut cluster = start(3).await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    register(client, &periodic(unplaceable_batch("tick"), EVERY_SECOND)).await;
    launches_go_on(client).await;

    cluster.clocks[leader].shift(HOUR);
    register_in_true_time(client, "at-once").await;
    health_tells(client, "s ahead of the median of the clocks of 3 servers").await;
    assert_eq!(figure(client, "ordu_alarm{alarm=\"clock_skew\"}").await, Ok(1.0));
    assert!(figure(client, "ordu_clock_offset_seconds").await.is_ok_and(|seconds| seconds > 3_500.0));
    let next = led_by_another(&mut cluster, leader).await;
    register_in_true_time(client, "by-another").await;
    launches_go_on(client).await;
    health_is_well(cluster.client(next)).await;
    // Nor is it elected if it starts with the wrong clock and the leader dies.
    cluster.servers[leader].kill();
    cluster.start_server(leader);
    health_tells(client, "s ahead of the median of the clocks of 3 servers").await;
    cluster.servers[next].kill();
    let third = 3 - leader - next;
    assert_eq!(cluster.leader_among(&[leader, third]).await, third);
    register_in_true_time(client, "by-the-third").await;

    cluster.start_server(next);
    cluster.clocks[leader].shift(0);
    health_is_well(client).await;
    assert_eq!(figure(client, "ordu_alarm{alarm=\"clock_skew\"}").await, Ok(0.0));
    launches_go_on(client).await;
    restart(&mut cluster);
    cluster.leader().await;
    launches_go_on(client).await;
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_clock_says_2100_writes_in_the_cluster_s_time() {
    let mut cluster = start(3).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let client = cluster.client(follower);
    register(client, &periodic(unplaceable_batch("tick"), EVERY_SECOND)).await;
    cluster.clocks[follower].shift(IN_2100 - now_seconds());
    register_in_true_time(client, "in-2100").await;
    health_tells(client, "s ahead of the median of the clocks of 3 servers").await;
    register_in_true_time(client, "still-in-2100").await;
    register_in_true_time(cluster.client(leader), "at-the-leader").await;
    launches_go_on(client).await;
    health_is_well(cluster.client(leader)).await;
    cluster.wait_for_equal_states().await;
}

/// Waits until the newest launch is more than half an hour ahead of the correct time.
async fn launched_ahead(client: Client) {
    eventually("launches are made by the wrong clock", SETTLE_WITHIN, async || {
        let last = launched(client).await?.into_iter().max().unwrap_or(0);
        holds(last > now_seconds() + HOUR / 2, || format!("the last is {last}"))
    })
    .await;
}

/// Waits until there were no launches for [`QUIET_SECONDS`].
async fn launches_stop(client: Client) {
    let (mut count, mut since) = (0, now_seconds());
    let seen = std::cell::RefCell::new((&mut count, &mut since));
    eventually("launches stop", SETTLE_WITHIN, async || {
        let found = launched(client).await?.len();
        let now = now_seconds();
        let mut seen = seen.borrow_mut();
        if *seen.0 != found {
            (*seen.0, *seen.1) = (found, now);
        }
        holds(now - *seen.1 > QUIET_SECONDS, || format!("{found} at {now}"))
    })
    .await;
}

async fn clocks_of_all_are_wrong_and_mended(servers: usize) {
    let mut cluster = start(servers).await;
    let asked = if servers > 1 { cluster.follower().await } else { 0 };
    let client = cluster.client(asked);
    register(client, &periodic(unplaceable_batch("tick"), EVERY_SECOND)).await;
    launches_go_on(client).await;
    let before = client.json("/v1/job/tick").await.expect("the server answers");
    cluster.clocks.iter().for_each(|clock| clock.shift(HOUR));
    launched_ahead(client).await;
    register(client, &unplaceable_batch("an-hour-ahead")).await;
    cluster.clocks.iter().for_each(|clock| clock.shift(0));
    launches_stop(client).await;
    // A restart does not help.
    restart(&mut cluster);
    cluster.leader().await;
    launches_stop(client).await;

    let address = format!("http://{}", client.address());
    let reset = tokio::task::spawn_blocking(move || {
        ordu(&["operator", "time", "reset"], &[("NOMAD_ADDR", &address)], Duration::from_secs(30))
    });
    let reset = reset.await.expect("running a command does not panic");
    assert_eq!(reset.code, Some(0), "{}", reset.all());
    assert!(reset.stdout.contains("launches go on from now: 1"), "{}", reset.all());
    let since = now_seconds();
    eventually("launches go on", SETTLE_WITHIN, async || {
        let seconds = launched(client).await?;
        let new = seconds.iter().filter(|second| (since..since + HOUR / 2).contains(second)).count();
        holds(new >= 2, || format!("{new} since {since}"))
    })
    .await;
    register_in_true_time(client, "afterwards").await;
    let after = client.json("/v1/job/tick").await.expect("the server answers");
    for member in ["Version", "JobModifyIndex", "CreateIndex", "SubmitTime"] {
        assert_eq!(before[member], after[member], "{member}");
    }
    restart(&mut cluster);
    cluster.leader().await;
    register_in_true_time(client, "after-a-restart").await;
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_three_wrong_clocks_wrote_is_mended_by_a_reset_of_the_time() {
    clocks_of_all_are_wrong_and_mended(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_wrong_clock_of_a_single_server_wrote_is_mended_by_a_reset_of_the_time() {
    clocks_of_all_are_wrong_and_mended(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_wrong_clock_refuses_to_reset_the_time_in_words() {
    let mut cluster = start(3).await;
    let follower = cluster.follower().await;
    cluster.clocks[follower].shift(-HOUR);
    let client = cluster.client(follower);
    // Until the clocks have been compared, it continues with its time from before the jump.
    health_tells(client, "s behind the median of the clocks of 3 servers").await;
    let refused = client.send("PUT", "/v1/operator/ordu/time/reset", None).await.expect("the server answers");
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("the clock of the server that was asked is wrong"), "{}", refused.text());
    let right = cluster.leader().await;
    let reset = cluster.client(right).send("PUT", "/v1/operator/ordu/time/reset", None).await;
    assert_eq!(reset.expect("the server answers").status, 200);
}
