//! Tests that kill the agent, the supervisor, or both. A task is never started twice and never lost, and its exit is
//! known whenever a supervisor was running to see it.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod support;

use ordu_proto::state::ClientStatus;
use support::jobs::{Assigned, shell};
use support::node::TestNode;
use support::server::TestServer;
use support::{eventually, is_alive, kill};

/// Records each start in a file, and runs until a file tells it to end.
const LONG: &str = "echo $$ >> ../alloc/data/starts; echo $$ > local/pid; echo begins; \
                    while [ ! -e local/end ]; do sleep 0.05; done; echo ends; exit 7";

fn starts(node: &TestNode, job: &Assigned) -> usize {
    let text = std::fs::read_to_string(node.file(job, "alloc/data/starts")).unwrap_or_default();
    text.lines().count()
}

fn let_end(node: &TestNode, job: &Assigned) {
    std::fs::write(node.file(job, "t/local/end"), "").unwrap();
}

fn exit_message(server: &TestServer, job: &Assigned) -> String {
    let state = server.latest(job).unwrap().task_states["t"].clone();
    let terminated = state.events.iter().find(|event| event.r#type == "Terminated");
    terminated.map(|event| event.display_message.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_killed_agents_successor_finds_its_tasks_running_and_sees_them_end() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let job = Assigned::new("batch", vec![shell("t", LONG)]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    let pid = node.pid(&job, "t").await;
    for round in 0..3 {
        node.kill();
        assert!(is_alive(pid), "round {round}");
        let before = server.state().hellos.len();
        node.spawn(&[&server.address]);
        eventually("the agent's return", || (server.state().hellos.len() > before).then_some(())).await;
    }
    let_end(&node, &job);
    server.reported(&job, ClientStatus::Failed).await;
    assert_eq!(exit_message(&server, &job), "Exit Code: 7");
    assert_eq!(starts(&node, &job), 1);
    let state = &server.latest(&job).unwrap().task_states["t"];
    let started = state.events.iter().filter(|event| event.r#type == "Started").count();
    assert_eq!(started, 1, "{:?}", state.events);
    let secrets: Vec<_> = server.state().hellos.iter().map(|hello| hello.secret_id.clone()).collect();
    assert!(secrets.windows(2).all(|pair| pair[0] == pair[1]), "the node stays who it is");
}

#[tokio::test]
async fn exit_codes_of_tasks_that_ended_without_an_agent_are_known() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let job = Assigned::new("batch", vec![shell("t", LONG)]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    let pid = node.pid(&job, "t").await;
    node.kill();
    let_end(&node, &job);
    eventually("the task's end", || (!is_alive(pid)).then_some(())).await;
    node.spawn(&[&server.address]);
    server.reported(&job, ClientStatus::Failed).await;
    assert_eq!(exit_message(&server, &job), "Exit Code: 7");
    assert_eq!(node.text(&job, "alloc/logs/t.stdout.0", |_| true).await, "begins\nends\n");
    assert_eq!(starts(&node, &job), 1);
    eventually("the end of the supervisor's record", || node.supervisor_records().is_empty().then_some(()))
        .await;
}

#[tokio::test]
async fn an_agent_without_any_server_goes_on_with_what_was_written_down() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let script = "echo $$ >> ../alloc/data/starts; [ $(wc -l < ../alloc/data/starts) -gt 1 ] && exec sleep 600; \
                  echo $$ > local/pid; while [ ! -e local/end ]; do sleep 0.05; done; exit 7";
    let job = Assigned::new("service", vec![shell("t", script)]).restarts(1);
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    node.pid(&job, "t").await;
    node.kill();
    server.die();
    node.spawn(&[&server.address]);
    let_end(&node, &job);
    eventually("the restart by policy", || (starts(&node, &job) == 2).then_some(())).await;
}

#[tokio::test]
async fn a_killed_supervisors_successor_takes_the_tasks_over_with_their_output() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let script = "echo $$ >> ../alloc/data/starts; sleep 600 & echo $! > local/child; echo $$ > local/pid; \
                  echo begins; i=0; \
                  while [ ! -e local/end ]; do i=$((i+1)); echo \"line $i\"; sleep 0.02; done; echo ends";
    let mut job = Assigned::new("service", vec![shell("t", script)]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    let pid = node.pid(&job, "t").await;
    let first = node.supervisor_pid(None).await;
    kill(first);
    node.supervisor_pid(Some(first)).await;
    assert!(is_alive(pid) && starts(&node, &job) == 1);
    let lines_now = node.text(&job, "alloc/logs/t.stdout.0", |_| true).await.lines().count();
    let text = node.text(&job, "alloc/logs/t.stdout.0", |text| text.lines().count() > lines_now + 5).await;
    let expected: Vec<String> = (1..text.lines().count()).map(|number| format!("line {number}")).collect();
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), expected, "output goes on without a gap");
    // The task can still be stopped, although its new supervisor is not its parent.
    server.stop(&mut job);
    server.reported(&job, ClientStatus::Complete).await;
    assert!(!is_alive(pid) && starts(&node, &job) == 1);
    let child = node.text(&job, "t/local/child", |_| true).await.trim().parse().unwrap();
    eventually("the end of the task's child", || (!is_alive(child)).then_some(())).await;
}

#[tokio::test]
async fn an_end_that_the_agent_cannot_write_down_is_not_forgotten_and_nothing_runs_again() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let job = Assigned::new("batch", vec![shell("t", LONG)]).restarts(3);
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    let state = || node.task_states(&job);
    eventually("the task's start, written down", || state().contains("Started").then_some(())).await;
    let (states, hidden) = (node.path().join("client/allocs"), node.path().join("client/hidden"));
    std::fs::rename(&states, &hidden).unwrap();
    // The file makes the running attempt and all later ones end.
    std::fs::write(node.file(&job, "t/local/end"), "").unwrap();
    server.task(&job, "t", |state| state.restarts == 3 && state.state == "dead").await;
    let records = node.supervisor_records();
    assert_eq!(records.len(), 4, "every attempt is still known: {records:?}");
    node.kill();
    std::fs::rename(&hidden, &states).unwrap();
    let before = server.state().hellos.len();
    node.spawn(&[&server.address]);
    eventually("the agent's return", || (server.state().hellos.len() > before).then_some(())).await;
    eventually("the end of the records", || node.supervisor_records().is_empty().then_some(())).await;
    server.reported(&job, ClientStatus::Failed).await;
    assert_eq!((starts(&node, &job), exit_message(&server, &job)), (4, "Exit Code: 7".to_owned()));
}

