//! This release continues with data written by earlier releases, and refuses data written by a later release.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ordu_store::identity::{Identity, IdentityFile, IdentityStore};
use ordu_tests::golden::{Golden, position_and_state_hash};
use ordu_tests::harness::{Agent, Cluster, SETTLE_WITHIN, Shape, eventually, eventually_now, holds, say};
use ordu_tests::jobs::job;
use ordu_tests::observe::{
    allocation_with_status, list, one_process, register, running_allocations, texts_of, wait_for_jobs,
};
use serde_json::Value;

/// Prepares a server and a node, without starting them, with the data of a release in their directories.
async fn on_what_is_left_by(golden: &Golden) -> Cluster {
    let cluster = Cluster::prepare(Shape { servers: 1, ..Shape::default() }).await;
    golden.unpack(&cluster.data_dir(0), &node_dir(&cluster));
    cluster
}

fn node_dir(cluster: &Cluster) -> PathBuf {
    cluster.root().path().join(&cluster.nodes[0].name)
}

fn text(manifest: &Value, member: &str) -> String {
    manifest[member].as_str().unwrap_or_else(|| panic!("no {member} in {manifest}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_release_has_left_is_opened_and_gone_on_with() {
    let all = Golden::all();
    assert!(!all.is_empty(), "no release has left anything in tests/golden");
    for golden in &all {
        check(golden).await;
    }
}

async fn check(golden: &Golden) {
    let (release, manifest) = (&golden.release, &golden.manifest);
    let mut cluster = on_what_is_left_by(golden).await;
    let [applied, last, hash] = position_and_state_hash(&cluster.data_dir(0));
    assert_eq!(text(manifest, "LastLogEntry"), last, "{release}");
    assert_eq!(text(manifest, "StateHash"), hash, "{release}: after entry {last}");
    say(&format!(
        "release {release}: tables and snapshot up to entry {applied}, with the log up to {last}, lead to the state {hash}"
    ));

    cluster.start_server(0);
    cluster.leader().await;
    let client = cluster.client(0);
    let jobs = manifest["Jobs"].as_array().into_iter().flatten();
    let jobs: BTreeSet<String> = jobs.filter_map(|id| id.as_str().map(str::to_owned)).collect();
    assert!(!jobs.is_empty(), "{release}: {manifest}");
    wait_for_jobs(client, "", &jobs).await;
    let [finished, running] =
        ["FinishedAllocation", "RunningAllocation"].map(|member| text(manifest, member));
    for id in [&finished, &running] {
        let allocation = client.json(&format!("/v1/allocation/{id}")).await;
        assert_eq!(allocation.expect("the server answers")["ID"], **id, "{release}");
    }
    say(&format!("release {release}: a server serves its {} jobs and their allocations", jobs.len()));

    cluster.start_node(0);
    cluster.wait_for_nodes(1).await;
    let nodes = list(client, "/v1/nodes").await.expect("the server answers");
    assert_eq!([text(manifest, "Node")], texts_of(&nodes, "ID")[..], "{release}");
    // The task's process no longer exists: the node reports that, and restarts the task by its policy.
    eventually(&format!("{release}: what ran goes on under its id"), SETTLE_WITHIN, async || {
        let path = format!("/v1/allocation/{running}");
        let found = client.json(&path).await.map_err(|error| error.to_string())?;
        let task = &found["TaskStates"]["task"];
        let again = task["State"] == "running" && task["Restarts"].as_u64() > Some(0);
        holds(found["ClientStatus"] == "running" && again, || task.to_string())
    })
    .await;
    one_process(&text(manifest, "RunningCommand")).await;
    let told = allocation_with_status(client, "finished", "complete").await;
    assert_eq!(told["ID"], *finished, "{release}");
    register(client, &job("next", "service", "dc1", "/bin/sleep", &["86401"])).await;
    running_allocations(client, "next", 1).await;
    say(&format!(
        "release {release}: its node is {}, allocation {finished} has finished, {running} runs again, and a new job runs",
        text(manifest, "Node")
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_and_a_node_end_with_a_sentence_where_a_later_release_wrote_their_files() {
    /// Marks a data directory as written by a later release.
    type Raise = fn(&Path);
    let cases: [(&str, bool, Raise); 3] = [
        ("the raft log in ", true, |data_dir| {
            of_later_release(data_dir, |found| Identity { log_format: found.log_format + 1, ..found });
        }),
        ("the database of the state tables in ", true, |data_dir| {
            of_later_release(data_dir, |found| Identity { tables_format: found.tables_format + 1, ..found });
        }),
        ("the node's files in ", false, |data_dir| {
            fs::write(data_dir.join("client/format"), "2\n").expect("the test's folder can be written to");
        }),
    ];
    let golden = Golden::all().pop().expect("a release has left something");
    for (begin, is_server, raise) in cases {
        let mut cluster = on_what_is_left_by(&golden).await;
        let data_dir = if is_server { cluster.data_dir(0) } else { node_dir(&cluster) };
        raise(&data_dir);
        let agent: &mut Agent = if is_server { &mut cluster.servers[0] } else { &mut cluster.nodes[0] };
        agent.start();
        let end = eventually_now("it ends by itself", SETTLE_WITHIN, || match agent.ended_by_itself() {
            Ok(()) => Err("it runs".to_owned()),
            Err(end) => Ok(end),
        })
        .await;
        // Exit status 78 tells the systemd unit that another start would fail too.
        let place = data_dir.display().to_string();
        for words in [
            begin,
            &place,
            "format 2",
            "knows no format after 1: run the release that wrote",
            "exit status: 78",
        ] {
            assert!(end.contains(words), "no {words:?} in {end}");
        }
    }
}

fn of_later_release(data_dir: &Path, raised: impl FnOnce(Identity) -> Identity) {
    let file = IdentityFile::new(&data_dir.join("server"));
    let found = file.load().expect("the server has an identity");
    file.save(&raised(found)).expect("the test's folder can be written to");
}
