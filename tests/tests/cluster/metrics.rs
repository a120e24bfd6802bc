//! The servers' metrics are correct, and the alert rules refer only to existing metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds, skipped};
use ordu_tests::http::Client;
use ordu_tests::jobs::{sleeper, unplaceable, unplaceable_batch};
use ordu_tests::observe::{figure, register, running_allocations, wait_for_figure};
use ordu_tests::tidy::tree;

/// A short time until a node is down, and few entries between snapshots.
const SERVER_BLOCK: &str =
    "min_heartbeat_ttl = \"5s\"\n  heartbeat_grace = \"3s\"\n  raft {\n    snapshot_logs = 50\n  }";

const BLOCKED: &str = r#"ordu_evaluations{state="blocked"}"#;
const OLDEST_BLOCKED: &str = r#"ordu_evaluation_oldest_seconds{state="blocked"}"#;

/// Returns the contents of a file in the directory `deploy`.
fn deployed(name: &str) -> String {
    let path = tree().join("deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the names of metrics in a text.
fn figures_named(text: &str) -> BTreeSet<&str> {
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_of_names(c));
    words.filter(|word| word.starts_with("ordu_") || word.starts_with("process_")).collect()
}

/// Returns the help texts of a server's metrics in Prometheus format.
async fn helps(client: Client) -> BTreeMap<String, String> {
    let answer = client.get("/v1/metrics?format=prometheus").await.expect("the server answers");
    assert_eq!(200, answer.status);
    let text = answer.text();
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    helps.map(|(name, help)| (name.to_owned(), help.to_owned())).collect()
}

#[test]
fn alert_rules_are_well_formed_and_fire_on_their_input_and_on_nothing_else() {
    let (rules, tests) = (deployed("alerts.yml"), deployed("alerts_test.yml"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "the rules were not found: {alerts:?}");
    for alert in &alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "no test has {alert} fire");
    }
    let slug = |heading: &str| heading.trim().to_lowercase().replace(' ', "-");
    let headings_of = |page: &str| -> BTreeSet<String> {
        let text = deployed(page);
        text.lines()
            .filter_map(|line| Some(format!("deploy/{page}#{}", slug(line.strip_prefix("## ")?))))
            .collect()
    };
    let headings: BTreeSet<String> =
        ["README.md", "operations.md"].into_iter().flat_map(headings_of).collect();
    let pages: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("page: ")).collect();
    assert_eq!(alerts.len(), pages.len(), "each alert names a page of the manual");
    for page in pages {
        assert!(headings.contains(page), "there is no page {page}");
    }
    if Command::new("promtool").arg("--version").output().is_err() {
        return skipped(
            "the rules are not run: promtool is missing, which Debian's package `prometheus` has",
        );
    }
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(tree().join("deploy")).output();
        let output = output.expect("promtool can be run");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_the_truth_of_a_live_cluster_and_have_all_that_alerts_and_manual_name() {
    let shape = Shape { nodes: 2, server_block: SERVER_BLOCK.to_owned(), ..Shape::default() };
    let mut cluster = Cluster::start(shape).await;
    let all: Vec<Client> = (0..cluster.servers.len()).map(|server| cluster.client(server)).collect();
    for client in &all {
        for (name, value) in [
            ("ordu_raft_voters", 3.0),
            ("ordu_raft_voters_alive", 3.0),
            ("ordu_raft_voters_needed", 2.0),
            ("ordu_raft_leader_known", 1.0),
            (r#"ordu_nodes{status="ready"}"#, 2.0),
            (r#"ordu_nodes{status="down"}"#, 0.0),
        ] {
            wait_for_figure(*client, name, |told| told == value).await;
        }
    }

    // Running allocations on every server; blocked evaluations and their age at the leader only.
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    register(client, &sleeper("runs").job).await;
    running_allocations(client, "runs", 1).await;
    register(client, &unplaceable("waits")).await;
    wait_for_figure(client, BLOCKED, |told| told == 1.0).await;
    let age = figure(client, OLDEST_BLOCKED).await.expect("it is told");
    wait_for_figure(client, OLDEST_BLOCKED, |told| told > age + 1.0).await;
    wait_for_figure(client, r#"ordu_evaluation_oldest_seconds{state="due"}"#, |told| told == 0.0).await;
    wait_for_figure(client, r#"ordu_plans_total{result="applied"}"#, |told| told >= 1.0).await;
    for (server, other) in all.iter().enumerate() {
        wait_for_figure(*other, r#"ordu_allocations{client_status="running"}"#, |told| told == 1.0).await;
        if server != leader {
            let told = figure(*other, BLOCKED).await;
            assert!(told.is_err(), "a follower tells {told:?} blocked evaluations");
        }
    }

    // After many writes everything committed is applied, and the metrics of snapshots and durations exist.
    for number in 0..100 {
        register(client, &unplaceable_batch(&format!("many-{number}"))).await;
    }
    wait_for_figure(client, BLOCKED, |told| told == 101.0).await;
    for client in &all {
        eventually("all that is committed is applied", SETTLE_WITHIN, async || {
            let index = async |what: &str| figure(*client, &format!("ordu_raft_{what}")).await;
            let applied = index("applied_index").await?;
            let others = [index("commit_index").await?, index("last_log_index").await?];
            let behind = index("entries_behind").await?;
            holds(applied > 100.0 && others == [applied; 2] && behind == 0.0, || {
                format!("{applied} of {others:?} is applied, {behind} are missing")
            })
        })
        .await;
        wait_for_figure(*client, "ordu_snapshot_age_seconds", |told| (0.0..60.0).contains(&told)).await;
        wait_for_figure(*client, "ordu_raft_snapshot_index", |told| told >= 50.0).await;
        for times in ["ordu_raft_sync_seconds", "ordu_state_apply_seconds"] {
            wait_for_figure(*client, &format!("{times}_count"), |told| told > 10.0).await;
            wait_for_figure(*client, &format!("{times}_sum"), |told| told > 0.0).await;
        }
        wait_for_figure(*client, r#"ordu_connections{listener="http"}"#, |told| told >= 1.0).await;
        wait_for_figure(*client, r#"ordu_connections{listener="rpc"}"#, |told| told >= 2.0).await;
    }
    have_all_that_is_named(client).await;

    // Another server becomes the leader, and then one server is down.
    let mut changes = Vec::new();
    for client in &all {
        changes.push(figure(*client, "ordu_raft_leader_changes_total").await.expect("it is told"));
    }
    eventually("leadership is handed on", SETTLE_WITHIN, async || {
        // On a busy machine the transfer may time out.
        let handed = client.send("PUT", "/v1/operator/raft/transfer-leadership", None).await;
        let handed = handed.map_err(|error| error.to_string())?;
        holds(handed.status == 200, || handed.text())
    })
    .await;
    for (client, before) in all.iter().zip(changes) {
        wait_for_figure(*client, "ordu_raft_leader_changes_total", |told| told >= before + 1.0).await;
    }
    let next = cluster.leader().await;
    assert_ne!(leader, next);
    wait_for_figure(cluster.client(next), BLOCKED, |told| told == 101.0).await;
    let told_since = figure(cluster.client(next), OLDEST_BLOCKED).await.expect("it is told");
    assert!(told_since > age + 1.0, "a new leader tells {told_since} s of what was {age} s old before");
    wait_for_figure(client, "ordu_raft_leads", |told| told == 0.0).await;
    assert!(figure(client, BLOCKED).await.is_err(), "it does not lead any more");

    let gone = cluster.follower().await;
    cluster.servers[gone].stop();
    cluster.nodes[1].kill();
    for (_, client) in all.iter().enumerate().filter(|(server, _)| *server != gone) {
        wait_for_figure(*client, "ordu_raft_voters_alive", |told| told == 2.0).await;
        wait_for_figure(*client, r#"ordu_nodes{status="down"}"#, |told| told == 1.0).await;
        wait_for_figure(*client, r#"ordu_nodes{status="ready"}"#, |told| told == 1.0).await;
    }
}

/// Checks that alerts and manual name only metrics of the leader `client`, and that both formats have the same metrics.
async fn have_all_that_is_named(client: Client) {
    let told = helps(client).await;
    assert!(told.len() > 40, "{told:?}");
    for (name, help) in &told {
        assert!(help.matches('.').count() >= 2, "{name} does not say what to do: {help}");
    }
    let metrics = client.json("/v1/metrics").await.expect("the server answers");
    let in_json: BTreeSet<String> = ["Gauges", "Counters", "Samples"]
        .into_iter()
        .flat_map(|kind| metrics[kind].as_array().into_iter().flatten())
        .filter_map(|metric| metric["Name"].as_str())
        .map(|name| name.replace('.', "_"))
        .collect();
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), in_json);
    for file in ["alerts.yml", "alerts_test.yml", "README.md"] {
        let text = deployed(file);
        let named = figures_named(&text);
        assert!(!named.is_empty(), "{file} names no figure");
        let is_told =
            |name: &str| told.contains_key(name) || told.contains_key(name.trim_end_matches("_bucket"));
        let unknown: Vec<&str> = named.into_iter().filter(|name| !is_told(name)).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which no server tells");
    }
}
