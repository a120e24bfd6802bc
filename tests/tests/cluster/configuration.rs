//! Configurations and data directories that an agent must not start on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ordu_tests::cli::ordu;
use ordu_tests::harness::{Cluster, DevAgent, Root, SETTLE_WITHIN, Shape, eventually_now, free_port, holds};
use ordu_tests::jobs::unplaceable;
use ordu_tests::observe::{job_ids, register, wait_for_jobs};

/// An agent that will not start says so at once.
const REFUSE_WITHIN: Duration = Duration::from_secs(15);

#[test]
fn a_bad_configuration_is_refused_by_key_and_line() {
    let root = Root::new();
    let data = root.path().join("data").display().to_string();
    let cases: &[(&str, &str, &[&str])] = &[
        ("bad.hcl", "name = \"a\"\nports {\n  http = \"many\"\n}\n", &["http", "bad.hcl:3:"]),
        ("bad.hcl", "name = \"a\"\nports {\n  rpc = 70000\n}\n", &["rpc", "bad.hcl:3:"]),
        (
            "bad.hcl",
            "server {\n  enabled = true\n  bootstrap_expect = \"three\"\n}\n",
            &["bootstrap_expect", "bad.hcl:3:"],
        ),
        ("bad.hcl", "server {\n  enabled = \"perhaps\"\n}\n", &["enabled", "bad.hcl:2:"]),
        ("bad.hcl", "data_dir = \"DATA\"\n\ncolour = \"red\"\n", &["colour", "bad.hcl:3:"]),
        ("bad.hcl", "server {\n  enabled = true\n\n  raft_speed = 9\n}\n", &["raft_speed", "bad.hcl:4:"]),
        ("bad.hcl", "log_level = \"LOUD\"\n", &["log_level", "LOUD"]),
        ("bad.hcl", "name = \"a\"\nserver {\n  enabled = true\n", &["bad.hcl"]),
        ("bad.hcl", "name = = \"a\"\n", &["bad.hcl:1:"]),
        (
            "bad.json",
            "{\n  \"server\": {\n    \"bootstrap_expect\": \"three\"\n  }\n}\n",
            &["bootstrap_expect"],
        ),
        ("bad.json", "{\n  \"colour\": \"red\"\n}\n", &["colour"]),
        ("bad.json", "{\"server\": ", &["bad.json"]),
        ("bad.hcl", "server {\n  enabled = true\n  bootstrap_expect = 1\n}\n", &["data_dir"]),
    ];
    for (name, text, words) in cases {
        let file = root.write(name, &text.replace("DATA", &data)).display().to_string();
        let printed = ordu(&["agent", "-config", &file], &[], REFUSE_WITHIN);
        let said = format!("{}{}", printed.stdout, printed.stderr).replace(&data, "");
        assert!(printed.code.is_some_and(|code| code != 0), "{text}: {}", printed.all());
        for word in *words {
            assert!(said.contains(word), "{text}: does not name {word:?}: {}", printed.all());
        }
        assert!(!said.contains("panicked"), "{text}: {}", printed.all());
    }
    let missing = ordu(&["agent", "-config", "/nonexistent/ordu.hcl"], &[], REFUSE_WITHIN);
    assert!(missing.code.is_some_and(|code| code != 0) && missing.all().contains("/nonexistent/ordu.hcl"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_nomads_without_effect_is_taken_with_a_warning() {
    let agent =
        DevAgent::start_with("enable_syslog = true\nconsul {\n  address = \"127.0.0.1:8500\"\n}\n").await;
    let said = agent.log_text();
    for key in ["enable_syslog", "consul"] {
        assert!(said.contains(key), "no word of {key}:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_in_use_is_refused_in_words() {
    let cluster = Cluster::start(Shape { servers: 1, nodes: 0, ..Shape::default() }).await;
    let data = cluster.root().path().join("server-1").display().to_string();
    let [http, rpc, serf] = [free_port(), free_port(), free_port()];
    let text = format!(
        "name = \"other\"\ndata_dir = \"{data}\"\nbind_addr = \"127.0.0.1\"\n\
         ports {{\n  http = {http}\n  rpc = {rpc}\n  serf = {serf}\n}}\n\
         server {{\n  enabled = true\n  bootstrap_expect = 1\n}}\n"
    );
    let file = cluster.root().write("other.hcl", &text).display().to_string();
    let printed = ordu(&["agent", "-config", &file], &[], REFUSE_WITHIN);
    assert!(printed.code.is_some_and(|code| code != 0), "{}", printed.all());
    assert!(printed.all().contains(&data), "the directory is not named: {}", printed.all());
    assert!(printed.all().contains("in use by another process"), "it is not said why: {}", printed.all());
    assert!(!printed.all().contains("panicked"), "{}", printed.all());
    register(cluster.client(0), &unplaceable("still-here")).await;
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp can be run");
    assert!(status.success(), "{} could not be copied", from.display());
}

/// What a server of another cluster left behind: of one that led there, or of one that followed.
async fn foreign_data(keep: &Root, led: bool) -> PathBuf {
    let mut other = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    register(other.client(0), &unplaceable("foreign")).await;
    let chosen = if led { other.leader().await } else { other.follower().await };
    other.servers[chosen].kill();
    let foreign = keep.path().join(if led { "led" } else { "followed" });
    copy_folder(&other.root().path().join(format!("server-{}", chosen + 1)), &foreign);
    foreign
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_of_another_cluster_is_refused_in_words() {
    let keep = Root::new();
    let strange = [foreign_data(&keep, true).await, foreign_data(&keep, false).await];
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    register(cluster.client(0), &unplaceable("own")).await;
    cluster.servers[2].kill();
    // It may have led.
    cluster.leader_among(&[0, 1]).await;
    let place = cluster.root().path().join("server-3");
    for foreign in strange {
        std::fs::remove_dir_all(&place).expect("the test's folder can be written to");
        copy_folder(&foreign, &place);
        cluster.start_server(2);
        eventually_now("the strange server ends with a sentence", SETTLE_WITHIN, || {
            match cluster.servers[2].ended_by_itself() {
                Ok(()) => Err("it runs".to_owned()),
                Err(said) => holds(said.contains("belongs to cluster"), || said),
            }
        })
        .await;
        cluster.servers[2].kill();
    }
    // The other two go on, and nothing of the strange data has come to them.
    register(cluster.client(0), &unplaceable("own-too")).await;
    for server in 0..2 {
        let ids = ["own".to_owned(), "own-too".to_owned()];
        wait_for_jobs(cluster.client(server), "own", &ids.into()).await;
        assert_eq!(job_ids(cluster.client(server), "foreign").await, Ok([].into()));
    }
}
