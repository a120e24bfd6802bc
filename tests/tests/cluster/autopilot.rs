//! The autopilot configuration can be read and set at any server, and the leader reports unhealthy servers.

use ordu_tests::cli::ordu;
use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds};
use ordu_tests::http::Client;
use serde_json::{Value, json};

const CONFIGURATION: &str = "/v1/operator/autopilot/configuration";
const HEALTH: &str = "/v1/operator/autopilot/health";

fn without_nodes() -> Shape {
    Shape { nodes: 0, ..Shape::default() }
}

async fn configuration(client: Client) -> Value {
    client.json(CONFIGURATION).await.expect("the server answers")
}

/// Sets the configuration; returns the status and the text of the answer.
async fn set(client: Client, parameters: &str, body: &Value) -> (u16, String) {
    let (path, body) = (format!("{CONFIGURATION}{parameters}"), body.to_string());
    let answer = client.send("PUT", &path, Some(body.as_bytes())).await.expect("the server answers");
    (answer.status, answer.text())
}

/// Waits until each of these servers reports this health.
async fn wait_for_health(clients: &[Client], healthy: bool, tolerance: u64, sick: &[&str]) -> Value {
    let mut last = Value::Null;
    for client in clients {
        last = eventually("the health of the servers is told", SETTLE_WITHIN, async || {
            let answer = client.get(HEALTH).await.map_err(|error| error.to_string())?;
            let status = if healthy { 200 } else { 429 };
            holds(answer.status == status, || format!("{}: {}", answer.status, answer.text()))?;
            let health = answer.json();
            let unhealthy: Vec<&str> = health["Servers"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|server| server["Healthy"] == false)
                .filter_map(|server| server["Address"].as_str())
                .collect();
            let as_wanted =
                health["Healthy"] == healthy && health["FailureTolerance"] == tolerance && unhealthy == sick;
            holds(as_wanted, || health.to_string()).map(|()| health)
        })
        .await;
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_read_and_set_at_any_server_and_outlives_a_restart_of_all() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let follower = cluster.follower().await;
    let follower = cluster.client(follower);
    let first = configuration(follower).await;
    let default = json!({
        "CleanupDeadServers": true, "LastContactThreshold": "200ms", "MaxTrailingLogs": 250, "MinQuorum": 0,
        "ServerStabilizationTime": "10s", "EnableRedundancyZones": false, "DisableUpgradeMigration": false,
        "EnableCustomUpgrades": false, "CreateIndex": first["CreateIndex"], "ModifyIndex": first["ModifyIndex"],
    });
    assert_eq!(default, first);
    let index = first["ModifyIndex"].as_u64().unwrap_or_default();
    assert!(index > 0 && first["CreateIndex"] == index, "{first}");

    let mut wanted = first.clone();
    wanted["CleanupDeadServers"] = false.into();
    wanted["ServerStabilizationTime"] = "1m0s".into();
    wanted["MinQuorum"] = 3.into();
    wanted["EnableRedundancyZones"] = true.into();
    for (parameters, status, words) in [
        (format!("?cas={}", index + 1), 200, "false"),
        ("?cas=0".to_owned(), 200, "false"),
        ("?cas=x".to_owned(), 400, "Error parsing cas value"),
        (format!("?cas={index}"), 200, "true"),
        (format!("?cas={index}"), 200, "false"),
    ] {
        let (told, text) = set(follower, &parameters, &wanted).await;
        assert!(told == status && text.contains(words), "{parameters}: {told}: {text}");
    }
    for (body, words) in [
        (json!({"ServerStabilizationTime": "soon"}), "invalid duration"),
        (json!([]), "Error parsing autopilot config: "),
    ] {
        let (told, text) = set(follower, "", &body).await;
        assert!(told == 400 && text.contains(words), "{body}: {told}: {text}");
    }
    let stored = configuration(follower).await;
    wanted["ModifyIndex"] = stored["ModifyIndex"].clone();
    assert_eq!(wanted, stored);
    assert!(stored["ModifyIndex"].as_u64() > Some(index), "{stored}");

    for server in &mut cluster.servers {
        server.kill();
    }
    for number in 0..cluster.servers.len() {
        cluster.start_server(number);
    }
    cluster.leader().await;
    for number in 0..cluster.servers.len() {
        assert_eq!(stored, configuration(cluster.client(number)).await, "server {number}");
    }
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_a_dead_server_at_every_server_and_that_it_is_back() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let clients: Vec<Client> = (0..3).map(|number| cluster.client(number)).collect();
    let health = wait_for_health(&clients, true, 1, &[]).await;
    let servers = health["Servers"].as_array().cloned().unwrap_or_default();
    assert_eq!((Some(3), 3), (health["Voters"].as_array().map(Vec::len), servers.len()), "{health}");
    let leader = cluster.leader().await;
    let leaders: Vec<&Value> = servers.iter().filter(|server| server["Leader"] == true).collect();
    assert!(leaders.len() == 1 && leaders[0]["ID"] == health["Leader"], "{health}");
    assert_eq!(cluster.rpc_address(leader), leaders[0]["Address"].as_str().unwrap_or_default());

    let dead = cluster.follower().await;
    let address = cluster.rpc_address(dead);
    cluster.servers[dead].kill();
    let living: Vec<Client> =
        (0..3).filter(|number| *number != dead).map(|number| cluster.client(number)).collect();
    wait_for_health(&living, false, 0, &[&address]).await;

    let said = cluster.http_addresses()[leader];
    let printed = tokio::task::spawn_blocking(move || {
        let nomad_addr = format!("http://{said}");
        ordu(&["operator", "autopilot", "health"], &[("NOMAD_ADDR", &nomad_addr)], SETTLE_WITHIN)
    });
    let printed = printed.await.expect("running a command does not panic");
    assert!(printed.code == Some(0) && printed.stdout.contains(&address), "{}", printed.all());

    cluster.start_server(dead);
    wait_for_health(&clients, true, 1, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_set_on_the_command_line_has_a_newcomer_vote_beside_a_dead_voter() {
    let mut cluster = Cluster::start(without_nodes()).await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    let said = cluster.http_addresses()[leader];
    let printed = tokio::task::spawn_blocking(move || {
        let nomad_addr = format!("http://{said}");
        let words = [
            "operator",
            "autopilot",
            "set-config",
            "-cleanup-dead-servers=false",
            "-server-stabilization-time=2s",
        ];
        ordu(&words, &[("NOMAD_ADDR", &nomad_addr)], SETTLE_WITHIN)
    });
    let printed = printed.await.expect("running a command does not panic");
    assert!(printed.code == Some(0) && printed.stdout.contains("updated"), "{}", printed.all());
    let stored = configuration(client).await;
    let said =
        [&stored["CleanupDeadServers"], &stored["ServerStabilizationTime"], &stored["MaxTrailingLogs"]];
    assert_eq!([&json!(false), &json!("2s"), &json!(250)], said);

    let dead = cluster.follower().await;
    let dead_address = cluster.rpc_address(dead);
    cluster.servers[dead].stop();
    // Only when the leader considers it failed is it certain that it would have been removed if that were allowed.
    eventually("the leader does not hear of it any more", SETTLE_WITHIN, async || {
        let members = client.json("/v1/agent/members").await.map_err(|error| error.to_string())?;
        let alive =
            members["Members"].as_array().into_iter().flatten().filter(|it| it["Status"] == "alive").count();
        holds(alive == 2, || members.to_string())
    })
    .await;
    let new = cluster.add_server();
    let new_address = cluster.rpc_address(new);
    cluster.start_server(new);
    let servers = eventually("the new server votes", SETTLE_WITHIN, async || {
        let raft = client.json("/v1/operator/raft/configuration").await.map_err(|error| error.to_string())?;
        let servers = raft["Servers"].as_array().cloned().unwrap_or_default();
        let votes = servers.iter().any(|it| it["Address"] == *new_address && it["Voter"] == true);
        holds(votes, || raft.to_string()).map(|()| servers)
    })
    .await;
    let voters = servers.iter().filter(|server| server["Voter"] == true);
    assert_eq!(4, voters.count(), "{servers:?}");
    assert!(servers.iter().any(|it| it["Address"] == *dead_address && it["Voter"] == true), "{servers:?}");
}
