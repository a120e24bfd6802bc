//! Tests of tasks: their execution, environment, exit and reports.

mod support;

use std::collections::BTreeMap;

use ordu_proto::state::{ClientStatus, TaskState};
use serde_json::json;
use support::jobs::{Assigned, shell, with};
use support::node::TestNode;
use support::server::TestServer;
use support::{eventually, is_alive};

async fn node_with_server() -> (TestServer, TestNode) {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    (server, node)
}

fn kinds(state: &TaskState) -> Vec<&str> {
    state.events.iter().map(|event| event.r#type.as_str()).collect()
}

fn message<'a>(state: &'a TaskState, kind: &str) -> &'a str {
    state.events.iter().find(|event| event.r#type == kind).map_or("", |event| &event.display_message)
}

#[tokio::test]
async fn a_service_runs_is_reported_and_is_stopped() {
    let (server, node) = node_with_server().await;
    let mut job = Assigned::new("service", vec![shell("t", "echo $$ > local/pid; exec sleep 600")]);
    server.assign(&job);
    let running = server.reported(&job, ClientStatus::Running).await;
    assert_eq!(running.client_description, "Tasks are running");
    let state = &running.task_states["t"];
    assert_eq!(kinds(state), ["Received", "Task Setup", "Started"]);
    assert_eq!(
        state.events.iter().map(|event| event.display_message.as_str()).collect::<Vec<_>>(),
        ["Task received by client", "Building Task Directory", "Task started by client"]
    );
    assert!(state.state == "running" && state.started_at_ns > 0 && state.finished_at_ns == 0);
    let pid = node.pid(&job, "t").await;
    assert!(is_alive(pid));

    server.stop(&mut job);
    let stopped = server.reported(&job, ClientStatus::Complete).await;
    assert_eq!(stopped.client_description, "All tasks have completed");
    let state = &stopped.task_states["t"];
    assert_eq!(kinds(state)[3..], ["Killing", "Terminated", "Killed"]);
    assert_eq!(message(state, "Killing"), "Sent interrupt. Waiting 5s before force killing");
    assert_eq!(message(state, "Terminated"), "Exit Code: 130, Signal: 2");
    assert!(!state.failed && state.state == "dead" && state.finished_at_ns >= state.started_at_ns);
    assert!(!is_alive(pid));
    assert!(
        node.file(&job, "t/local").is_dir(),
        "the directory stays until the servers remove the allocation"
    );
}

