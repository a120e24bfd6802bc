//! Tests of sessions: heartbeats; servers that die, fall silent, refuse the node or lag behind; and reports that must
//! arrive nevertheless.

mod support;

use ordu_proto::state::{ClientStatus, DesiredStatus};
use support::jobs::{Assigned, shell};
use support::node::TestNode;
use support::server::TestServer;
use support::{eventually, is_alive};

const LONG: &str = "echo $$ > local/pid; exec sleep 600";

#[tokio::test]
async fn a_node_introduces_itself_with_a_secret_and_proves_to_be_alive() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    eventually("heartbeats", || (server.state().heartbeats >= 3).then_some(())).await;
    let state = server.state();
    assert_eq!(state.hellos.len(), 1);
    let introduced = state.hellos[0].node.as_ref().unwrap();
    assert_eq!(introduced.id.len(), 16);
    assert_eq!(introduced.attributes["driver.raw_exec"], "1");
    assert_eq!((introduced.datacenter.as_str(), introduced.status), ("dc1", 0));
    assert_eq!(state.hellos[0].secret_id.len(), 36);
    assert!(introduced.secret_hash.is_empty());
}

#[tokio::test]
async fn when_a_server_dies_the_node_moves_to_another_and_its_tasks_do_not_notice() {
    let (first, second) = (TestServer::start().await, TestServer::start().await);
    // The agent is configured with the first server only and learns the second from it.
    first.state().servers = vec![first.address.clone(), second.address.clone()];
    let mut node = TestNode::new();
    node.run(&[&first.address]);
    let mut job = Assigned::new("service", vec![shell("t", LONG)]);
    first.assign(&job);
    first.reported(&job, ClientStatus::Running).await;
    let pid = node.pid(&job, "t").await;
    second.assign(&job);
    first.die();
    eventually("a session with the second server", || (!second.state().hellos.is_empty()).then_some(()))
        .await;
    second.reported(&job, ClientStatus::Running).await;
    assert!(is_alive(pid));
    second.stop(&mut job);
    second.reported(&job, ClientStatus::Complete).await;
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left() {
    let (first, second) = (TestServer::start().await, TestServer::start().await);
    let mut node = TestNode::new();
    node.run(&[&first.address]);
    first.state().servers = vec![second.address.clone()];
    eventually("the list to be learned", || (first.state().heartbeats > 1).then_some(())).await;
    first.state().acknowledges_heartbeats = false;
    eventually("a session with the second server", || (!second.state().hellos.is_empty()).then_some(()))
        .await;
}

#[tokio::test]
async fn updates_are_sent_again_until_they_are_acknowledged_even_to_another_server() {
    let (first, second) = (TestServer::start().await, TestServer::start().await);
    first.state().acknowledges_updates = false;
    let mut node = TestNode::new();
    node.run(&[&first.address]);
    let job = Assigned::new("batch", vec![shell("t", "exit 3")]);
    second.assign(&job);
    first.assign(&job);
    let last = |server: &TestServer| server.state().updates.last().cloned();
    let sent = eventually("the same update twice", || {
        let state = first.state();
        let failed = |update: &&ordu_proto::node::AllocUpdates| {
            update.updates.iter().any(|update| update.client_status() == ClientStatus::Failed)
        };
        (state.updates.iter().filter(failed).count() >= 2).then(|| state.updates.clone())
    })
    .await;
    let numbers: Vec<u64> = sent.iter().map(|update| update.sequence).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "numbers rise by one");

    first.state().servers = vec![second.address.clone()];
    let heartbeats = first.state().heartbeats;
    eventually("the list to be learned", || (first.state().heartbeats > heartbeats + 1).then_some(())).await;
    first.die();
    second.reported(&job, ClientStatus::Failed).await;
    assert_eq!(last(&second).unwrap().sequence, 1, "numbers begin anew with each session");
    let count = second.state().updates.len();
    second.let_it_send_again().await;
    assert_eq!(second.state().updates.len(), count, "what is acknowledged is not sent again");
}

