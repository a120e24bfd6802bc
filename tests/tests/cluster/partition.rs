//! A leader that is cut off from the other servers acknowledges nothing, returns no stale data, and rejoins later.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, holds};
use ordu_tests::http::Client;
use ordu_tests::jobs::{registration, sleeper, unplaceable};
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::{
    Keeper, RUN_WITHIN, job_ids, only_process, register, running_allocations, wait_for_jobs,
};

/// How long a cut-off server may hold a request before it gives up.
const PATIENCE: Duration = Duration::from_secs(15);

/// Checks that a write is refused or times out but is never acknowledged; returns whether it was refused.
async fn must_not_be_acknowledged(client: Client, id: &str) -> bool {
    match client.with_timeout(PATIENCE).post("/v1/jobs", &registration(&unplaceable(id))).await {
        Ok(response) => {
            let (status, text) = (response.status, response.text());
            assert!(status >= 500, "a server without a quorum answered {id} with {status} {text}");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
            false
        }
    }
}

/// Checks that a default read is refused or times out but never returns possibly stale data; returns whether it was
/// refused.
async fn must_not_be_read(client: Client, path: &str) -> bool {
    match client.with_timeout(PATIENCE).get(path).await {
        Ok(response) => {
            let (status, text) = (response.status, response.text());
            assert!(status >= 500, "GET {path} at a cut-off server: {status} {text}");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
            false
        }
    }
}

