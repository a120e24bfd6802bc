//! Every server returns what any server has acknowledged, and exactly one of several racing writers succeeds.

use std::time::Duration;

use ordu_tests::harness::{Cluster, Shape};
use ordu_tests::jobs::unplaceable;
use ordu_tests::observe::{register, wait_for_blocking_queries};
use serde_json::json;
use tokio::task::JoinSet;

async fn three_servers() -> Cluster {
    Cluster::start(Shape { nodes: 0, ..Shape::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_default_read_anywhere_sees_every_write_acknowledged_before_it() {
    let cluster = three_servers().await;
    let count = cluster.servers.len();
    for round in 0..120 {
        let (writer, reader) = (round % count, (round + 1 + round / count % (count - 1)) % count);
        let id = format!("seen-{round}");
        let written = register(cluster.client(writer), &unplaceable(&id)).await;
        let read = cluster.client(reader).get(&format!("/v1/job/{id}")).await.expect("the server answers");
        assert_eq!(
            read.status,
            200,
            "written at {writer}, read at {reader} in round {round}: {}",
            read.text()
        );
        assert_eq!(read.json()["JobModifyIndex"], written["JobModifyIndex"], "round {round}");
        // A stale read at the same server succeeds too, since the server applies a write before it answers.
        let own =
            cluster.client(writer).get(&format!("/v1/job/{id}?stale")).await.expect("the server answers");
        assert_eq!(own.status, 200, "the writer's own server does not have round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_check_and_set_at_once_one_wins() {
    let cluster = three_servers().await;
    let mut index = 0_u64;
    for round in 0..10 {
        let mut writers = JoinSet::new();
        for writer in 0..9 {
            let client = cluster.client(writer % cluster.servers.len());
            let mut job = unplaceable("contended");
            job["Priority"] = (10 + round).into();
            job["Meta"] = json!({ "writer": writer.to_string() });
            let body = json!({ "Job": job, "EnforceIndex": true, "JobModifyIndex": index });
            writers.spawn(async move { (writer, client.post("/v1/jobs", &body).await.expect("an answer")) });
        }
        let answers = writers.join_all().await;
        let winners: Vec<usize> =
            answers.iter().filter(|(_, a)| a.status == 200).map(|(writer, _)| *writer).collect();
        assert_eq!(winners.len(), 1, "round {round} at index {index}: {winners:?} won");
        for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != 200) {
            assert!(
                answer.text().contains("Enforcing job modify index"),
                "{} {}",
                answer.status,
                answer.text()
            );
        }
        let job = cluster.client(0).json("/v1/job/contended").await.expect("the server answers");
        assert_eq!(job["Meta"]["writer"], winners[0].to_string(), "the stored job is not the winner's");
        assert_eq!(job["Version"], round);
        let next = job["JobModifyIndex"].as_u64().unwrap_or(0);
        assert!(next > index, "the index went from {index} to {next}");
        index = next;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_at_every_server_are_woken_by_a_write_at_any() {
    let cluster = three_servers().await;
    register(cluster.client(0), &unplaceable("watched")).await;
    let long = Duration::from_secs(40);
    for writer in 0..cluster.servers.len() {
        let mut watchers = JoinSet::new();
        for server in 0..cluster.servers.len() {
            let client = cluster.client(server).with_timeout(long);
            let now = client.get("/v1/job/watched").await.expect("the server answers");
            assert_eq!(now.json()["Version"], writer, "{}", now.text());
            watchers.spawn(async move {
                let mut index = now.index();
                loop {
                    let path = format!("/v1/job/watched?index={index}&wait=30s");
                    let news = client.get(&path).await.expect("the server answers");
                    assert!(news.index() > index, "server {server} answered {path} without news");
                    index = news.index();
                    // A change of the job's status may have come first.
                    if news.json()["Version"] == writer + 1 {
                        return;
                    }
                }
            });
        }
        for server in 0..cluster.servers.len() {
            wait_for_blocking_queries(cluster.client(server), 1).await;
        }
        let mut job = unplaceable("watched");
        job["Priority"] = (60 + writer).into();
        register(cluster.client(writer), &job).await;
        while let Some(watcher) = watchers.join_next().await {
            watcher.expect("every watcher is told of the new version");
        }
    }
}