#[tokio::test]
async fn a_server_that_knows_the_state_is_not_told_again() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let job = Assigned::new("service", vec![shell("t", LONG)]);
    server.assign(&job);
    server.task(&job, "t", |state| state.events.last().is_some_and(|event| event.r#type == "Started")).await;
    server.let_it_send_again().await;
    let count = server.state().updates.len();
    server.end_sessions();
    eventually("the agent's return", || (server.state().hellos.len() == 2).then_some(())).await;
    server.let_it_send_again().await;
    assert_eq!(server.state().updates.len(), count);
}

#[tokio::test]
async fn many_changes_go_out_in_few_messages() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let jobs: Vec<Assigned> = (0..20).map(|_| Assigned::new("batch", vec![shell("t", "exit 0")])).collect();
    let began = std::time::Instant::now();
    for job in &jobs {
        server.assign(job);
    }
    for job in &jobs {
        server.reported(job, ClientStatus::Complete).await;
    }
    let messages = server.state().updates.len() as u128;
    let windows = began.elapsed().as_millis() / 200 + 2;
    assert!(messages <= windows, "{messages} messages in {windows} windows");
}

#[tokio::test]
async fn a_refused_node_asks_again_and_does_not_hurry() {
    let server = TestServer::start().await;
    server.state().refuses = Some("the node's secret does not match".into());
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    eventually("the first try", || (!server.state().hellos.is_empty()).then_some(())).await;
    eventually("the second try", || (server.state().hellos.len() >= 2).then_some(())).await;
    let tried_at = server.state().hellos_at.clone();
    assert!(tried_at[1] - tried_at[0] > std::time::Duration::from_secs(1), "{tried_at:?}");
    server.state().refuses = None;
    eventually("heartbeats", || (server.state().heartbeats > 0).then_some(())).await;
}

#[tokio::test]
async fn allocations_that_the_servers_do_not_know_any_more_are_stopped_and_removed() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let told = Assigned::new("service", vec![shell("t", LONG)]);
    let untold = Assigned::new("service", vec![shell("t", LONG)]);
    let ended = Assigned::new("batch", vec![shell("t", "true")]);
    for job in [&told, &untold, &ended] {
        server.assign(job);
    }
    let (told_pid, untold_pid) = (node.pid(&told, "t").await, node.pid(&untold, "t").await);
    server.reported(&ended, ClientStatus::Complete).await;
    let is_gone = |job: &Assigned| {
        let state = node.path().join(format!("client/allocs/{}.assignment", job.uuid()));
        (!node.file(job, "").exists() && !state.exists()).then_some(())
    };
    assert!(is_gone(&ended).is_none(), "an ended allocation's files stay until it is removed");

    server.remove(&told, true);
    eventually("the end of what was removed", || is_gone(&told)).await;
    assert!(!is_alive(told_pid) && is_alive(untold_pid));

    server.remove(&untold, false);
    server.remove(&ended, false);
    server.end_sessions();
    eventually("the end of what a full set does not name", || is_gone(&untold)).await;
    eventually("the end of what had ended before", || is_gone(&ended)).await;
    assert!(!is_alive(untold_pid));
    eventually("the end of the supervisor's records", || node.supervisor_records().is_empty().then_some(()))
        .await;
}

#[tokio::test]
async fn files_of_an_allocation_that_is_over_stay_while_the_servers_know_it() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let (over, gone) = (
        Assigned::new("batch", vec![shell("t", "echo kept")]),
        Assigned::new("batch", vec![shell("t", "true")]),
    );
    server.assign(&over);
    server.assign(&gone);
    server.reported(&over, ClientStatus::Complete).await;
    server.reported(&gone, ClientStatus::Complete).await;
    server.remove(&over, false);
    server.remove(&gone, false);
    server.state().over.push(over.id());
    server.end_sessions();
    eventually("the removal of the other", || (!node.file(&gone, "").exists()).then_some(())).await;
    assert_eq!(node.text(&over, "alloc/logs/t.stdout.0", |_| true).await, "kept\n");
}

