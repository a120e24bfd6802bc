//! Tests of dispatch payloads: each reaches the file that its task asks for, and never another file.

mod support;

use ordu_proto::command::AllocClientState;
use ordu_proto::state::ClientStatus;
use serde_json::{Value, json};
use support::jobs::{Assigned, shell, with};
use support::node::TestNode;
use support::server::TestServer;
use support::{eventually, is_alive};

fn reads(file: &str, script: &str) -> Value {
    with(shell("t", script), "DispatchPayload", json!({"File": file}))
}

async fn node_with_server() -> (TestServer, TestNode) {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    (server, node)
}

fn setup_failure(state: &AllocClientState) -> &str {
    let mut events = state.task_states["t"].events.iter();
    events.find(|event| event.r#type == "Setup Failure").map_or("", |event| &event.display_message)
}

/// Kills the agent, removes the task states, and starts a new agent without a server. The new agent knows the
/// assignment but not that the task was set up, as if the first agent had been killed during the setup.
async fn set_up_again(node: &mut TestNode, server: &TestServer, job: &Assigned) {
    eventually("the end of the first", || node.supervisor_records().is_empty().then_some(())).await;
    node.kill_and_forget(job).await;
    server.die();
    node.spawn(&[&server.address]);
}

#[tokio::test]
async fn a_task_finds_its_payload_byte_for_byte() {
    let (server, node) = node_with_server().await;
    let payload: Vec<u8> = (0..=255).cycle().take(16 * 1024).collect();
    let cases = [
        ("in.bin", "in.bin"),
        ("deep/er/in.bin", "deep/er/in.bin"),
        ("/in.bin", "in.bin"),
        ("deep/../in.bin", "in.bin"),
    ];
    for (file, seen) in cases {
        let script = format!("cat ${{NOMAD_TASK_DIR}}/{seen} > ../alloc/data/seen");
        let job = Assigned::new("batch", vec![reads(file, &script)]).payload(&payload);
        server.assign(&job);
        server.reported(&job, ClientStatus::Complete).await;
        assert!(std::fs::read(node.file(&job, "alloc/data/seen")).unwrap() == payload, "{file}");
    }
}

#[tokio::test]
async fn only_tasks_that_ask_for_the_payload_get_it_and_only_if_there_is_one() {
    let (server, node) = node_with_server().await;
    let asks = reads("in.txt", "cat local/in.txt");
    let cases = [
        (asks.clone(), &b"hello"[..], ClientStatus::Complete, true),
        // An empty payload creates no file; an empty file would hide from the task that there is no payload.
        (asks, b"", ClientStatus::Failed, false),
        (reads("", "ls -A local"), b"hello", ClientStatus::Complete, false),
        (
            with(shell("t", "ls -A local"), "DispatchPayload", Value::Null),
            b"hello",
            ClientStatus::Complete,
            false,
        ),
    ];
    for (task, payload, status, is_written) in cases {
        let job = Assigned::new("batch", vec![task]).payload(payload);
        server.assign(&job);
        server.reported(&job, status).await;
        assert_eq!(node.file(&job, "t/local").read_dir().unwrap().count(), usize::from(is_written));
        let expected = if is_written { "hello" } else { "" };
        assert_eq!(node.text(&job, "alloc/logs/t.stdout.0", |_| true).await, expected);
    }
}

#[tokio::test]
async fn attempts_under_the_next_agent_find_the_payload_too() {
    let (server, mut node) = node_with_server().await;
    let script = "cat local/in.txt; echo >> local/runs; test $(wc -l < local/runs) -gt 1 && exit 0; \
                  while [ ! -e local/end ]; do sleep 0.05; done; exit 1";
    let job = Assigned::new("batch", vec![reads("in.txt", script)]).restarts(1).payload(b"hello\n");
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    node.kill();
    node.spawn(&[&server.address]);
    std::fs::write(node.file(&job, "t/local/end"), "").unwrap();
    server.reported(&job, ClientStatus::Complete).await;
    assert_eq!(node.text(&job, "alloc/logs/t.stdout.0", |_| true).await, "hello\nhello\n");
}

#[tokio::test]
async fn an_agent_without_any_server_still_has_the_payload() {
    let (server, mut node) = node_with_server().await;
    let script = "cat local/in.txt && rm local/in.txt";
    let job = Assigned::new("batch", vec![reads("in.txt", script)]).payload(b"hello\n");
    server.assign(&job);
    server.reported(&job, ClientStatus::Complete).await;
    set_up_again(&mut node, &server, &job).await;
    node.text(&job, "alloc/logs/t.stdout.0", |text| text == "hello\nhello\n").await;
}

#[tokio::test]
async fn names_outside_of_the_local_directory_fail_the_set_up() {
    let (server, node) = node_with_server().await;
    for file in
        ["../escaped", "../../escaped", "../../../escaped", "a/../../secrets/escaped", "..", "/../escaped"]
    {
        let job = Assigned::new("batch", vec![reads(file, "true")]).restarts(3).payload(b"hello");
        server.assign(&job);
        let failed = server.reported(&job, ClientStatus::Failed).await;
        let text = setup_failure(&failed);
        assert!(text.contains("outside of the task's local directory") && text.contains(file), "{text}");
        let state = &failed.task_states["t"];
        assert!(state.events.iter().all(|event| event.r#type != "Started") && state.restarts == 0);
        for place in ["../escaped", "escaped", "t/escaped", "t/secrets/escaped", "t/local/escaped"] {
            assert!(!node.file(&job, place).exists(), "{file}: {place}");
        }
    }
}

#[tokio::test]
async fn links_that_an_earlier_attempt_planted_are_not_followed() {
    let cases = [
        // A file, a link or a hard link at the payload's own path is replaced.
        ("in.txt", "ln -sf $OUTSIDE/kept local/in.txt", "hello"),
        ("in.txt", "ln -f $OUTSIDE/kept local/in.txt", "hello"),
        ("in.txt", "ln -sf $OUTSIDE/new local/in.txt", "hello"),
        // The agent must not remove a link at a directory's path.
        ("a/in.txt", "rm -r local/a; ln -s $OUTSIDE local/a", "\"a\" is no directory"),
        ("a/b/in.txt", "rm -r local/a/b; ln -s $OUTSIDE local/a/b", "\"b\" is no directory"),
        ("in.txt", "rm -r local; ln -s $OUTSIDE local", "\"local\" is no directory"),
    ];
    for (file, plant, expected) in cases {
        let (server, mut node) = node_with_server().await;
        // On the task's file system, because hard links cannot cross file systems.
        let outside = node.path().join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("kept"), "kept").unwrap();
        let script = format!(
            "test -e ../alloc/data/planted && exec cat local/{file}; {plant}; exec > ../alloc/data/planted"
        );
        let task = with(reads(file, &script), "Env", json!({"OUTSIDE": outside}));
        let job = Assigned::new("batch", vec![task]).payload(b"hello");
        server.assign(&job);
        server.reported(&job, ClientStatus::Complete).await;
        assert!(node.file(&job, "alloc/data/planted").exists(), "{plant}");
        set_up_again(&mut node, &server, &job).await;
        if expected == "hello" {
            node.text(&job, "alloc/logs/t.stdout.0", |text| text == "hello").await;
        } else {
            eventually(&format!("the refusal after {plant}"), || {
                node.task_states(&job).contains(expected).then_some(())
            })
            .await;
        }
        assert_eq!(std::fs::read_to_string(outside.join("kept")).unwrap(), "kept", "{plant}");
        assert_eq!(outside.read_dir().unwrap().count(), 1, "{plant}");
    }
}

#[tokio::test]
async fn a_task_that_runs_keeps_its_files_though_it_is_not_known_that_it_was_set_up() {
    let (server, mut node) = node_with_server().await;
    let plant =
        "rm local/a/in.txt; rmdir local/a; ln -s /nowhere local/a; echo $$ > local/pid; exec sleep 600";
    let mut job = Assigned::new("service", vec![reads("a/in.txt", plant)]).payload(b"hello");
    server.assign(&job);
    let pid = node.pid(&job, "t").await;
    server.reported(&job, ClientStatus::Running).await;
    node.kill_and_forget(&job).await;
    let before = server.state().updates.len();
    node.spawn(&[&server.address]);
    eventually("the next agent's report", || (server.state().updates.len() > before).then_some(())).await;
    server.task(&job, "t", |state| state.state == "running").await;
    assert!(is_alive(pid));
    assert!(node.file(&job, "t/local/a").is_symlink());
    server.stop(&mut job);
    server.reported(&job, ClientStatus::Complete).await;
    assert!(!is_alive(pid));
}
