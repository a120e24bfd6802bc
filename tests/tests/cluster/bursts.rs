//! Many short tasks, and jobs of many groups, on few nodes.

use std::time::Duration;

use ordu_tests::harness::{Cluster, Shape, eventually, holds, processes};
use ordu_tests::jobs::{ROOM_FOR_BURSTS, burst, job};
use ordu_tests::observe::register;

/// Number of short tasks that are placed at once.
const TASKS: u64 = 3_000;
/// Upper bound for their run: far longer than necessary, because both cores may be busy.
const THROUGH_WITHIN: Duration = Duration::from_secs(400);
/// Number of groups of the large job.
const GROUPS: usize = 1_000;
/// Upper bound for an agent's memory with half of these groups. Whole copies of the specification would take more than
/// 500 MB.
const AGENT_BYTES_MAX: u64 = 250_000_000;

fn one_server(nodes: usize) -> Shape {
    Shape { servers: 1, nodes, client_block: ROOM_FOR_BURSTS.to_owned(), ..Shape::default() }
}

/// How often the burst is repeated; for tests by hand.
fn rounds() -> usize {
    std::env::var("ORDU_BURST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_short_tasks_runs_through_one_node() {
    let cluster = Cluster::start(one_server(1)).await;
    let client = cluster.client(0);
    for round in 0..rounds() {
        let id = format!("burst-{round}");
        let began = std::time::Instant::now();
        register(client, &burst(&id, TASKS)).await;
        let complete = async || {
            let answer = client.json(&format!("/v1/job/{id}/summary")).await;
            let summary = answer.map_err(|error| error.to_string())?["Summary"]["group"].clone();
            holds(summary["Complete"] == TASKS, || format!("the summary is {summary}"))
        };
        eventually("all tasks are complete", THROUGH_WITHIN, complete).await;
        eprintln!("{id}: {TASKS} tasks in {:.1} s", began.elapsed().as_secs_f64());
    }
    // The node is not wedged: it runs another job.
    register(client, &burst("next", 1)).await;
    ordu_tests::observe::allocation_with_status(client, "next", "complete").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_a_job_of_many_groups_keep_only_the_groups_they_run() {
    let mut cluster = Cluster::start(one_server(2)).await;
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
    for restarted in [false, true] {
        if restarted {
            // Agents also read back no more than that.
            for number in 0..2 {
                cluster.nodes[number].kill();
                cluster.start_node(number);
            }
            cluster.wait_for_nodes(2).await;
        }
        let running = async || {
            let answer = client.json("/v1/job/many/summary").await;
            let summary = answer.map_err(|error| error.to_string())?["Summary"].clone();
            let groups = summary.as_object().into_iter().flatten();
            let running = groups.filter(|(_, group)| group["Running"] == 1).count();
            holds(running == GROUPS, || format!("{running} groups run"))
        };
        eventually("all groups run", THROUGH_WITHIN, running).await;
        for node in &cluster.nodes {
            let pid = node.pid().expect("it runs");
            let bytes = processes::resident_bytes(pid).expect("it runs");
            eprintln!("{}: {} MB", node.name, bytes / 1_000_000);
            assert!(bytes < AGENT_BYTES_MAX, "{} takes {bytes} bytes of memory", node.name);
        }
    }
}
