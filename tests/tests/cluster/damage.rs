//! Data lost or changed by a disk is either refused or repaired; a server never serves less than it acknowledged.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ordu_tests::damage::{Damage, copy_directory, damage, find};
use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually, eventually_now, holds};
use ordu_tests::http::Client;
use ordu_tests::jobs::unplaceable;
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::{job_ids, register, wait_for_jobs};

/// Timeout for a server to end or to serve everything. A scrub of so little data takes almost no time.
const JUDGED_WITHIN: Duration = Duration::from_secs(30);
/// The record beside the log lags behind the log by less than this.
const RECORDED_WITHIN: Duration = Duration::from_millis(300);
/// Words that every refusal contains.
const WAY_OUT: &str = "move this server's data directory aside";

/// The required outcome of damage to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The server ends, now or later, with a message that names the damage and the way out.
    Ends,
    /// The server has everything.
    Serves,
    /// Either of them: the damage may affect entries covered by a snapshot, which are not read.
    Either,
}
use Damage::{Delete, Flip, TornTail, Truncate};
use Outcome::{Either, Ends, Serves};

/// Files below a server's data directory, with kinds of damage and the required outcome.
const CASES: &[(&str, &[(Damage, Outcome)])] = &[
    ("raft-log", &[(Delete, Ends)]),
    ("raft-log/*.log", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends), (TornTail, Serves)]),
    ("raft-log/*.sst", &[(Flip, Either), (Truncate, Ends), (Delete, Ends)]),
    ("raft-log/MANIFEST-*", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends)]),
    ("raft-log/CURRENT", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends)]),
    // It contains two copies, of which a flip in the middle spares one.
    ("raft-log.record", &[(Flip, Serves), (Truncate, Serves), (Delete, Ends)]),
    ("tables", &[(Delete, Ends)]),
    ("tables/state-current", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends)]),
    ("tables/state-*/*.sst", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends)]),
    ("tables/state-*/MANIFEST-*", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends)]),
    ("tables/state-*/CURRENT", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends)]),
    ("tables/snapshot-*/*.sst", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends)]),
    ("tables/snapshot-*/MANIFEST-*", &[(Flip, Ends), (Delete, Ends)]),
    ("tables/snapshot-*/CURRENT", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends)]),
    ("tables/snapshot-*/ordu-snapshot", &[(Flip, Ends), (Truncate, Ends), (Delete, Serves)]),
    ("identity", &[(Flip, Ends), (Truncate, Ends), (Delete, Ends)]),
];

/// Returns a configuration that takes a snapshot after this many entries.
fn snapshots_after(entries: u32) -> String {
    format!("raft {{\n    snapshot_logs = {entries}\n    logs_kept = 300\n  }}")
}
/// Few enough for several snapshots per round; the other one is so large that no snapshot is taken.
const FEW_ENTRIES: u32 = 100;
const MANY_ENTRIES: u32 = 1_000_000;

fn one_server() -> Shape {
    Shape { servers: 1, nodes: 0, server_block: snapshots_after(FEW_ENTRIES), ..Shape::default() }
}

fn data_of(cluster: &Cluster, server: usize) -> PathBuf {
    cluster.root().path().join(format!("server-{}", server + 1)).join("server")
}

async fn register_some(client: Client, prefix: &str, count: usize) -> BTreeSet<String> {
    let load = Load::start(&[client.address()], prefix, Pressure::default());
    eventually_now("jobs are registered", SETTLE_WITHIN, || {
        holds(load.acknowledged() >= count, || format!("{} are", load.acknowledged()))
    })
    .await;
    load.finish().await.acknowledged.into_iter().collect()
}

/// Waits until all acknowledged writes are in the record.
async fn recorded() {
    let since = Instant::now();
    eventually_now("the record is written", SETTLE_WITHIN, || {
        holds(since.elapsed() > RECORDED_WITHIN, || "not yet".to_owned())
    })
    .await;
}

/// Prepares a server's data with every kind of file; returns the acknowledged jobs. In the last round and afterwards no
/// snapshot is taken, because a new one would replace a damaged one before it is read.
async fn prepare(cluster: &mut Cluster) -> BTreeSet<String> {
    let mut jobs = BTreeSet::new();
    for round in 0..3 {
        if round > 0 {
            cluster.set_server_block(snapshots_after(if round == 2 { MANY_ENTRIES } else { FEW_ENTRIES }));
            cluster.start_server(0);
            cluster.leader().await;
        }
        jobs.extend(register_some(cluster.client(0), &format!("round-{round}"), 120).await);
        recorded().await;
        cluster.servers[0].kill();
    }
    jobs
}