#[tokio::test]
async fn a_state_without_its_assignment_is_not_enough_to_forget_how_a_task_ended() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let job = Assigned::new("batch", vec![shell("t", LONG)]);
    let states = node.path().join("client/allocs");
    // The agent sends Hello after it has read its files; an unreadable file at that point would end it.
    eventually("the agent's greeting", || (!server.state().hellos.is_empty()).then_some(())).await;
    // A directory at the path of the assignment makes writing the assignment fail.
    let in_the_way = states.join(format!("{}.assignment", job.uuid()));
    std::fs::create_dir(&in_the_way).unwrap();
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    let_end(&node, &job);
    server.reported(&job, ClientStatus::Failed).await;
    eventually("the task's end, written down", || {
        node.task_states(&job).contains("Terminated").then_some(())
    })
    .await;
    node.kill();
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(node.supervisor_records().len(), 1, "its supervisor knows how it ended");
    // The servers lose the report.
    server.go_back(&job);
    node.spawn(&[&server.address]);
    server.reported(&job, ClientStatus::Failed).await;
    assert_eq!(starts(&node, &job), 1);
}

#[tokio::test]
async fn what_is_over_is_kept_until_the_disk_takes_it() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let mut job = Assigned::new("service", vec![shell("t", LONG)]).restarts(3);
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    let has = |text: &str| node.task_states(&job).contains(text);
    eventually("the task's start, written down", || has("Started").then_some(())).await;
    let (states, hidden) = (node.path().join("client/allocs"), node.path().join("client/hidden"));
    std::fs::rename(&states, &hidden).unwrap();
    server.stop(&mut job);
    server.reported(&job, ClientStatus::Complete).await;
    server.finish(&job);
    // The report of another allocation shows that the agent has processed everything sent before it.
    let other = Assigned::new("batch", vec![shell("t", "exit 0")]);
    server.assign(&other);
    server.reported(&other, ClientStatus::Complete).await;
    std::fs::rename(&hidden, &states).unwrap();
    eventually("the task's end, written down", || node.task_states(&job).contains("Killed").then_some(()))
        .await;
}

#[tokio::test]
async fn a_task_that_has_removed_its_logs_goes_on_and_keeps_no_other_from_being_stopped() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    // Ten rounds exceed the capacity of a pipe, so the task blocks if the pipe is not read.
    let script =
        "echo $$ > local/pid; while true; do head -c 8192 /dev/zero; echo >> local/rounds; sleep 0.02; done";
    let mut jobs = [(); 2].map(|()| Assigned::new("service", vec![shell("t", script)]));
    let mut pids = Vec::new();
    for job in &jobs {
        server.assign(job);
        server.reported(job, ClientStatus::Running).await;
        pids.push(node.pid(job, "t").await);
    }
    let supervisor = node.supervisor_pid(None).await;
    node.kill();
    kill(supervisor);
    std::fs::remove_dir_all(node.file(&jobs[0], "alloc/logs")).unwrap();
    node.spawn(&[&server.address]);
    for job in &jobs {
        let rounds = node.text(job, "t/local/rounds", |_| true).await.len();
        node.text(job, "t/local/rounds", |text| text.len() > rounds + 20).await;
    }
    for job in &mut jobs {
        server.stop(job);
    }
    for (job, pid) in jobs.iter().zip(pids) {
        server.reported(job, ClientStatus::Complete).await;
        assert!(!is_alive(pid));
    }
}

