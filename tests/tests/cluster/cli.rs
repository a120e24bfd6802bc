//! The commands for users, run against a development agent.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use ordu_tests::cli::{Printed, ordu};
use ordu_tests::harness::{DevAgent, skipped};
use ordu_tests::jobs::{registration, unplaceable};
use ordu_tests::observe::{allocation_with_status, running_allocations};
use ordu_tests::tidy::tree;

const WITHIN: Duration = Duration::from_secs(60);

fn example(name: &str) -> String {
    tree().join("deploy/examples").join(name).display().to_string()
}

/// Runs a command on a blocking thread, because the test's own threads serve the agent.
async fn run(arguments: &[&str], address: &str) -> Printed {
    let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    let address = address.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ordu(&arguments, &[("NOMAD_ADDR", &address)], WITHIN)
    });
    running.await.expect("running a command does not panic")
}

fn succeeded(printed: &Printed, words: &[&str]) {
    assert_eq!(printed.code, Some(0), "{}", printed.all());
    for word in words {
        assert!(printed.stdout.contains(word), "no {word:?} in: {}", printed.all());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_run_and_every_command_tells_of_them() {
    let agent = DevAgent::start().await;
    let client = agent.client();
    let address = format!("http://{}", client.address());

    for (file, id) in [("hello.hcl", "hello"), ("hello.json", "hello-json")] {
        succeeded(&run(&["job", "run", &example(file)], &address).await, &[]);
        // `job run` has waited until the job ran.
        let allocation = running_allocations(client, id, 1).await.remove(0);
        let allocation = allocation["ID"].as_str().unwrap_or_default().to_owned();
        succeeded(&run(&["job", "status", id], &address).await, &[id, "running", &allocation[..8]]);
        succeeded(&run(&["alloc", "status", &allocation], &address).await, &[id, "greeter", "running"]);
    }
    succeeded(&run(&["job", "run", &example("count.hcl")], &address).await, &[]);
    allocation_with_status(client, "count", "complete").await;

    succeeded(&run(&["job", "status"], &address).await, &["hello", "hello-json", "count"]);
    succeeded(&run(&["node", "status"], &address).await, &["ready", "dc1"]);
    succeeded(&run(&["server", "members"], &address).await, &["alive"]);
    succeeded(&run(&["operator", "raft", "list-peers"], &address).await, &["leader"]);

    let json = run(&["job", "status", "--json", "hello"], &address).await;
    succeeded(&json, &[]);
    let parsed: serde_json::Value = serde_json::from_str(&json.stdout).unwrap_or_default();
    assert!(parsed.to_string().contains("\"hello\""), "{}", json.all());

    // Flags take one or two dashes, and override the environment.
    let flag = format!("-address={address}");
    succeeded(&run(&["job", "stop", &flag, "-purge", "hello"], "http://127.0.0.1:1").await, &[]);
    let gone = client.get("/v1/job/hello").await.expect("the agent answers");
    assert_eq!(gone.status, 404, "{}", gone.text());
    let flag = format!("--address={address}");
    succeeded(&run(&["job", "stop", &flag, "hello-json"], "http://127.0.0.1:1").await, &[]);
    let stopped = client.json("/v1/job/hello-json").await.expect("the agent answers");
    assert_eq!(stopped["Stop"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_fail_say_why_and_exit_with_a_code() {
    let agent = DevAgent::start().await;
    let address = format!("http://{}", agent.client().address());
    let write = |name: &str, text: &str| -> PathBuf { agent.root().write(name, text) };
    let unclosed = write("unclosed.hcl", "job \"a\" {\n  datacenters = [\"dc1\"]\n").display().to_string();
    let no_groups =
        write("no-groups.hcl", "job \"a\" {\n  datacenters = [\"dc1\"]\n}\n").display().to_string();
    let nowhere =
        write("nowhere.json", &registration(&unplaceable("nowhere")).to_string()).display().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["job", "run", "/nonexistent.hcl"], "/nonexistent.hcl"),
        (&["job", "run", &unclosed], "unclosed.hcl"),
        (&["job", "run", &no_groups], "Missing job task groups"),
        (&["job", "run", &nowhere], "nowhere"),
        (&["job", "status", "none"], "none"),
        (&["job", "stop", "none"], "none"),
        (&["alloc", "status", "00000000-0000-0000-0000-000000000000"], "not found"),
        (&["job", "status", "--nonsense"], "nonsense"),
        (&["nonsense"], "nonsense"),
    ];
    for (arguments, words) in cases {
        let printed = run(arguments, &address).await;
        assert!(printed.code.is_some_and(|code| code != 0), "{arguments:?}: {}", printed.all());
        assert!(printed.all().contains(words), "{arguments:?}: no {words:?} in: {}", printed.all());
        assert!(!printed.all().contains("panicked"), "{arguments:?}: {}", printed.all());
    }
    let nobody = run(&["job", "status"], "http://127.0.0.1:1").await;
    assert!(
        nobody.code.is_some_and(|code| code != 0) && nobody.all().contains("127.0.0.1:1"),
        "{}",
        nobody.all()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_development_agent_needs_no_configuration() {
    let default_ports = [4646_u16, 4647, 4648];
    if default_ports.iter().any(|port| TcpListener::bind(("127.0.0.1", *port)).is_err()) {
        skipped("something listens on the default ports 4646 to 4648");
        return;
    }
    let agent = DevAgent::start_plain().await;
    let leader = agent.client().json("/v1/status/leader").await.expect("the agent answers");
    assert_eq!(leader, "127.0.0.1:4647");
}
