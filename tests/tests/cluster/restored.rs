//! All servers are restored from an older copy while nodes keep running: allocations in the copy continue, others end.

use std::path::PathBuf;
use std::process::Command;

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, eventually, holds, processes};
use ordu_tests::jobs::{sleeper, unplaceable};
use ordu_tests::observe::{
    Keeper, allocation_with_status, list, no_process, one_process, register, running_allocations,
};
use serde_json::json;

/// Copies directories, replacing existing targets.
fn copy_all(pairs: &[(PathBuf, PathBuf)]) {
    for (from, to) in pairs {
        if to.exists() {
            std::fs::remove_dir_all(to).expect("the test's folder can be written to");
        }
        let copied = Command::new("cp").arg("-r").args([from, to]).status().expect("cp can be run");
        assert!(copied.success(), "{} cannot be copied", from.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_restored_servers_is_not_ready_until_it_has_taken_their_state_and_keeps_what_that_names() {
    let mut cluster = Cluster::start_three().await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    let keeper = Keeper::start(client, sleeper("keeper")).await;
    let mut pair = sleeper("pair");
    pair.job["TaskGroups"][0]["Count"] = json!(2);
    register(client, &pair.job).await;
    running_allocations(client, "pair", 2).await;
    let pair_pids = processes::with_command_line(&pair.command_line);
    assert_eq!(pair_pids.len(), 2);

    let stopped = sleeper("stopped");
    register(client, &stopped.job).await;
    running_allocations(client, "stopped", 1).await;

    cluster.wait_for_equal_states().await;
    let copies: Vec<_> = (0..3)
        .map(|server| {
            let data = cluster.data_dir(server);
            let copied = data.with_extension("copied");
            (data, copied)
        })
        .collect();
    let stop_all = |cluster: &mut Cluster| cluster.servers.iter_mut().for_each(|server| server.stop());
    let start_all = |cluster: &mut Cluster| (0..3).for_each(|server| cluster.start_server(server));
    stop_all(&mut cluster);
    copy_all(&copies);
    start_all(&mut cluster);
    cluster.wait_for_nodes(1).await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    // These jobs are not in the copy, and move the state's index far ahead of it.
    for number in 0..20 {
        register(client, &unplaceable(&format!("idle-{number}"))).await;
    }
    let newer = sleeper("newer");
    register(client, &newer.job).await;
    running_allocations(client, "newer", 1).await;
    assert_eq!(client.delete("/v1/job/stopped").await.expect("the server answers").status, 200);
    no_process(&stopped.command_line).await;
    allocation_with_status(client, "stopped", "complete").await;

    stop_all(&mut cluster);
    let back: Vec<_> = copies.iter().map(|(data, copied)| (copied.clone(), data.clone())).collect();
    copy_all(&back);
    start_all(&mut cluster);
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    let node = eventually("the node is not ready", SETTLE_WITHIN, async || {
        let nodes = list(client, "/v1/nodes?stale").await?;
        holds(nodes.len() == 1 && nodes[0]["Status"] == "initializing", || format!("{nodes:?}"))?;
        Ok::<_, String>(nodes[0].clone())
    })
    .await;
    // Meanwhile all tasks keep running, and no allocation is considered lost.
    assert_eq!(processes::with_command_line(&pair.command_line), pair_pids);
    let path = format!("/v1/node/{}", node["ID"].as_str().unwrap_or_default());
    let shown = client.json(&path).await.expect("the server answers");
    assert!(shown["Events"].to_string().contains("is older than the node's"), "{}", shown["Events"]);
    let said: String = cluster.servers.iter().map(|server| server.log_text()).collect();
    assert!(said.contains("node \"node-1\" (") && said.contains("the servers were restored"), "{said}");
    let said = cluster.nodes[0].log_text();
    assert!(said.contains("This node is not ready"), "{said}");

    cluster.wait_for_nodes(1).await;
    no_process(&newer.command_line).await;
    keeper.check_never_restarted(client).await;
    running_allocations(client, "pair", 2).await;
    assert_eq!(processes::with_command_line(&pair.command_line), pair_pids);
    for job in ["keeper", "pair"] {
        let allocations =
            list(client, &format!("/v1/job/{job}/allocations")).await.expect("the server answers");
        assert!(allocations.iter().all(|one| one["ClientStatus"] == "running"), "{job}: {allocations:?}");
    }

    // The job stopped after the copy was made must run again. Until the node reports the end of the old allocation, the
    // restored state shows it as running, so wait for the process.
    one_process(&stopped.command_line).await;
    running_allocations(client, "stopped", 1).await;

    // The node accepts changes of the restored state: a registered job runs, a stopped one ends.
    Keeper::start(client, sleeper("later")).await;
    assert_eq!(client.delete("/v1/job/pair").await.expect("the server answers").status, 200);
    no_process(&pair.command_line).await;
    keeper.check_never_restarted(client).await;
}