#[tokio::test]
async fn each_report_is_known_to_be_later_than_those_before_even_to_an_agent_that_forgot_them() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.spawn(&[&server.address]);
    let script = "while [ ! -e local/end ]; do sleep 0.05; done; exit 3";
    let mut job = Assigned::new("batch", vec![shell("t", script)]);
    // A stamp from a clock that was ahead of the present one.
    let ahead = 9_000_000_000_000_000_000;
    job.allocation.client_stamp = ahead;
    server.assign(&job);
    server.reported(&job, ClientStatus::Running).await;
    node.kill_and_forget(&job).await;
    node.spawn(&[&server.address]);
    std::fs::create_dir_all(node.file(&job, "t/local")).unwrap();
    std::fs::write(node.file(&job, "t/local/end"), "").unwrap();
    server.reported(&job, ClientStatus::Failed).await;
    let latest = server.latest(&job).unwrap().stamp;
    let stamps: Vec<i64> =
        server.state().updates.iter().flat_map(|sent| &sent.updates).map(|update| update.stamp).collect();
    assert!(stamps[0] > ahead && stamps.iter().max() == Some(&latest), "{stamps:?}");
    let running = stamps.len() - 1;
    assert!(stamps[..running].iter().all(|stamp| *stamp < latest), "{stamps:?}");
}

#[tokio::test]
async fn a_full_set_in_several_messages_stops_only_what_none_of_them_names() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let jobs = [(); 4].map(|()| Assigned::new("service", vec![shell("t", LONG)]));
    for job in &jobs {
        server.assign(job);
        server.reported(job, ClientStatus::Running).await;
    }
    let mut pids = Vec::new();
    for job in &jobs {
        pids.push(node.pid(job, "t").await);
    }
    server.state().allocs_per_message = 1;
    server.remove(&jobs[1], false);
    server.end_sessions();
    eventually("the end of what is not named", || (!node.file(&jobs[1], "").exists()).then_some(())).await;
    let alive: Vec<bool> = pids.iter().map(|pid| is_alive(*pid)).collect();
    assert_eq!(alive, [true, false, true, true]);
}

#[tokio::test]
async fn what_a_server_has_and_cannot_decode_goes_on() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let jobs = [(); 2].map(|()| Assigned::new("service", vec![shell("t", LONG)]));
    for job in &jobs {
        server.assign(job);
        server.reported(job, ClientStatus::Running).await;
    }
    let pid = node.pid(&jobs[0], "t").await;
    server.remove(&jobs[0], false);
    server.remove(&jobs[1], false);
    let unknown = Assigned::new("service", vec![shell("t", LONG)]);
    server.state().kept = vec![jobs[0].id(), unknown.id()];
    server.end_sessions();
    eventually("the end of what is not named", || (!node.file(&jobs[1], "").exists()).then_some(())).await;
    assert!(is_alive(pid) && node.file(&jobs[0], "").exists());
}

#[tokio::test]
async fn what_is_over_never_runs_again_and_is_told_again_to_servers_that_forgot() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let job = Assigned::new("batch", vec![shell("t", "echo run >> local/runs; exit 3")]);
    server.assign(&job);
    server.reported(&job, ClientStatus::Failed).await;
    server.finish(&job);
    server.go_back(&job);
    server.end_sessions();
    let told = server.reported(&job, ClientStatus::Failed).await;
    assert!(told.task_states["t"].failed);
    assert_eq!(node.text(&job, "t/local/runs", |_| true).await, "run\n");
    server.finish(&job);
    server.state().over.clear();
    server.end_sessions();
    eventually("the removal of its files", || (!node.file(&job, "").exists()).then_some(())).await;
}

#[tokio::test]
async fn a_server_that_lags_behind_does_not_make_the_node_stop_what_it_has_not_heard_of() {
    let (ahead, behind) = (TestServer::start().await, TestServer::start().await);
    ahead.state().state_index = 200;
    behind.state().state_index = 150;
    let mut node = TestNode::new();
    let job = Assigned::new("service", vec![shell("t", LONG)]);
    ahead.assign(&job);
    ahead.state().servers = vec![behind.address.clone()];
    node.run(&[&ahead.address]);
    ahead.reported(&job, ClientStatus::Running).await;
    let pid = node.pid(&job, "t").await;
    let first = ahead.state().hellos.len();
    ahead.end_sessions();
    eventually("the lagging server's turn", || (!behind.state().hellos.is_empty()).then_some(())).await;
    eventually("the return to the first", || (ahead.state().hellos.len() > first).then_some(())).await;
    assert!(is_alive(pid));
    behind.state().state_index = 200;
    behind.assign(&job);
    let before = behind.state().heartbeats;
    ahead.die();
    eventually("a session with the one that caught up", || {
        (behind.state().heartbeats > before).then_some(())
    })
    .await;
    assert!(is_alive(pid));
}

