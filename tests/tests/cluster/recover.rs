//! A new cluster is formed from one remaining data directory after the quorum was lost for good.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ordu_tests::cli::{Printed, ordu_told};
use ordu_tests::damage::{Damage, copy_directory, damage, find};
use ordu_tests::harness::{Cluster, SETTLE_WITHIN, Shape, eventually_now, holds, ordu_binary, say};
use ordu_tests::jobs::{sleeper, unplaceable};
use ordu_tests::observe::{Keeper, job_ids, register, wait_for_jobs};

use crate::copies::{load_of, wait_for_end};
use crate::membership::{Voters, wait_for_voters};

/// Timeout for the recovery of this little data.
const RECOVERED_WITHIN: Duration = Duration::from_secs(60);
const WITHOUT_ASKING: &str = "-lose-what-only-other-servers-have";

async fn recover(typed: &str, data_dir: &Path, more: &[&str]) -> Printed {
    let data_dir = format!("-data-dir={}", data_dir.display());
    let arguments = [&["server", "recover", &data_dir], more].concat();
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let typed = typed.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ordu_told(&typed, &arguments, &[], RECOVERED_WITHIN)
    });
    running.await.expect("running a command does not panic")
}

/// Returns all files below a directory with their contents.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a directory can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), fs::read(path).expect("a file can be read"));
            }
        }
    }
    found
}

fn same(before: &BTreeMap<PathBuf, Vec<u8>>, directory: &Path, case: &str) {
    let after = contents(directory);
    let names = |of: &BTreeMap<PathBuf, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(before), names(&after), "{case}");
    for (path, bytes) in before {
        assert!(*bytes == after[path], "{case}: {} has changed", path.display());
    }
}

