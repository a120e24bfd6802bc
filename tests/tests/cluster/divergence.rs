//! Servers detect that their states differ, and the one that deviates from the majority ends.

use std::path::Path;
use std::time::Duration;

use ordu_core::state::{Table, Write, key, read};
use ordu_store::tables::{RocksDb, TablesDb, read as read_tables};
use ordu_tests::harness::{Cluster, Shape, eventually, eventually_now, holds};
use ordu_tests::jobs::unplaceable;
use ordu_tests::observe::register;
use prost::Message;

/// Timeout for detection; servers compare their states every ten seconds.
const NOTICED_WITHIN: Duration = Duration::from_secs(40);

/// Changes a row in a stopped server's tables that no log entry changed, so that its state differs from now on.
fn change_state(data: &Path, by_ns: i64) {
    let db = RocksDb::open(&data.join("tables"), false).expect("the server has let go of its tables");
    let mut cluster = read_tables(&db, read::cluster_meta).expect("the row is there");
    cluster.time_ns += by_ns;
    let key = key::meta::CLUSTER.to_vec();
    db.commit(vec![Write { table: Table::Meta, key, value: Some(cluster.encode_to_vec()) }])
        .expect("the tables can be written");
    db.flush().expect("the tables can be written");
}

async fn with_changed(servers: &[usize]) -> Cluster {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    register(cluster.client(0), &unplaceable("before")).await;
    cluster.wait_for_equal_states().await;
    // Stop all of them first: otherwise the first would detect the difference before the second is changed.
    for server in servers {
        cluster.servers[*server].stop();
    }
    for server in servers {
        let data = cluster.root().path().join(format!("server-{}", server + 1)).join("server");
        // A different number of hours for each server, so that no two states are equal.
        change_state(&data, 3_600_000_000_000 * (1 + *server as i64));
        cluster.start_server(*server);
    }
    cluster.leader().await;
    register(cluster.client(0), &unplaceable("after")).await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_state_is_not_what_most_have_ends_with_a_sentence() {
    let mut cluster = with_changed(&[2]).await;
    eventually_now("the one that differs ends", NOTICED_WITHIN, || {
        match cluster.servers[2].ended_by_itself() {
            Ok(()) => Err("it runs".to_owned()),
            Err(said) => holds(said.contains("not what most servers have"), || said),
        }
    })
    .await;
    cluster.servers[2].kill();
    cluster.leader().await;
    register(cluster.client(0), &unplaceable("later")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_majority_agrees_all_servers_alarm_and_none_ends() {
    let mut cluster = with_changed(&[1, 2]).await;
    let clients: Vec<_> = (0..3).map(|server| cluster.client(server)).collect();
    eventually("all tell it", NOTICED_WITHIN, async || {
        for client in &clients {
            let health = client.get("/v1/agent/health").await.map_err(|error| error.to_string())?;
            let told = health.status == 500 && health.text().contains("different states");
            holds(told, || format!("{}: {}", client.address(), health.text()))?;
            let metrics =
                client.get("/v1/metrics?format=prometheus").await.map_err(|error| error.to_string())?;
            let raised = metrics.text().contains("ordu_alarm{alarm=\"diverged\"} 1");
            holds(raised, || "the metric does not tell it".to_owned())?;
        }
        Ok::<(), String>(())
    })
    .await;
    for server in &mut cluster.servers {
        server.ended_by_itself().expect("no one knows who is wrong");
    }
}
