//! Tasks survive their node agent, and allocations of silent nodes are replaced.

use std::io::Write;
use std::time::Duration;

use nix::sys::signal::Signal;
use ordu_tests::harness::{
    Cluster, DevAgent, SETTLE_WITHIN, Shape, eventually, eventually_now, holds, ordu_binary, processes,
    skipped,
};
use ordu_tests::http::Client;
use ordu_tests::jobs::{job, sleeper};
use ordu_tests::observe::{
    Keeper, allocation_with_status, no_process, only_process, register, running_allocations,
};

/// Upper bound for the time until a silent node is down: its TTL and the grace period.
const DOWN_WITHIN: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_lives_through_the_death_of_its_agent() {
    let mut cluster = Cluster::start_three().await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    let keeper = Keeper::start(client, sleeper("keeper")).await;
    for round in 0..3 {
        cluster.nodes[0].kill();
        assert!(processes::is_alive(keeper.pid()), "round {round}: the task died with its agent");
        cluster.start_node(0);
        // The restarted agent is functional: it runs a new job beside the old one.
        let next = sleeper(&format!("next-{round}"));
        let line = next.command_line.clone();
        register(client, &next.job).await;
        running_allocations(client, &format!("next-{round}"), 1).await;
        only_process(&line);
        keeper.check_never_restarted(client).await;
    }
    let stopped = client.delete("/v1/job/keeper").await.expect("the server answers");
    assert_eq!(stopped.status, 200, "{}", stopped.text());
    // The restarted agent can stop the task, although its predecessor started it.
    allocation_with_status(client, "keeper", "complete").await;
    assert!(!processes::is_alive(keeper.pid()), "the task outlived its job");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_was_away_knows_the_exit_codes_of_what_ended_meanwhile() {
    let mut cluster = Cluster::start(Shape { servers: 1, ..Shape::default() }).await;
    let client = cluster.client(0);
    let gate = cluster.root().path().join("gate");
    for (id, code) in [("good", 0), ("bad", 3)] {
        let script = format!("while [ ! -e {} ]; do sleep 0.05; done; exit {code}", gate.display());
        let mut task = job(id, "batch", "dc1", "/bin/sh", &["-c", &script]);
        task["TaskGroups"][0]["RestartPolicy"] = serde_json::json!({"Attempts": 0, "Mode": "fail", "Interval": 60_000_000_000_u64, "Delay": 1_000_000_000});
        task["TaskGroups"][0]["ReschedulePolicy"] = serde_json::json!({"Attempts": 0, "Unlimited": false});
        register(client, &task).await;
        running_allocations(client, id, 1).await;
    }
    let shells = |code: i32| {
        processes::with_command_line(&format!(
            "/bin/sh -c while [ ! -e {} ]; do sleep 0.05; done; exit {code}",
            gate.display()
        ))
    };
    cluster.nodes[0].kill();
    std::fs::write(&gate, "open").expect("the test's folder can be written to");
    eventually_now("both tasks have ended", SETTLE_WITHIN, || {
        let left: Vec<i32> =
            [shells(0), shells(3)].concat().into_iter().filter(|p| processes::is_alive(*p)).collect();
        holds(left.is_empty(), || format!("{left:?} still run"))
    })
    .await;
    cluster.start_node(0);
    for (id, status, code) in [("good", "complete", 0), ("bad", "failed", 3)] {
        let allocation = allocation_with_status(client, id, status).await;
        let events = &allocation["TaskStates"]["task"]["Events"];
        let ended = events.as_array().into_iter().flatten().find(|event| event["Type"] == "Terminated");
        let ended = ended.unwrap_or_else(|| panic!("{id} has no event of its end: {events}"));
        assert_eq!(ended["ExitCode"].as_i64().unwrap_or(0), code, "{ended}");
        assert_eq!(allocation["TaskStates"]["task"]["Restarts"].as_u64().unwrap_or(0), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_from_before_an_upgrade_is_told_and_tasks_outlive_its_replacement() {
    let mut cluster = Cluster::prepare(Shape { servers: 1, ..Shape::default() }).await;
    let (program, upgraded) = (cluster.root().path().join("ordu"), cluster.root().path().join("ordu.new"));
    std::fs::copy(ordu_binary(), &program).expect("the test's folder can be written to");
    cluster.nodes[0].set_program(program.clone());
    cluster.start_server(0);
    cluster.start_node(0);
    cluster.wait_for_nodes(1).await;
    let client = cluster.client(0);
    let keeper = Keeper::start(client, sleeper("keeper")).await;
    wait_for_supervisor(client, true).await;

    // Replace the file by rename, as an installation does.
    std::fs::copy(&program, &upgraded).expect("the test's folder can be written to");
    let mut file = std::fs::File::options().append(true).open(&upgraded).expect("the copy can be opened");
    file.write_all(b"a later release").expect("the copy can be written to");
    drop(file);
    std::fs::rename(&upgraded, &program).expect("the test's folder can be written to");
    cluster.nodes[0].stop();
    cluster.start_node(0);
    wait_for_supervisor(client, false).await;
    keeper.check_never_restarted(client).await;
    // The old supervisor can still start new tasks.
    Keeper::start(client, sleeper("next")).await;
    let log = cluster.nodes[0].log_text();
    let told = log.split_once("the node supervisor (process ").unwrap_or_else(|| panic!("{log}")).1;
    let (pid, told) = told.split_once(',').expect("the line goes on");
    assert!(told.contains("started before an upgrade"), "{log}");

    // When the old supervisor is killed, one of the new program adopts its tasks.
    processes::signal(pid.parse().expect("a process has a number"), Signal::SIGKILL);
    wait_for_supervisor(client, true).await;
    keeper.check_never_restarted(client).await;
}

/// Waits until the only node reports whether its supervisor runs the same program as its agent.
async fn wait_for_supervisor(client: Client, is_current: bool) {
    let current = &is_current.to_string();
    eventually("the node tells of its supervisor", SETTLE_WITHIN, async || {
        let nodes = client.json("/v1/nodes").await.map_err(|error| error.to_string())?;
        let path = format!("/v1/node/{}", nodes[0]["ID"].as_str().unwrap_or_default());
        let attributes = client.json(&path).await.map_err(|error| error.to_string())?["Attributes"].clone();
        let version = attributes["ordu.supervisor.version"] == attributes["ordu.version"];
        let told = attributes["ordu.supervisor.current"] == *current;
        holds(version && told, || attributes.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_falls_silent_goes_down_and_its_work_moves() {
    let mut cluster = Cluster::start(Shape { nodes: 2, ..Shape::default() }).await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    register(client, &sleeper("wanderer").job).await;
    let first = running_allocations(client, "wanderer", 1).await.remove(0);
    let name = first["NodeName"].as_str().unwrap_or_default().to_owned();
    let silent =
        cluster.nodes.iter().position(|node| node.name == name).expect("it runs on one of the nodes");
    // Suspend the agent instead of killing it: its connections stay open, and only the heartbeats stop.
    cluster.nodes[silent].pause();

    let node = format!("/v1/node/{}", first["NodeID"].as_str().unwrap_or_default());
    eventually("the silent node is down", DOWN_WITHIN, async || {
        let found = client.json(&node).await.map_err(|error| error.to_string())?;
        holds(found["Status"] == "down", || format!("it is {}", found["Status"]))
    })
    .await;
    // Its allocation is lost a moment later, when the job's evaluation is processed.
    let lost = format!("/v1/allocation/{}", first["ID"].as_str().unwrap_or_default());
    eventually("its allocation is lost", SETTLE_WITHIN, async || {
        let found = client.json(&lost).await.map_err(|error| error.to_string())?;
        holds(found["ClientStatus"] == "lost", || format!("it is {}", found["ClientStatus"]))
    })
    .await;
    let second = running_allocations(client, "wanderer", 1).await.remove(0);
    assert_ne!(second["ID"], first["ID"]);
    assert_ne!(second["NodeID"], first["NodeID"], "the replacement is on the node that is down");

    // When the node returns, it becomes ready and stops the replaced allocation.
    cluster.nodes[silent].resume();
    cluster.wait_for_nodes(2).await;
    let lines = second_copy_ended(&first, &second);
    eventually_now("only the replacement runs", SETTLE_WITHIN, lines).await;
}

/// Checks whether only the second of the two copies of a service still has a process.
fn second_copy_ended<'a>(
    first: &'a serde_json::Value,
    second: &'a serde_json::Value,
) -> impl FnMut() -> Result<(), String> + 'a {
    let task = &first["Job"]["TaskGroups"][0]["Tasks"][0]["Config"];
    let line = format!(
        "{} {}",
        task["command"].as_str().unwrap_or_default(),
        task["args"][0].as_str().unwrap_or_default()
    );
    let mark = format!("NOMAD_ALLOC_ID={}", second["ID"].as_str().unwrap_or_default());
    move || {
        let found = processes::with_command_line(&line);
        let is_second = matches!(*found, [pid] if processes::has_environment_entry(pid, &mark));
        holds(is_second, || format!("{found:?} run `{line}` for {} and {}", first["ID"], second["ID"]))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_an_agent_that_waits_for_a_task() {
    let dev = DevAgent::start().await;
    let line = sleeper("unused").command_line;
    // A signal that is ignored stays ignored after exec.
    let script = format!("trap '' INT; exec {line}");
    let mut stubborn = job("stubborn", "service", "dc1", "/bin/sh", &["-c", &script]);
    stubborn["TaskGroups"][0]["Tasks"][0]["KillTimeout"] = serde_json::json!(30_000_000_000_u64);
    register(dev.client(), &stubborn).await;
    eventually_now("the task runs", SETTLE_WITHIN, || {
        let found = processes::with_command_line(&line);
        holds(found.len() == 1, || format!("{found:?}"))
    })
    .await;
    let pid = dev.process().pid().expect("the agent runs");
    processes::signal(pid, Signal::SIGINT);
    eventually_now("it stops its tasks", SETTLE_WITHIN, || {
        let log = dev.log_text();
        holds(log.contains("the node agent stops its tasks"), || format!("it has said {log}"))
    })
    .await;
    processes::signal(pid, Signal::SIGINT);
    eventually_now("it has ended", SETTLE_WITHIN, || {
        holds(!processes::is_alive(pid), || format!("process {pid} lives"))
    })
    .await;
    only_process(&line);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_a_job_ends_its_whole_process_group() {
    let cluster = Cluster::start(Shape { servers: 1, ..Shape::default() }).await;
    let client = cluster.client(0);
    let child = sleeper("unused").command_line;
    let parent = job("family", "service", "dc1", "/bin/sh", &["-c", &format!("{child} & {child}; wait")]);
    register(client, &parent).await;
    running_allocations(client, "family", 1).await;
    eventually_now("both children run", SETTLE_WITHIN, || {
        let found = processes::with_command_line(&child);
        holds(found.len() == 2, || format!("{found:?}"))
    })
    .await;
    client.delete("/v1/job/family").await.expect("the server answers");
    no_process(&child).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raft_s_threads_come_first_and_nothing_inherits_that() {
    let agent = DevAgent::start().await;
    let keeper = Keeper::start(agent.client(), sleeper("keeper")).await;
    let usual = processes::threads(std::process::id() as i32)[0].1;
    let pid = agent.process().pid().expect("it runs");
    let threads = processes::threads(pid);
    let named = |name: &str| {
        let found: Vec<i32> =
            threads.iter().filter(|(found, _)| found == name).map(|(_, niceness)| *niceness).collect();
        assert!(!found.is_empty(), "no thread is named {name}: {threads:?}");
        found
    };
    for name in ["requests", "node", "rocksdb:low", "rocksdb:high"] {
        assert!(named(name).iter().all(|niceness| *niceness == usual), "{name}: {threads:?}");
    }
    for (name, niceness) in processes::threads(keeper.pid()) {
        assert_eq!(usual, niceness, "the task's thread {name}");
    }
    if agent.log_text().contains("raft's threads wait like all others") {
        skipped("this process may not give threads priority");
        return;
    }
    for name in ["raft", "raft-log-sync"] {
        assert!(named(name).iter().all(|niceness| *niceness == usual - 10), "{name}: {threads:?}");
    }
}
