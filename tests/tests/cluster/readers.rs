//! Clients that request large answers without reading them, or send large requests incompletely.

use ordu_tests::harness::processes::resident_bytes;
use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds};
use ordu_tests::http::encode;
use ordu_tests::jobs::{registration, unplaceable};
use ordu_tests::observe::{figure, register};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const MIB: u64 = 1024 * 1024;
/// Most memory that a server uses for answers to slow readers. The constant below allows for its other memory.
const HELD_BYTES_MAX: u64 = 512 * MIB;
const BESIDE_BYTES_MAX: u64 = 512 * MIB;
const READERS: usize = 400;

/// Returns a job of more than two million bytes.
fn large(id: &str) -> Value {
    let mut job = unplaceable(id);
    job["Meta"] = serde_json::json!({"much": "x".repeat(2_000_000)});
    job
}

async fn say(cluster: &Cluster, server: usize, text: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(cluster.servers[server].http).await.expect("there is a place");
    connection.write_all(text).await.expect("it takes a request");
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_slow_readers_hold_is_bounded_and_ends_while_others_are_served() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let client = cluster.client(follower);
    register(client, &large("large")).await;
    let mut asking = Vec::new();
    encode(&mut asking, "GET", "/v1/job/large?stale", None);
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(say(&cluster, follower, &asking).await);
    }
    eventually("a large answer is refused", SETTLE_WITHIN, async || {
        let answer = client.get("/v1/job/large?stale").await.map_err(|error| error.to_string())?;
        let told =
            answer.text().contains("wait for their readers") && answer.header("Retry-After") == Some("1");
        holds(answer.status == 503 && told, || format!("{}", answer.status))
    })
    .await;
    let resident = resident_bytes(cluster.servers[follower].pid().expect("it runs")).expect("it is told");
    assert!(resident < HELD_BYTES_MAX + BESIDE_BYTES_MAX, "it takes {} MiB", resident / MIB);
    // Small requests, writes, and operators' requests still succeed.
    figure(client, "ordu_http_answer_bytes").await.expect("it is told");
    assert_eq!(200, client.get("/v1/status/leader").await.expect("it is answered").status);
    register(client, &unplaceable("small")).await;
    eventually("the readers have lost their connections", SETTLE_WITHIN, async || {
        let held = figure(client, "ordu_http_answer_bytes").await?;
        holds(held == 0.0, || format!("{held} bytes are held"))
    })
    .await;
    let answer = client.get("/v1/job/large?stale").await.expect("it is answered");
    assert_eq!(200, answer.status, "{}", answer.text());
    assert_eq!(leader, cluster.leader().await, "another leads");
    drop(readers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_beyond_what_a_server_works_on_wait_or_are_refused_and_small_ones_go_on() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let server = cluster.leader().await;
    let client = cluster.client(server);
    // Requests that announce 32 MiB together and send none of it.
    let unsent = b"PUT /v1/jobs HTTP/1.1\r\nHost: ordu\r\nContent-Length: 4194304\r\n\r\n";
    let mut unfinished = Vec::new();
    for _ in 0..8 {
        unfinished.push(say(&cluster, server, unsent).await);
    }
    eventually("their room is taken", SETTLE_WITHIN, async || {
        let held = figure(client, "ordu_http_body_bytes").await?;
        holds(held == 32.0 * MIB as f64, || format!("{held} bytes are held"))
    })
    .await;
    register(client, &unplaceable("small")).await;
    let refused = client.post("/v1/jobs", &registration(&large("large"))).await.expect("it is answered");
    assert_eq!((503, Some("1")), (refused.status, refused.header("Retry-After")), "{}", refused.text());
    // Clients that send nothing lose their reserved memory.
    eventually("a large job is taken", SETTLE_WITHIN, async || {
        let answer = client.post("/v1/jobs", &registration(&large("large"))).await;
        let answer = answer.map_err(|error| error.to_string())?;
        holds(answer.status == 200, || format!("{} {}", answer.status, answer.text()))
    })
    .await;
    drop(unfinished);
}
