//! Real servers with rows that cannot be decoded, and with a disk that cannot be read.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ordu_core::state::{Table, Write, key};
use ordu_store::tables::{RocksDb, TablesDb};
use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, eventually_now, holds};
use ordu_tests::http::Client;
use ordu_tests::jobs::{registration, sleeper, unplaceable};
use ordu_tests::observe::{
    Keeper, RUN_WITHIN, list, register, running_allocations, texts_of, wait_until_decided,
};

fn tables_of(cluster: &Cluster) -> PathBuf {
    cluster.root().path().join("server-1/server/tables")
}

async fn single_server(nodes: usize) -> Cluster {
    Cluster::start(Shape { servers: 1, nodes, ..Shape::default() }).await
}

async fn health(client: Client) -> (bool, String) {
    let health =
        client.json("/v1/agent/health?type=server").await.expect("the server is well enough to answer");
    let server = &health["server"];
    (server["ok"].as_bool().unwrap_or_default(), server["message"].as_str().unwrap_or_default().to_owned())
}

async fn rows_set_aside(client: Client) -> Option<f64> {
    let metrics = client.json("/v1/metrics").await.expect("the server answers");
    let mut gauges = metrics["Gauges"].as_array().into_iter().flatten();
    gauges.find(|gauge| gauge["Name"] == "ordu_state_rows_set_aside")?["Value"].as_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_rows_that_it_cannot_decode_leads_and_serves_all_the_others() {
    let mut cluster = single_server(1).await;
    let client = cluster.client(0);
    let kept = Keeper::start(client, sleeper("kept")).await;
    let of_bad_job = Keeper::start(client, sleeper("bad")).await;
    register(client, &unplaceable("waits")).await;
    wait_until_decided(client).await;
    let evals = list(client, "/v1/job/waits/evaluations").await.expect("the server answers");
    let eval = texts_of(&evals, "ID").remove(0);
    let eval_id = ordu_core::state::id::parse_id(&eval).expect("an id of the API");

    cluster.servers[0].stop();
    let tables = RocksDb::open(&tables_of(&cluster), false).expect("the server has ended");
    let garbage = |table, key: Vec<u8>| Write { table, key, value: Some(vec![0xff; 9]) };
    let bad_job = garbage(Table::Jobs, key::job("default", "bad"));
    tables.commit(vec![bad_job, garbage(Table::Evals, eval_id.to_vec())]).expect("the disk can be written");
    tables.flush().expect("the disk can be written");
    drop(tables);
    cluster.start_server(0);
    cluster.leader().await;
    cluster.wait_for_nodes(1).await;

    register(client, &sleeper("later").job).await;
    running_allocations(client, "later", 1).await;
    let jobs = list(client, "/v1/jobs").await.expect("the list is served");
    assert_eq!(["kept", "later", "waits"], *texts_of(&jobs, "ID"));
    let evals = list(client, "/v1/evaluations").await.expect("the list is served");
    assert!(!evals.is_empty() && !texts_of(&evals, "ID").contains(&eval));
    for (path, status) in [
        ("/v1/job/kept", 200),
        ("/v1/job/bad", 500),
        (&*format!("/v1/evaluation/{eval}"), 500),
        ("/v1/job/bad/allocations", 200),
    ] {
        let response = client.get(path).await.expect("the server answers");
        assert_eq!(status, response.status, "{path}: {}", response.text());
        assert_eq!(
            status == 500,
            response.text().contains("cannot be decoded"),
            "{path}: {}",
            response.text()
        );
    }
    let response = client.post("/v1/jobs", &registration(&sleeper("bad").job)).await.expect("it answers");
    assert_eq!(500, response.status, "{}", response.text());
    assert!(response.text().contains("nothing is changed"), "{}", response.text());

    // The server is still healthy, and no task is affected.
    eventually("health tells of both rows", RUN_WITHIN, async || {
        let (ok, message) = health(client).await;
        let is_told = message.starts_with("2 rows of the state cannot be decoded")
            && message.contains("the first is default\\x00bad in the table jobs");
        holds(ok && is_told, || message)
    })
    .await;
    assert_eq!(Some(2.0), rows_set_aside(client).await);
    kept.check_never_restarted(client).await;
    of_bad_job.check_never_restarted(client).await;

    // When the rows are repaired, the alarm ends.
    cluster.servers[0].stop();
    let tables = RocksDb::open(&tables_of(&cluster), false).expect("the server has ended");
    let remove = |table, key: Vec<u8>| Write { table, key, value: None };
    let bad_job = remove(Table::Jobs, key::job("default", "bad"));
    let by_job = remove(Table::EvalsByJob, key::by_job("default", "waits", &eval_id));
    tables.commit(vec![bad_job, by_job, remove(Table::Evals, eval_id.to_vec())]).expect("as above");
    tables.flush().expect("as above");
    drop(tables);
    cluster.start_server(0);
    cluster.leader().await;
    list(client, "/v1/jobs").await.expect("the list is served");
    assert_eq!((true, "ok".to_owned()), health(client).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_reads_a_damaged_block_ends_with_the_file_and_the_way_out() {
    let mut cluster = single_server(0).await;
    let client = cluster.client(0);
    for number in 0..20 {
        register(client, &unplaceable(&format!("job-{number:02}"))).await;
    }
    wait_until_decided(client).await;
    cluster.servers[0].stop();
    let tables = tables_of(&cluster);
    damage(&tables, "job_specs");
    let said_before = cluster.servers[0].log_text().len();
    cluster.start_server(0);

    // The first read of a specification finds the damage; lists of jobs do not.
    eventually("a specification is asked for", SETTLE_WITHIN, async || {
        let answer = client.get("/v1/job/job-00").await;
        let has_met = cluster.servers[0].log_text()[said_before..].contains("checksum mismatch");
        holds(has_met, || format!("{:?}", answer.map(|answer| (answer.status, answer.text()))))
    })
    .await;
    let end = eventually_now("the server ends", RUN_WITHIN, || match cluster.servers[0].ended_by_itself() {
        Ok(()) => Err("it runs"),
        Err(end) => Ok(end),
    })
    .await;
    assert!(end.contains("exit status: ") && !end.contains("exit status: 0"), "{end}");
    let data_dir = tables.parent().unwrap_or(&tables).display().to_string();
    for words in ["checksum mismatch", ".sst", "data directory aside", &data_dir, "joins under another id"] {
        assert!(end.contains(words), "{words:?} is not among its last words:\n{end}");
    }
    // Whether it can start again is undefined, because the damage was not repaired.
    cluster.servers[0].kill();
}

/// Flips bits in the first block of each file with rows of a table.
fn damage(tables: &Path, table: &str) {
    let name = std::fs::read_to_string(tables.join("state-current")).expect("the tables have been made");
    // The file's properties contain the name of its column family: the lengths of the rest of the key and of the
    // value, then both. The prefix "rocksdb.column.family." is shared with the preceding key.
    let mut mark = vec![4, u8::try_from(table.len()).expect("a short name")];
    mark.extend_from_slice(format!("name{table}").as_bytes());
    let mut damaged = 0;
    for entry in std::fs::read_dir(tables.join(name.trim())).expect("the tables are there") {
        let path = entry.expect("a folder can be read").path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        if path.extension().is_some_and(|kind| kind == "sst")
            && bytes.windows(mark.len()).any(|window| window == mark)
        {
            let file = std::fs::File::options().write(true).open(&path).expect("the file can be written");
            let flipped: Vec<u8> = bytes[20..24].iter().map(|byte| !byte).collect();
            file.write_all_at(&flipped, 20).expect("the file can be written");
            damaged += 1;
        }
    }
    assert!(damaged > 0, "no file holds rows of {table}");
}