/// Starts the server with damaged data and checks the outcome.
async fn judge(cluster: &mut Cluster, jobs: &BTreeSet<String>, expected: Outcome, case: &str) {
    let said_before = cluster.servers[0].log_text().len();
    cluster.start_server(0);
    let client = cluster.client(0).with_timeout(Duration::from_secs(5));
    let server = RefCell::new(&mut cluster.servers[0]);
    eventually(case, JUDGED_WITHIN, async || {
        let ended = server.borrow_mut().ended_by_itself().is_err();
        let said = server.borrow().log_text().split_off(said_before);
        assert!(!said.contains("panicked"), "{case}: {said}");
        if ended {
            assert!(expected != Serves, "{case}: it ended:\n{said}");
            assert!(said.contains(WAY_OUT), "{case}: the way out is not said:\n{said}");
            return Ok(());
        }
        // Until it ends, it may refuse requests, but it must not serve incomplete data.
        if let Ok(seen) = job_ids(client, "").await {
            let lost: Vec<&String> = jobs.difference(&seen).collect();
            assert!(lost.is_empty(), "{case}: {} of {} jobs are lost", lost.len(), jobs.len());
            // The hash reads every row of every table.
            let hash = client.get("/v1/operator/ordu/state-hash").await;
            let whole = hash.is_ok_and(|answer| answer.status == 200);
            return holds(whole && expected != Ends, || format!("it serves all:\n{said}"));
        }
        Err(format!("it neither ends nor serves:\n{said}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_file_that_is_damaged_is_refused_or_recovered_without_loss() {
    let mut cluster = Cluster::start(one_server()).await;
    let jobs = prepare(&mut cluster).await;
    let data = data_of(&cluster, 0);
    let kept = cluster.root().path().join("kept");
    copy_directory(&data, &kept);
    // First check that the copy is intact.
    judge(&mut cluster, &jobs, Serves, "an undamaged copy").await;
    for (pattern, damages) in CASES {
        for (kind, expected) in *damages {
            cluster.servers[0].kill();
            fs::remove_dir_all(&data).expect("the test's folder can be written to");
            copy_directory(&kept, &data);
            let file = find(&data, pattern).unwrap_or_else(|| panic!("there is no {pattern}"));
            damage(&file, *kind);
            judge(&mut cluster, &jobs, *expected, &format!("{kind:?} of {pattern}")).await;
        }
    }
}

/// Damages a server's data while the server is stopped.
type Harm = fn(data: &Path, old: &Path);

const HARMS: [(&str, Harm); 4] = [
    ("one bit of the log", |data, _| {
        damage(&find(data, "raft-log/*.log").expect("there is a log"), Flip);
    }),
    ("the log is gone", |data, _| damage(&data.join("raft-log"), Delete)),
    ("an old copy of the log", |data, old| {
        damage(&data.join("raft-log"), Delete);
        copy_directory(&old.join("raft-log"), &data.join("raft-log"));
    }),
    ("old copies of the log and its record", |data, old| {
        damage(&data.join("raft-log"), Delete);
        copy_directory(&old.join("raft-log"), &data.join("raft-log"));
        fs::copy(old.join("raft-log.record"), data.join("raft-log.record")).expect("a file can be copied");
    }),
];

/// The damaged server and the one that was away form a majority. If both voted, acknowledged writes that only the third
/// server has would be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_of_three_away_and_a_damaged_one_back_nothing_that_was_acknowledged_is_lost() {
    for (what, harm) in HARMS {
        println!("{what}");
        let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
        let mut jobs = register_some(cluster.client(0), "before", 50).await;
        let away = cluster.follower().await;
        cluster.servers[away].stop();
        let leader = cluster.leader().await;
        let damaged = (0..3).find(|number| *number != away && *number != leader).unwrap_or(0);
        let old = cluster.root().path().join("old");
        copy_directory(&data_of(&cluster, damaged), &old);
        jobs.extend(register_some(cluster.client(leader), "while", 200).await);
        wait_for_jobs(cluster.client(damaged), "", &jobs).await;
        // Stop it gracefully, so that its tables contain the writes that the log will lack.
        cluster.servers[damaged].stop();
        cluster.servers[leader].kill();
        harm(&data_of(&cluster, damaged), &old);

        cluster.start_server(away);
        cluster.start_server(damaged);
        eventually_now(&format!("{what}: the damaged server refuses"), SETTLE_WITHIN, || {
            match cluster.servers[damaged].ended_by_itself() {
                Ok(()) => Err("it runs".to_owned()),
                Err(said) => holds(said.contains(WAY_OUT), || said),
            }
        })
        .await;
        cluster.servers[damaged].kill();

        // The server that has everything returns, and nothing is lost.
        cluster.start_server(leader);
        cluster.leader().await;
        for server in [leader, away] {
            wait_for_jobs(cluster.client(server), "", &jobs).await;
        }
        // Follow the way out in the message.
        let data = data_of(&cluster, damaged);
        fs::rename(&data, data.with_extension("aside")).expect("the test's folder can be written to");
        cluster.start_server(damaged);
        cluster.leader().await;
        wait_for_jobs(cluster.client(damaged), "", &jobs).await;
        register(cluster.client(damaged), &unplaceable("after")).await;
        cluster.wait_for_equal_states().await;
    }
}
