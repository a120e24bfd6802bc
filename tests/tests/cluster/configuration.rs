//! Configurations and data directories with which an agent must not start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use ordu_tests::cli::ordu;
use ordu_tests::harness::{
    Cluster, DevAgent, Root, SETTLE_WITHIN, Shape, eventually_now, free_port, holds, processes,
};
use ordu_tests::jobs::unplaceable;
use ordu_tests::observe::{health_is_well, health_tells, job_ids, register, wait_for_jobs};

/// Timeout for an agent to refuse to start.
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

/// Returns a copy of the data of another cluster's server, either its leader (`led`) or a follower.
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
    // The killed server may have been the leader.
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
    // The other two servers continue, without any of the foreign data.
    register(cluster.client(0), &unplaceable("own-too")).await;
    for server in 0..2 {
        let ids = ["own".to_owned(), "own-too".to_owned()];
        wait_for_jobs(cluster.client(server), "own", &ids.into()).await;
        assert_eq!(job_ids(cluster.client(server), "foreign").await, Ok([].into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_has_the_configuration_read_again_and_a_fault_in_it_changes_nothing() {
    let agent = DevAgent::start_with("log_level = \"WARN\"\n").await;
    let pid = agent.process().pid().expect("it runs");
    let file = agent.root().path().join("dev.hcl");
    let before = std::fs::read_to_string(&file).expect("the agent was started from it");
    let other = "server {\n  raft_multiplier = 2\n}\nclient {\n  node_class = \"other\"\n}\n";
    let waiting = "nothing has changed that can change now; a restart is needed for server.raft_multiplier, client.node_class";
    // Changes are logged at level INFO, under the more verbose of the old and the new level.
    let tried = [
        ("LOUD", "", "log_level"),
        ("INFO", "", "log_level is info from now on (it was warn)"),
        ("INFO", other, waiting),
        ("INFO", "", "nothing has changed that can change now"),
        ("ERROR", "", "log_level is error from now on (it was info)"),
        ("LOUD", "", "nothing has changed: "),
    ];
    let mut heard = 0;
    for (level, more, said) in tried {
        let text = before.replace("WARN", level) + more;
        std::fs::write(&file, text).expect("the test's folder can be written to");
        heard = agent.log_text().len();
        processes::signal(pid, Signal::SIGHUP);
        eventually_now(said, SETTLE_WITHIN, || {
            let text = agent.log_text()[heard..].to_owned();
            holds(text.contains(said), || text.clone())
        })
        .await;
    }
    let last = agent.log_text()[heard..].to_owned();
    assert!(last.lines().all(|line| line.contains(" ERROR ")), "no more than errors is logged: {last}");
    register(agent.client(), &unplaceable("it-goes-on")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_sets_the_server_s_limits_and_what_goes_by_them_follows() {
    let agent = DevAgent::start_with("log_level = \"INFO\"\n").await;
    let pid = agent.process().pid().expect("it runs");
    let file = agent.root().path().join("dev.hcl");
    let before = std::fs::read_to_string(&file).expect("the agent was started from it");
    health_is_well(agent.client()).await;
    let more_than_any_disk = "server {\n  disk_free_min_mb = 1000000000\n}\n";
    let all =
        "server {\n  clock_skew_limit = \"1500ms\"\n  sync_limit = \"3s\"\n  http_stall_limit = \"20s\"\n}\n";
    let tried: [(&str, &str, Option<&str>); 4] = [
        (
            more_than_any_disk,
            "server.disk_free_min_mb is 1000000000 from now on (it was not set)",
            Some("MiB are free in"),
        ),
        ("", "server.disk_free_min_mb is not set from now on (it was 1000000000)", None),
        (
            all,
            "server.clock_skew_limit is 1.5s from now on (it was 5s), server.sync_limit is 3s from now on (it was 2s), \
             server.http_stall_limit is 20s from now on (it was 10s)",
            None,
        ),
        (all, "nothing has changed that can change now", None),
    ];
    for (more, said, alarm) in tried {
        std::fs::write(&file, format!("{before}{more}")).expect("the test's folder can be written to");
        let heard = agent.log_text().len();
        processes::signal(pid, Signal::SIGHUP);
        eventually_now(said, SETTLE_WITHIN, || {
            let text = agent.log_text()[heard..].to_owned();
            let is_told =
                text.lines().any(|line| line.contains(said) && !line.contains("a restart is needed"));
            holds(is_told, || text.clone())
        })
        .await;
        match alarm {
            Some(alarm) => health_tells(agent.client(), alarm).await,
            None => health_is_well(agent.client()).await,
        }
    }
}