#[tokio::test]
async fn the_end_of_a_task_that_no_supervisor_saw_is_unknown_and_counts_as_a_failure() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let job = Assigned::new("batch", vec![shell("t", LONG)]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    let pid = node.pid(&job, "t").await;
    let supervisor = node.supervisor_pid(None).await;
    node.kill();
    kill(supervisor);
    assert!(is_alive(pid), "tasks live on without either");
    let_end(&node, &job);
    eventually("the task's end", || (!is_alive(pid)).then_some(())).await;
    node.spawn(&[&server.address]);
    let failed = server.reported(&job, ClientStatus::Failed).await;
    assert!(exit_message(&server, &job).contains("not known"), "{failed:?}");
    assert_eq!(starts(&node, &job), 1);
}

#[tokio::test]
async fn a_process_that_was_given_the_number_of_a_task_is_not_touched() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let mut job = Assigned::new("service", vec![shell("t", LONG)]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    let supervisor = node.supervisor_pid(None).await;
    node.kill();
    kill(supervisor);
    // Simulate a reused pid: the record's pid now belongs to a process with another start time.
    let mut stranger =
        tokio::process::Command::new("/bin/sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    let mut record = node.supervisor_records().remove(0);
    record["pid"] = serde_json::json!(stranger.id());
    node.replace_supervisor_record(&record);
    node.spawn(&[&server.address]);
    server.reported(&job, ClientStatus::Failed).await;
    server.stop(&mut job);
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
}

#[tokio::test]
async fn an_agent_that_lost_what_it_wrote_down_does_not_start_running_tasks_again() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    // The running attempt is the second one, so merely starting again with the first would be noticed.
    let script = "echo $$ >> ../alloc/data/starts; [ $(wc -l < ../alloc/data/starts) -gt 1 ] || exit 1; \
                  echo $$ > local/pid; exec sleep 600";
    let mut job = Assigned::new("service", vec![shell("t", script)]).restarts(2);
    server.assign(&job);
    server.task(&job, "t", |state| state.restarts == 1 && state.state == "running").await;
    let pid = node.pid(&job, "t").await;
    node.kill();
    let states = node.path().join("client/allocs");
    std::fs::remove_dir_all(&states).unwrap();
    std::fs::create_dir(&states).unwrap();
    let before = server.state().updates.len();
    node.spawn(&[&server.address]);
    eventually("the agent's report", || (server.state().updates.len() > before).then_some(())).await;
    server.task(&job, "t", |state| state.restarts == 0 && state.state == "running").await;
    assert!(is_alive(pid));
    server.stop(&mut job);
    server.reported(&job, ClientStatus::Complete).await;
    assert!(!is_alive(pid));
    assert_eq!(starts(&node, &job), 2);
}

#[tokio::test]
async fn agents_and_supervisors_killed_at_any_moment_of_many_starts_double_and_lose_nothing() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let jobs: Vec<Assigned> = (0..24).map(|_| Assigned::new("batch", vec![shell("t", LONG)])).collect();
    for (number, job) in jobs.iter().enumerate() {
        server.assign(job);
        if number % 6 == 5 {
            // Kill at various points during the starts, each time a little later.
            tokio::time::sleep(std::time::Duration::from_millis(7 * number as u64)).await;
            if number % 12 == 11 {
                kill(node.supervisor_pid(None).await);
            }
            node.kill();
            node.spawn(&[&server.address]);
        }
    }
    for job in &jobs {
        let what = format!("one start of {}", job.uuid());
        eventually(&what, || (starts(&node, job) == 1).then_some(())).await;
    }
    for job in &jobs {
        let_end(&node, job);
    }
    for job in &jobs {
        server.reported(job, ClientStatus::Failed).await;
        assert_eq!(starts(&node, job), 1, "{}", job.uuid());
    }
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused_in_words() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    eventually("the first agent", || (!server.state().hellos.is_empty()).then_some(())).await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let refusal = ordu_agent::run(node.options(&[&server.address]), shutdown).await.unwrap_err().to_string();
    assert!(refusal.contains("is in use by another agent"), "{refusal}");
}