#[tokio::test]
async fn batch_tasks_are_complete_or_failed_by_their_exit_code() {
    let (server, _node) = node_with_server().await;
    let cases = [
        ("exit 0", ClientStatus::Complete, "Exit Code: 0", "0"),
        ("exit 3", ClientStatus::Failed, "Exit Code: 3", "3"),
        ("kill -9 $$", ClientStatus::Failed, "Exit Code: 137, Signal: 9", "137"),
        ("kill -40 $$", ClientStatus::Failed, "Exit Code: 168, Signal: 40", "168"),
    ];
    for (script, status, text, code) in cases {
        let job = Assigned::new("batch", vec![shell("t", script)]);
        server.assign(&job);
        let ended = server.reported(&job, status).await;
        let state = &ended.task_states["t"];
        assert_eq!(message(state, "Terminated"), text, "{script}");
        let terminated = state.events.iter().find(|event| event.r#type == "Terminated").unwrap();
        assert_eq!(terminated.details["exit_code"], code, "{script}");
        let failed = status == ClientStatus::Failed;
        assert_eq!(state.failed, failed, "{script}");
        let last = if failed { "Not Restarting" } else { "Terminated" };
        assert_eq!(kinds(state).last(), Some(&last), "{script}");
        let expected = if failed { "Failed tasks" } else { "All tasks have completed" };
        assert_eq!(ended.client_description, expected, "{script}");
    }
}

#[tokio::test]
async fn a_failing_task_is_restarted_as_often_as_its_policy_allows() {
    let (server, node) = node_with_server().await;
    let job = Assigned::new("batch", vec![shell("t", "echo run >> local/runs; exit 1")]).restarts(2);
    server.assign(&job);
    let failed = server.reported(&job, ClientStatus::Failed).await;
    let state = &failed.task_states["t"];
    assert_eq!(
        kinds(state),
        [
            "Task Setup",
            "Started",
            "Terminated",
            "Restarting",
            "Started",
            "Terminated",
            "Restarting",
            "Started",
            "Terminated",
            "Not Restarting"
        ]
    );
    let reason = "Exceeded allowed attempts 2 in interval 1m0s and mode is \"fail\"";
    assert_eq!(message(state, "Not Restarting"), reason);
    assert!(
        message(state, "Restarting").starts_with("Task restarting in 1"),
        "{}",
        message(state, "Restarting")
    );
    assert_eq!((state.restarts, state.failed), (2, true));
    assert!(state.last_restart_ns > 0);
    assert_eq!(node.text(&job, "t/local/runs", |_| true).await, "run\nrun\nrun\n");
}

#[tokio::test]
async fn a_service_that_exits_well_is_restarted_all_the_same() {
    let (server, node) = node_with_server().await;
    let script = "echo run >> local/runs; test $(wc -l < local/runs) -gt 1 && exec sleep 600; exit 0";
    let job = Assigned::new("service", vec![shell("t", script)]).restarts(1);
    server.assign(&job);
    let state = server.task(&job, "t", |state| state.restarts == 1 && state.state == "running").await;
    assert_eq!(message(&state, "Terminated"), "Exit Code: 0");
    assert_eq!(node.text(&job, "t/local/runs", |_| true).await, "run\nrun\n");
}

#[tokio::test]
async fn a_task_that_does_not_obey_is_killed_with_all_of_its_group() {
    let (server, node) = node_with_server().await;
    let script = "trap '' INT; sleep 600 & echo $! > local/child; echo $$ > local/pid; \
                  while true; do sleep 1; done";
    let task = with(shell("t", script), "KillTimeout", json!(300_000_000));
    let mut job = Assigned::new("service", vec![task]);
    server.assign(&job);
    let pid = node.pid(&job, "t").await;
    let child: i32 =
        node.text(&job, "t/local/child", |text| text.ends_with('\n')).await.trim().parse().unwrap();
    server.reported(&job, ClientStatus::Running).await;
    server.stop(&mut job);
    let stopped = server.reported(&job, ClientStatus::Complete).await;
    assert_eq!(message(&stopped.task_states["t"], "Terminated"), "Exit Code: 137, Signal: 9");
    assert!(!is_alive(pid));
    eventually("the end of the task's child", || (!is_alive(child)).then_some(())).await;
}

#[tokio::test]
async fn a_task_is_asked_to_end_with_the_signal_of_its_choice() {
    let (server, node) = node_with_server().await;
    let script =
        "trap 'echo asked > local/asked; exit 0' USR1; echo $$ > local/pid; while true; do sleep 0.05; done";
    let mut job = Assigned::new("service", vec![with(shell("t", script), "KillSignal", json!("SIGUSR1"))]);
    server.assign(&job);
    node.pid(&job, "t").await;
    server.reported(&job, ClientStatus::Running).await;
    server.stop(&mut job);
    let stopped = server.reported(&job, ClientStatus::Complete).await;
    assert_eq!(message(&stopped.task_states["t"], "Terminated"), "Exit Code: 0");
    assert_eq!(node.text(&job, "t/local/asked", |_| true).await, "asked\n");
}

#[tokio::test]
async fn a_task_finds_its_environment_and_its_directory() {
    let (server, node) = node_with_server().await;
    let script = "pwd > local/pwd; env | sort > ${NOMAD_TASK_DIR}/env.txt.new; \
                  mv local/env.txt.new local/env.txt; echo ${UNKNOWN:-kept}";
    let task = with(shell("t", script), "Env", json!({"MINE": "${NOMAD_JOB_NAME}-${node.datacenter}"}));
    let job = Assigned::new("batch", vec![task]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Complete).await;
    let text = node.text(&job, "t/local/env.txt", |_| true).await;
    let found: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let root = node.path().join("alloc").join(job.uuid().to_string());
    let path = |below: &str| root.join(below).display().to_string();
    let expected = [
        ("MINE", format!("{}-dc1", job.allocation.job_id)),
        ("NOMAD_ALLOC_DIR", path("alloc")),
        ("NOMAD_ALLOC_ID", job.uuid().to_string()),
        ("NOMAD_ALLOC_NAME", format!("{}.g[0]", job.allocation.job_id)),
        ("NOMAD_SECRETS_DIR", path("t/secrets")),
        ("NOMAD_TASK_DIR", path("t/local")),
    ];
    for (name, value) in expected {
        assert_eq!(found.get(name), Some(&value.as_str()), "{name}");
    }
    assert_eq!(node.text(&job, "t/local/pwd", |_| true).await.trim(), path("t"));
    assert_eq!(node.text(&job, "alloc/logs/t.stdout.0", |_| true).await, "kept\n");
}

#[tokio::test]
async fn output_is_in_the_log_files_when_the_end_is_reported_and_files_are_rotated() {
    let (server, node) = node_with_server().await;
    let script = "echo err >&2; i=0; while [ $i -lt 40000 ]; do echo \"line $i of a log that is rotated by its size\"; \
                  i=$((i+1)); done";
    let task = with(shell("t", script), "LogConfig", json!({"MaxFiles": 2, "MaxFileSizeMB": 1}));
    let job = Assigned::new("batch", vec![task]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Complete).await;
    let mut names: Vec<String> = std::fs::read_dir(node.file(&job, "alloc/logs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["t.stderr.0", "t.stdout.0", "t.stdout.1"]);
    let read = |name: &str| std::fs::read_to_string(node.file(&job, &format!("alloc/logs/{name}"))).unwrap();
    let (first, second) = (read("t.stdout.0"), read("t.stdout.1"));
    assert!(first.len() <= 1024 * 1024 && first.ends_with('\n'));
    assert_eq!((first + &second).lines().count(), 40_000, "no line is lost, doubled or torn");
    assert!(second.ends_with("line 39999 of a log that is rotated by its size\n"));
    assert_eq!(read("t.stderr.0"), "err\n");
}

#[tokio::test]
async fn tasks_that_cannot_run_here_fail_and_say_why() {
    let (server, _node) = node_with_server().await;
    let config = |config| with(shell("t", ""), "Config", config);
    let cases = [
        (with(shell("t", ""), "Driver", json!("docker")), "Driver Failure", "no driver \"docker\""),
        (config(json!({"command": "/no/such/program"})), "Driver Failure", "/no/such/program"),
        (config(json!({"args": ["x"]})), "Driver Failure", "\"command\" is missing"),
        (config(json!({"command": "/bin/sh", "image": "x"})), "Driver Failure", "\"image\""),
        (with(shell("t", ""), "User", json!("no-such-user")), "Setup Failure", "no-such-user"),
        (with(shell("t", ""), "KillSignal", json!("SIGNOPE")), "Driver Failure", "SIGNOPE"),
        (with(shell("t", ""), "Artifacts", json!([{"GetterSource": "x"}])), "Setup Failure", "artifact"),
    ];
    for (task, kind, text) in cases {
        let job = Assigned::new("service", vec![task]).restarts(3);
        server.assign(&job);
        let failed = server.reported(&job, ClientStatus::Failed).await;
        let state = &failed.task_states["t"];
        assert!(message(state, kind).contains(text), "{kind} with {text:?}: {state:?}");
        assert!(!kinds(state).contains(&"Started") && state.failed && state.restarts == 0);
    }
}

#[tokio::test]
async fn a_driver_that_is_off_runs_nothing() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    let mut options = node.options(&[&server.address]);
    options.raw_exec_enabled = false;
    node.run_with(options);
    let job = Assigned::new("batch", vec![shell("t", "echo ran > local/ran")]);
    server.assign(&job);
    let failed = server.reported(&job, ClientStatus::Failed).await;
    let text = message(&failed.task_states["t"], "Driver Failure").to_owned();
    assert!(text.contains("disabled on this node"), "{text}");
    assert!(!node.file(&job, "t/local/ran").exists());
}

#[tokio::test]
async fn hostile_task_names_are_refused_and_touch_nothing() {
    let (server, node) = node_with_server().await;
    for name in ["../../escaped", "a/b", "..", ".", "", "alloc", "nul\0"] {
        let job = Assigned::new("batch", vec![shell(name, "true")]);
        server.assign(&job);
        let failed = server.reported(&job, ClientStatus::Failed).await;
        assert!(
            failed.client_description.contains("cannot be used"),
            "{name:?}: {}",
            failed.client_description
        );
        assert!(!node.file(&job, "").exists(), "{name:?}");
    }
    assert!(!node.path().join("escaped").exists() && !node.path().join("alloc/escaped").exists());
}

#[tokio::test]
async fn specifications_that_cannot_be_read_fail_the_allocation() {
    let (server, _node) = node_with_server().await;
    let mut job = Assigned::new("batch", vec![shell("t", "true")]);
    job.spec = json!([1, 2]);
    server.assign(&job);
    let failed = server.reported(&job, ClientStatus::Failed).await;
    assert!(failed.client_description.contains("no task group \"g\""), "{}", failed.client_description);
}

#[tokio::test]
async fn when_one_task_fails_its_siblings_are_stopped() {
    let (server, node) = node_with_server().await;
    let stays = shell("stays", "echo $$ > local/pid; exec sleep 600");
    let falls = shell("falls", "while [ ! -e ../stays/local/pid ]; do sleep 0.02; done; exit 1");
    let job = Assigned::new("service", vec![stays, falls]);
    server.assign(&job);
    let pid = node.pid(&job, "stays").await;
    let state = server.task(&job, "stays", |state| state.state == "dead").await;
    assert_eq!(message(&state, "Sibling Task Failed"), "Task's sibling \"falls\" failed");
    assert!(!state.failed && !is_alive(pid));
    server.reported(&job, ClientStatus::Failed).await;
}

#[tokio::test]
async fn when_the_leader_ends_the_others_are_stopped_and_the_allocation_is_complete() {
    let (server, node) = node_with_server().await;
    let follows = shell("follows", "echo $$ > local/pid; exec sleep 600");
    let script = "while [ ! -e ../follows/local/pid ]; do sleep 0.02; done; exit 0";
    let leads = with(shell("leads", script), "Leader", json!(true));
    let job = Assigned::new("batch", vec![follows, leads]);
    server.assign(&job);
    let pid = node.pid(&job, "follows").await;
    let complete = server.reported(&job, ClientStatus::Complete).await;
    assert_eq!(message(&complete.task_states["follows"], "Leader Task Dead"), "Leader Task in Group dead");
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_stopped_group_loses_its_leader_first() {
    let (server, node) = node_with_server().await;
    let follows = shell("follows", "trap 'exit 0' INT; echo $$ > local/pid; while true; do sleep 0.02; done");
    let script = "trap 'kill -0 $(cat ../follows/local/pid) && echo alive > local/seen; exit 0' INT; \
                  echo $$ > local/pid; while true; do sleep 0.02; done";
    let leads = with(shell("leads", script), "Leader", json!(true));
    let mut job = Assigned::new("service", vec![follows, leads]);
    server.assign(&job);
    node.pid(&job, "follows").await;
    node.pid(&job, "leads").await;
    server.reported(&job, ClientStatus::Running).await;
    server.stop(&mut job);
    server.reported(&job, ClientStatus::Complete).await;
    assert_eq!(node.text(&job, "leads/local/seen", |_| true).await, "alive\n");
}

#[tokio::test]
async fn what_whoever_started_the_agent_had_open_does_not_stay_open() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    let mut options = node.options(&[&server.address]);
    let harness = std::mem::replace(&mut options.supervisor_program.program, "/bin/sh".into());
    let script = "ulimit -Sn 400; exec 7>/dev/null; exec \"$0\" node-supervisor \"$@\"";
    options.supervisor_program.args = vec!["-c".into(), script.into(), harness.into()];
    node.run_with(options);
    let script = "ls /proc/$$/fd > local/open; ulimit -Sn >> local/open";
    let job = Assigned::new("batch", vec![shell("t", script)]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Complete).await;
    let supervisor = node.supervisor_pid(None).await;
    let held = std::fs::read_link(format!("/proc/{supervisor}/fd/7")).ok();
    assert_ne!(held, Some("/dev/null".into()));
    let text = node.text(&job, "t/local/open", |_| true).await;
    // The shell has its three standard streams and its redirection; the limit is inherited from the supervisor's
    // starter.
    assert!(!text.lines().any(|line| line == "7"), "{text}");
    assert_eq!(text.lines().last(), Some("400"));
}

#[tokio::test]
async fn a_task_whose_environment_is_too_large_fails_and_the_others_run() {
    let (server, _node) = node_with_server().await;
    // Each variable is within the limits of a specification; together they exceed what the kernel accepts on exec.
    let env: BTreeMap<String, String> =
        (0..20).map(|number| (format!("E{number}"), "x".repeat(1024 * 1024))).collect();
    let large = Assigned::new("batch", vec![with(shell("t", "true"), "Env", json!(env))]);
    let small = Assigned::new("batch", vec![shell("t", "true")]);
    server.assign(&large);
    server.assign(&small);
    let failed = server.reported(&large, ClientStatus::Failed).await;
    let text = message(&failed.task_states["t"], "Driver Failure").to_owned();
    assert!(text.contains("too large"), "{text}");
    server.reported(&small, ClientStatus::Complete).await;
}

#[tokio::test]
async fn a_command_of_megabytes_fails_in_few_words_and_the_others_run() {
    let (server, _node) = node_with_server().await;
    let config = json!({"command": "x".repeat(2_200_000), "args": []});
    let large = Assigned::new("batch", vec![with(shell("t", "true"), "Config", config)]);
    let small = Assigned::new("batch", vec![shell("t", "true")]);
    server.assign(&large);
    server.assign(&small);
    let failed = server.reported(&large, ClientStatus::Failed).await;
    let text = message(&failed.task_states["t"], "Driver Failure").to_owned();
    assert!(text.starts_with("failed to execute xxx") && text.contains("bytes are left out"), "{text}");
    assert!(text.ends_with("File name too long (os error 36)"), "{text}");
    server.reported(&small, ClientStatus::Complete).await;
    assert_eq!(server.state().hellos.len(), 1, "the session is the first one");
}

#[tokio::test]
async fn signals_that_whoever_started_the_agent_ignored_reach_tasks_again() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    let mut options = node.options(&[&server.address]);
    let harness = std::mem::replace(&mut options.supervisor_program.program, "/bin/sh".into());
    let script = "trap '' HUP INT QUIT TERM USR1 USR2; exec \"$0\" node-supervisor \"$@\"";
    options.supervisor_program.args = vec!["-c".into(), script.into(), harness.into()];
    node.run_with(options);
    let job = Assigned::new("batch", vec![shell("t", "grep SigIgn /proc/$$/status > local/ignored")]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Complete).await;
    let text = node.text(&job, "t/local/ignored", |_| true).await;
    let ignored = u64::from_str_radix(text.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    // The C library reserves signals above 31.
    assert_eq!(ignored & 0x7fff_ffff, 0, "{text}");
}