/// Checks that a server that knows there is no leader refuses requests at once.
async fn must_refuse(client: Client, id: &str) {
    let (write, read) =
        tokio::join!(must_not_be_acknowledged(client, id), must_not_be_read(client, "/v1/jobs"));
    assert!(write && read, "without a leader there was no answer in time: write {write}, read {read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_leader_acknowledges_nothing_and_all_agree_after_healing() {
    let mut cluster = Cluster::start(Shape { links: true, ..Shape::default() }).await;
    let old = cluster.leader().await;
    let others: Vec<usize> = (0..cluster.servers.len()).filter(|number| *number != old).collect();
    let keeper = Keeper::start(cluster.client(others[0]), sleeper("keeper")).await;
    register(cluster.client(old), &unplaceable("before")).await;
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "before", &["before".to_owned()].into()).await;
    }

    let links = cluster.links.clone().expect("this cluster has links");
    for other in &others {
        links.cut(old, *other);
    }
    let cut_off = cluster.client(old);
    // At once, while it still considers itself the leader and while the others elect a new one.
    let (.., successor) = tokio::join!(
        must_not_be_acknowledged(cut_off, "cut-1"),
        must_not_be_acknowledged(cut_off, "cut-2"),
        must_not_be_read(cut_off, "/v1/job/before"),
        must_not_be_read(cut_off, "/v1/jobs"),
        cluster.leader_among(&others)
    );
    assert_ne!(successor, old);

    // The majority continues, and the cut-off server shows none of its writes.
    let load = Load::start(&[cluster.servers[successor].http], "during", Pressure::default());
    eventually("the majority acknowledges", SETTLE_WITHIN, async || {
        holds(load.acknowledged() >= 100, || format!("{} so far", load.acknowledged()))
    })
    .await;
    must_not_be_read(cut_off, "/v1/jobs?prefix=during").await;
    must_not_be_acknowledged(cut_off, "cut-3").await;
    let record = load.finish().await;

    // Stale reads return its data and report that no leader is known.
    eventually("stale reads say that no leader is known", SETTLE_WITHIN, async || {
        let read = cut_off.get("/v1/job/before?stale").await.map_err(|error| error.to_string())?;
        assert_eq!(read.status, 200, "{}", read.text());
        assert_eq!(read.json()["ID"], "before");
        holds(read.header("X-Nomad-KnownLeader") == Some("false"), || {
            format!("X-Nomad-KnownLeader is {:?}", read.header("X-Nomad-KnownLeader"))
        })
    })
    .await;
    must_refuse(cut_off, "cut-4").await;
    assert_eq!(
        job_ids(cut_off, "during").await,
        Ok([].into()),
        "what was written during the cut has passed it"
    );

    links.heal();
    cluster.leader().await;
    for server in 0..cluster.servers.len() {
        wait_for_jobs(cluster.client(server), "during", &record.acknowledged).await;
    }
    cluster.wait_for_equal_states().await;
    register(cluster.client(old), &unplaceable("after")).await;
    keeper.check_never_restarted(cluster.client(old)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_led_and_restarts_while_it_is_cut_off_names_no_leader() {
    let mut cluster = Cluster::start(Shape { links: true, nodes: 0, ..Shape::default() }).await;
    let old = cluster.leader().await;
    register(cluster.client(old), &unplaceable("before")).await;
    let former = cluster.client(old).json("/v1/status/leader").await.expect("a leader names itself");
    let links = cluster.links.clone().expect("this cluster has links");
    let others: Vec<usize> = (0..cluster.servers.len()).filter(|number| *number != old).collect();
    for other in &others {
        links.cut(old, *other);
    }
    cluster.servers[old].kill();
    cluster.start_server(old);
    let cut_off = cluster.client(old);
    // This holds from its first answer on and during the election: its log contains the former leader, not the current.
    eventually("the others have elected", SETTLE_WITHIN, async || {
        let leader = cut_off.json("/v1/status/leader").await.map_err(|error| error.to_string())?;
        assert_eq!(leader, "", "it names a leader");
        let read = cut_off.get("/v1/job/before?stale").await.map_err(|error| error.to_string())?;
        assert_eq!(read.header("X-Nomad-KnownLeader"), Some("false"), "{}", read.text());
        let elected = cluster.client(others[0]).json("/v1/status/leader").await;
        holds(elected.is_ok_and(|leader| leader != "" && leader != former), || "not yet".into())
    })
    .await;
    must_refuse(cut_off, "cut").await;
    links.heal();
    cluster.leader().await;
    register(cluster.client(old), &unplaceable("after")).await;
    cluster.wait_for_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_follower_does_not_unseat_the_leader_when_it_comes_back() {
    let mut cluster = Cluster::start(Shape { links: true, nodes: 0, ..Shape::default() }).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let links = cluster.links.clone().expect("this cluster has links");
    for other in (0..cluster.servers.len()).filter(|other| *other != follower) {
        links.cut(follower, other);
    }
    let cut_off = cluster.client(follower);
    eventually("the cut-off follower knows no leader", SETTLE_WITHIN, async || {
        let read = cut_off.get("/v1/jobs?stale").await.map_err(|error| error.to_string())?;
        holds(read.header("X-Nomad-KnownLeader") == Some("false"), || "it still names one".into())
    })
    .await;
    must_refuse(cut_off, "cut").await;
    register(cluster.client(leader), &unplaceable("during")).await;
    links.heal();
    assert_eq!(cluster.leader().await, leader, "the leader was unseated by one that had been cut off");
    wait_for_jobs(cut_off, "during", &["during".to_owned()].into()).await;
    cluster.wait_for_equal_states().await;
}

/// Returns all directories with this name at any depth below another.
fn folders_named(name: &str, below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(folders_named(name, &path));
            if entry.file_name() == name {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_reaches_only_a_cut_off_follower_keeps_what_it_runs() {
    let mut cluster = Cluster::start(Shape { links: true, ..Shape::default() }).await;
    let leader = cluster.leader().await;
    let cut_off = cluster.follower().await;
    let node = cluster.servers.len();
    let links = cluster.links.clone().expect("this cluster has links");
    let others: Vec<usize> = (0..cluster.servers.len()).filter(|number| *number != cut_off).collect();
    for other in &others {
        links.cut(cut_off, *other);
    }
    // Register the job only after the cut.
    let keeper = sleeper("keeper");
    register(cluster.client(leader), &keeper.job).await;
    let running = running_allocations(cluster.client(leader), "keeper", 1).await;
    let pid = only_process(&keeper.command_line);
    let allocation = running[0]["ID"].as_str().expect("an allocation has an id");
    let data = cluster.root().path().join(&cluster.nodes[0].name);
    assert!(!folders_named(allocation, &data).is_empty(), "the allocation has files");

    for other in &others {
        links.cut(node, *other);
    }
    let (opened, ended) = (" has a session from", r#"the session of node "node-1" ("#);
    let count = |cluster: &Cluster, words: &str| cluster.servers[cut_off].log_text().matches(words).count();
    let before = (count(&cluster, opened), count(&cluster, ended));
    // Count whole sessions, from the welcome until the agent gives up a server that knows no leader.
    eventually("the node had sessions with the cut-off server", RUN_WITHIN * 2, async || {
        let had = (count(&cluster, opened) - before.0, count(&cluster, ended) - before.1);
        holds(had.0 >= 2 && had.1 >= 2, || format!("{} opened, {} ended", had.0, had.1))
    })
    .await;
    // A restarted agent has only its stored state, and tries each of the servers.
    let tried = |cluster: &Cluster| cluster.nodes[0].log_text().matches("no session with server").count();
    cluster.nodes[0].kill();
    let before = tried(&cluster);
    cluster.start_node(0);
    eventually("the agent has tried all servers", RUN_WITHIN * 2, async || {
        let times = tried(&cluster) - before;
        holds(times > cluster.servers.len(), || format!("it has tried {times} times"))
    })
    .await;
    let said = cluster.nodes[0].log_text();
    assert!(
        !said.contains("older than what this node has acted on"),
        "the cut-off server told the node what to run:\n{said}"
    );
    assert_eq!(only_process(&keeper.command_line), pid, "the task goes on");
    assert!(!folders_named(allocation, &data).is_empty(), "its files are there");

    links.heal();
    cluster.wait_for_nodes(1).await;
    cluster.wait_for_equal_states().await;
}