#[tokio::test]
async fn an_agent_that_ends_leaves_its_tasks_unless_told_to_stop_them() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let job = Assigned::new("service", vec![shell("t", LONG)]);
    server.assign(&job);
    let pid = node.pid(&job, "t").await;
    server.reported(&job, ClientStatus::Running).await;
    node.shut_down().await;
    assert!(is_alive(pid));
    let supervisor = node.supervisor_pid(None).await;

    let mut options = node.options(&[&server.address]);
    options.stop_tasks_on_shutdown = true;
    let before = server.state().hellos.len();
    node.run_with(options);
    eventually("the second agent", || (server.state().hellos.len() > before).then_some(())).await;
    node.shut_down().await;
    assert!(!is_alive(pid));
    eventually("the supervisor's end", || (!is_alive(supervisor)).then_some(())).await;
    assert_eq!(starts(&node, &job), 1);
}

#[tokio::test]
async fn a_data_directory_may_have_a_path_longer_than_a_sockets_address() {
    let server = TestServer::start().await;
    let mut node = TestNode::below(&"long-".repeat(30));
    node.run(&[&server.address]);
    let job = Assigned::new("service", vec![shell("t", LONG)]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    let first = node.supervisor_pid(None).await;
    kill(first);
    node.supervisor_pid(Some(first)).await;
    let_end(&node, &job);
    server.reported(&job, ClientStatus::Failed).await;
    assert_eq!(starts(&node, &job), 1);
}

#[tokio::test]
async fn a_supervisor_with_nothing_to_do_ends_by_itself() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let job = Assigned::new("batch", vec![shell("t", "true")]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Complete).await;
    let supervisor = node.supervisor_pid(None).await;
    node.kill();
    eventually("the supervisor's end", || (!is_alive(supervisor)).then_some(())).await;
}

/// What becomes of a node's directory while its agent is away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Directory {
    Stays,
    Removed,
    OfAnotherNode,
}

#[tokio::test]
async fn tasks_end_when_their_directory_is_lost_and_go_on_when_their_agent_is_merely_away() {
    let server = TestServer::start().await;
    let mut all = Vec::new();
    for fate in [Directory::Stays, Directory::Removed, Directory::OfAnotherNode] {
        let mut node = TestNode::new();
        // Only SIGKILL ends the second one.
        let stubborn = format!("trap '' TERM; {LONG}");
        let jobs = [("t", LONG), ("t", stubborn.as_str())]
            .map(|(name, script)| Assigned::new("service", vec![shell(name, script)]));
        server.state().forget_all();
        jobs.iter().for_each(|job| server.assign(job));
        node.spawn(&[&server.address]);
        let mut pids = Vec::new();
        for job in &jobs {
            pids.push(node.pid(job, "t").await);
            server.reported(job, ClientStatus::Running).await;
        }
        let supervisor = node.supervisor_pid(None).await;
        node.kill();
        all.push((fate, node, supervisor, pids));
    }
    for (fate, node, ..) in &all {
        let client = node.path().join("client");
        match fate {
            Directory::Stays => {}
            Directory::Removed => std::fs::remove_dir_all(node.path()).unwrap(),
            Directory::OfAnotherNode => {
                std::fs::write(client.join("client-id"), uuid::Uuid::new_v4().to_string()).unwrap();
            }
        }
    }
    for (fate, _, supervisor, pids) in all.iter().filter(|(fate, ..)| *fate != Directory::Stays) {
        let processes = || pids.iter().chain([supervisor]);
        eventually(&format!("{fate:?}: the end of supervisor and tasks"), || {
            (!processes().any(|pid| is_alive(*pid))).then_some(())
        })
        .await;
    }
    let (_, _, supervisor, pids) = &all[0];
    assert!(pids.iter().chain([supervisor]).all(|pid| is_alive(*pid)));
    // A new node works in the place of a removed one.
    let (_, node, ..) = &mut all[1];
    server.state().forget_all();
    let next = Assigned::new("service", vec![shell("t", LONG)]);
    server.assign(&next);
    node.spawn(&[&server.address]);
    server.reported(&next, ClientStatus::Running).await;
}

#[tokio::test]
async fn a_supervisor_that_does_not_answer_is_told_and_gets_no_work_until_it_answers() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let supervisor = node.supervisor_pid(None).await;
    let health = || {
        let state = server.state();
        let driver = state.hellos.last()?.node.as_ref()?.drivers.get("raw_exec")?.clone();
        Some((driver.healthy, driver.health_description))
    };
    let signal = |signal| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(supervisor), signal).unwrap();
    };
    eventually("the node, in good health", || health().filter(|(healthy, _)| *healthy)).await;
    signal(nix::sys::signal::Signal::SIGSTOP);
    let (_, text) = eventually("bad health", || health().filter(|(healthy, _)| !healthy)).await;
    assert_eq!(text, "the node supervisor does not answer");
    signal(nix::sys::signal::Signal::SIGCONT);
    eventually("good health again", || health().filter(|(healthy, _)| *healthy)).await;
}