#[tokio::test]
async fn a_node_takes_the_state_of_restored_servers_after_a_while_and_what_that_names_goes_on() {
    let server = TestServer::start().await;
    server.state().state_index = 200;
    server.state().holds_nodes = true;
    let mut node = TestNode::new();
    let [named, unknown] = [(); 2].map(|()| Assigned::new("service", vec![shell("t", LONG)]));
    let over = Assigned::new("batch", vec![shell("t", "true")]);
    for job in [&named, &unknown, &over] {
        server.assign(job);
    }
    node.run(&[&server.address]);
    server.reported(&over, ClientStatus::Complete).await;
    server.finish(&over);
    let mut pids = Vec::new();
    for job in [&named, &unknown] {
        server.reported(job, ClientStatus::Running).await;
        pids.push(node.pid(job, "t").await);
    }
    // In the restored snapshot, `named` has an older index and `unknown` does not exist.
    let mut restored = named.clone();
    restored.allocation.alloc_modify_index = 5;
    server.remove(&named, false);
    server.remove(&unknown, false);
    server.state().state_index = 150;
    server.go_back(&restored);
    server.end_sessions();
    let told = eventually("the node takes the older state", || {
        let state = server.state();
        let indexes: Vec<u64> = state.hellos.iter().map(|hello| hello.acted_on_index).collect();
        (indexes.len() > 1 && indexes.last() == Some(&0)).then_some(indexes)
    })
    .await;
    assert_eq!(told, [0, 200, 0], "what the node had acted on");
    server.reported(&restored, ClientStatus::Running).await;
    eventually("the end of what the state does not name", || (!is_alive(pids[1])).then_some(())).await;
    assert!(is_alive(pids[0]));

    // The node and its next agent use the restored state from now on.
    let welcome_at_once = async || {
        eventually("the node is welcome at once", || {
            (server.state().hellos.last().map(|hello| hello.acted_on_index) == Some(150)).then_some(())
        })
        .await;
    };
    server.end_sessions();
    welcome_at_once().await;
    node.shut_down().await;
    server.state().hellos.clear();
    node.run(&[&server.address]);
    welcome_at_once().await;
    assert!(is_alive(pids[0]));
    server.change(&mut restored, |job| job.allocation.desired_status = DesiredStatus::Stop.into());
    server.reported(&restored, ClientStatus::Complete).await;
    assert!(!is_alive(pids[0]));
}

#[tokio::test]
async fn an_older_version_of_an_allocation_changes_nothing() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    node.run(&[&server.address]);
    let mut job = Assigned::new("service", vec![shell("t", LONG)]);
    server.assign(&job);
    let pid = node.pid(&job, "t").await;
    server.reported(&job, ClientStatus::Running).await;
    server.change(&mut job, |job| job.allocation.desired_description = "newer".into());
    // A second allocation shows that the agent has processed everything sent before it.
    let marker = |server: &TestServer| {
        let marker = Assigned::new("batch", vec![shell("t", "true")]);
        server.assign(&marker);
        marker
    };
    server.reported(&marker(&server), ClientStatus::Complete).await;
    let mut old = job.clone();
    old.allocation.alloc_modify_index = 11;
    old.allocation.desired_status = DesiredStatus::Stop.into();
    server.assign(&old);
    server.reported(&marker(&server), ClientStatus::Complete).await;
    assert!(is_alive(pid));
}

#[tokio::test]
async fn what_is_stopped_before_it_was_seen_is_reported_complete_and_never_runs() {
    let server = TestServer::start().await;
    let mut node = TestNode::new();
    let mut job = Assigned::new("service", vec![shell("t", LONG)]);
    job.allocation.desired_status = DesiredStatus::Stop.into();
    server.assign(&job);
    node.run(&[&server.address]);
    server.reported(&job, ClientStatus::Complete).await;
    assert!(!node.file(&job, "").exists());
}

#[tokio::test]
async fn an_agent_that_knows_no_server_says_so() {
    let node = TestNode::new();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let refusal = ordu_agent::run(node.options(&[]), shutdown).await.unwrap_err().to_string();
    assert!(refusal.contains("client.servers"), "{refusal}");
}