/// Returns the cluster's id from a server's identity file.
fn cluster_of(data_dir: &Path) -> String {
    let identity = fs::read_to_string(data_dir.join("server/identity")).unwrap_or_default();
    identity.lines().find_map(|line| line.strip_prefix("cluster ")).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_on_from_one_data_directory_when_the_others_are_lost() {
    let mut cluster = Cluster::start(Shape::default()).await;
    let keeper = Keeper::start(cluster.client(0), sleeper("keeper")).await;
    let survivor = cluster.follower().await;
    let [lost, old] = [(survivor + 1) % 3, (survivor + 2) % 3];
    let early = load_of(&cluster, &[0, 1, 2], "early", 60).await;
    let before = wait_for_voters(&mut cluster, &Voters::new()).await;
    wait_for_jobs(cluster.client(survivor), "early", &early).await;
    let data_dir = cluster.data_dir(survivor);

    let refused = recover("", &data_dir, &["-show"]).await;
    assert_eq!(Some(1), refused.code, "{}", refused.all());
    assert!(refused.stderr.contains("is in use by another process: stop it"), "{}", refused.all());

    // Two servers are lost; the directory of one of them comes back later.
    for number in [lost, old, survivor] {
        cluster.servers[number].kill();
    }
    cluster.wipe_server(lost);
    let (former, found) = (cluster_of(&data_dir), contents(&data_dir));
    let wrong = format!("{}x\n", &former[..7]);
    for (typed, more, code) in
        [("", vec!["-show"], 0), ("", vec![], 1), (&wrong, vec![], 1), ("yes\n", vec![], 1)]
    {
        let shown = recover(typed, &data_dir, &more).await;
        assert_eq!(Some(code), shown.code, "{}", shown.all());
        let jobs = format!("Jobs           = {}", early.len() + 1);
        for words in
            [&former, &jobs, "Allocations    = 1", "Nodes          = 1", "Last Log Entry", "server-1.global"]
        {
            assert!(shown.stdout.contains(words), "no {words:?} in {}", shown.all());
        }
        assert_eq!(code == 1, shown.stdout.contains("What may be lost"), "{}", shown.all());
        same(&found, &data_dir, &shown.all());
    }

    let formed = recover(&format!("{}\n", &former[..8]), &data_dir, &[]).await;
    assert_eq!(Some(0), formed.code, "{}", formed.all());
    say(&formed.stdout);
    assert_ne!(former, cluster_of(&data_dir));
    assert!(formed.stdout.contains(&cluster_of(&data_dir)), "{}", formed.all());

    cluster.start_server(survivor);
    assert_eq!(survivor, cluster.leader().await);
    let client = cluster.client(survivor);
    register(client, &unplaceable("alone")).await;
    wait_for_jobs(client, "early", &early).await;
    cluster.wait_for_nodes(1).await;
    keeper.check_never_restarted(client).await;
    let of_one = wait_for_voters(&mut cluster, &before).await;
    assert_eq!(1, of_one.len());
    assert_ne!(before[&cluster.rpc_address(survivor)], of_one[&cluster.rpc_address(survivor)], "{of_one:?}");

    // A server of the former cluster is refused and changes nothing.
    let begin = cluster.servers[old].log_text().len();
    cluster.start_server(old);
    let said = wait_for_end(&mut cluster, old, begin).await;
    for words in [
        former.as_str(),
        &cluster_of(&data_dir),
        "move this directory aside: with an empty one this server joins",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let log = cluster.servers[survivor].log_text();
    assert!(log.contains("a server of another cluster greets this one"), "{log}");
    register(client, &unplaceable("undisturbed")).await;

    // With empty directories, both servers join.
    cluster.wipe_server(old);
    for number in [lost, old] {
        cluster.start_server(number);
    }
    let of_three = wait_for_voters(&mut cluster, &of_one).await;
    assert_eq!(3, of_three.len());
    let all: BTreeSet<String> =
        early.into_iter().chain(["alone", "undisturbed"].map(str::to_owned)).collect();
    for number in 0..3 {
        wait_for_jobs(cluster.client(number), "", &all).await;
    }
    cluster.wait_for_equal_states().await;
    cluster.servers[survivor].kill();
    let leader = cluster.leader().await;
    register(cluster.client(leader), &unplaceable("by-two")).await;
    keeper.check_never_restarted(cluster.client(leader)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_is_killed_leaves_the_former_cluster_or_the_new_one_and_a_damaged_directory_none() {
    let mut cluster = Cluster::start(Shape { servers: 1, nodes: 0, ..Shape::default() }).await;
    let jobs = load_of(&cluster, &[0], "job", 100).await;
    cluster.servers[0].kill();
    let data_dir = cluster.data_dir(0);

    let damaged = cluster.root().path().join("damaged");
    copy_directory(&data_dir, &damaged);
    let record = find(&damaged, "server/raft-log.record").expect("a server has one");
    damage(&record, Damage::Delete);
    let refused = recover("", &damaged, &[WITHOUT_ASKING]).await;
    assert_eq!(Some(1), refused.code, "{}", refused.all());
    let names_it = refused.stderr.contains(&record.display().to_string());
    assert!(names_it && refused.stderr.contains("is missing"), "{}", refused.all());

    // Measure how long a recovery takes, and add a margin.
    let other = cluster.root().path().join("other");
    copy_directory(&data_dir, &other);
    let began = Instant::now();
    let formed = recover("", &other, &[WITHOUT_ASKING]).await;
    assert_eq!(Some(0), formed.code, "{}", formed.all());
    let takes = began.elapsed() * 5 / 4;
    let (mut formers, mut news) = (0, 0);
    const ROUNDS: u32 = 16;
    for round in 0..=ROUNDS {
        let former = cluster_of(&data_dir);
        let began = Instant::now();
        let mut recovering = Command::new(ordu_binary())
            .args(["server", "recover", WITHOUT_ASKING, &format!("-data-dir={}", data_dir.display())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program can be run");
        eventually_now("its time is over, or it has ended", SETTLE_WITHIN, || {
            let has_ended = recovering.try_wait().expect("a child can be waited for").is_some();
            let is_over = round < ROUNDS && began.elapsed() >= takes * round / ROUNDS;
            holds(has_ended || is_over, || "not yet".to_owned())
        })
        .await;
        // The process may have ended by now.
        let _ = recovering.kill();
        recovering.wait().expect("a child can be waited for");

        cluster.start_server(0);
        cluster.leader().await;
        wait_for_jobs(cluster.client(0), "job", &jobs).await;
        register(cluster.client(0), &unplaceable(&format!("round-{round}"))).await;
        cluster.servers[0].kill();
        let is_former = cluster_of(&data_dir) == former;
        *(if is_former { &mut formers } else { &mut news }) += 1;
        let left: Vec<_> = fs::read_dir(data_dir.join("server"))
            .expect("a directory can be read")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| {
                ["recovering", "replacing-", "moving-in"].iter().any(|begin| name.starts_with(begin))
            })
            .collect();
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
    say(&format!(
        "killed within {takes:?}: {formers} times the former cluster was there, {news} times a new one"
    ));
    assert!(formers > 0 && news > 0, "{formers} and {news}");
    cluster.start_server(0);
    cluster.leader().await;
    let rounds = job_ids(cluster.client(0), "round-").await.expect("the server tells its jobs");
    assert_eq!(ROUNDS as usize + 1, rounds.len(), "{rounds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_directories_the_one_that_has_less_is_not_recovered_from() {
    let mut cluster = Cluster::start(Shape { nodes: 0, ..Shape::default() }).await;
    let early = load_of(&cluster, &[0, 1, 2], "early", 30).await;
    let behind = cluster.follower().await;
    cluster.servers[behind].kill();
    let ahead = cluster.follower().await;
    let late = load_of(&cluster, &[ahead], "late", 30).await;
    wait_for_jobs(cluster.client(ahead), "late", &late).await;
    for server in &mut cluster.servers {
        server.kill();
    }
    let [less, more] = [behind, ahead].map(|number| cluster.data_dir(number));
    let found = contents(&less);
    let refused = recover("", &less, &["-compare", &more.display().to_string(), WITHOUT_ASKING]).await;
    assert_eq!(Some(1), refused.code, "{}", refused.all());
    let sentence =
        format!("{}/server has more than {}/server: recover from that one", more.display(), less.display());
    assert!(refused.stderr.contains(&sentence), "{}", refused.all());
    same(&found, &less, "it was refused");

    let formed = recover("", &more, &["-compare", &less.display().to_string(), WITHOUT_ASKING]).await;
    assert_eq!(Some(0), formed.code, "{}", formed.all());
    cluster.start_server(ahead);
    assert_eq!(ahead, cluster.leader().await);
    let all: BTreeSet<String> = early.into_iter().chain(late).collect();
    wait_for_jobs(cluster.client(ahead), "", &all).await;
}
