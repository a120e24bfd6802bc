//! Many short tasks, and jobs of many groups, on few nodes.

use std::time::{Duration, Instant};

use ordu_tests::harness::{Cluster, Shape, eventually, eventually_now, holds, processes};
use ordu_tests::http::Client;
use ordu_tests::jobs::{ROOM_FOR_BURSTS, burst, job};
use ordu_tests::observe::{allocation_with_status, register};

/// Number of short tasks that are placed at once.
const TASKS: u64 = 3_000;
/// Number of short tasks in the burst during which agents are killed.
const TASKS_WITH_KILLS: u64 = 600;
/// Upper bound for a burst: far longer than necessary, because both cores may be busy.
const THROUGH_WITHIN: Duration = Duration::from_secs(400);
/// Number of groups of the large job.
const GROUPS: usize = 1_000;
/// Upper bound for an agent's memory with half of these groups. Whole copies of the specification would take more than
/// 500 MB.
const AGENT_BYTES_MAX: u64 = 250_000_000;

/// Members of a `client` block that give a node room for somewhat more than half of the groups.
const ROOM_FOR_HALF: &str =
    "cpu_total_compute = 11000\n  memory_total_mb = 1000000\n  disk_free_mb = 1000000";

fn one_server(nodes: usize, client_block: &str) -> Shape {
    Shape { servers: 1, nodes, client_block: client_block.to_owned(), ..Shape::default() }
}

/// How often the burst is repeated; for tests by hand.
fn rounds() -> usize {
    std::env::var("ORDU_BURST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_short_tasks_runs_through_one_node() {
    let cluster = Cluster::start(one_server(1, ROOM_FOR_BURSTS)).await;
    let client = cluster.client(0);
    for round in 0..rounds() {
        let id = format!("burst-{round}");
        let began = Instant::now();
        register(client, &burst(&id, TASKS)).await;
        complete(client, &id, TASKS).await;
        eprintln!("{id}: {TASKS} tasks in {:.1} s", began.elapsed().as_secs_f64());
    }
    // The node is not wedged: it runs another job.
    register(client, &burst("next", 1)).await;
    allocation_with_status(client, "next", "complete").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_runs_through_though_its_agent_is_killed_twice() {
    let mut cluster = Cluster::start(one_server(1, ROOM_FOR_BURSTS)).await;
    let client = cluster.client(0);
    register(client, &burst("burst", TASKS_WITH_KILLS)).await;
    for part in [TASKS_WITH_KILLS / 10, TASKS_WITH_KILLS / 2] {
        complete(client, "burst", part).await;
        cluster.nodes[0].kill();
        cluster.start_node(0);
    }
    complete(client, "burst", TASKS_WITH_KILLS).await;
    let summary = client.json("/v1/job/burst/summary").await.expect("the server answers");
    assert_eq!(
        summary["Summary"]["group"]["Complete"], TASKS_WITH_KILLS,
        "none ran twice or failed: {summary}"
    );
}

/// Waits until at least this many tasks of a burst are complete.
async fn complete(client: Client, id: &str, tasks: u64) {
    eventually(&format!("{tasks} tasks of {id} are complete"), THROUGH_WITHIN, async || {
        let answer = client.json(&format!("/v1/job/{id}/summary")).await;
        let summary = answer.map_err(|error| error.to_string())?["Summary"]["group"].clone();
        holds(summary["Complete"].as_u64() >= Some(tasks), || format!("the summary is {summary}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_a_job_of_many_groups_keep_only_the_groups_they_run() {
    let mut cluster = Cluster::start(one_server(2, ROOM_FOR_HALF)).await;
    let client = cluster.client(0);
    let mut many = job("many", "service", "dc1", "/bin/sleep", &["86400"]);
    let group = many["TaskGroups"][0].clone();
    let named = |number: usize| {
        let mut group = group.clone();
        group["Name"] = format!("group-{number}").into();
        group["EphemeralDisk"] = serde_json::json!({"SizeMB": 10});
        group["Tasks"][0]["LogConfig"] = serde_json::json!({"MaxFiles": 1, "MaxFileSizeMB": 1});
        group
    };
    many["TaskGroups"] = (0..GROUPS).map(named).collect::<Vec<_>>().into();
    register(client, &many).await;
    let running = async || {
        let answer = client.json("/v1/job/many/summary").await;
        let summary = answer.map_err(|error| error.to_string())?["Summary"].clone();
        let groups = summary.as_object().into_iter().flatten();
        let running = groups.filter(|(_, group)| group["Running"] == 1).count();
        holds(running == GROUPS, || format!("{running} groups run"))
    };
    eventually("all groups run", THROUGH_WITHIN, running).await;
    check_memory(&cluster);
    // The next agents read back no more than that.
    for number in 0..2 {
        cluster.nodes[number].kill();
        cluster.start_node(number);
    }
    for node in &cluster.nodes {
        let has_read = || {
            let log = node.log_text();
            holds(log.contains("allocations are known from before"), || format!("the log is {log}"))
        };
        eventually_now("the agent has read its allocations", THROUGH_WITHIN, has_read).await;
    }
    check_memory(&cluster);
}

/// Checks how much memory the agents take.
fn check_memory(cluster: &Cluster) {
    for node in &cluster.nodes {
        let bytes = processes::resident_bytes(node.pid().expect("it runs")).expect("it runs");
        eprintln!("{}: {} MB", node.name, bytes / 1_000_000);
        assert!(bytes < AGENT_BYTES_MAX, "{} takes {bytes} bytes of memory", node.name);
    }
}
