//! Clusters with servers of two releases: the source tree's own, and the same tree with one more feature level, which
//! adds a command and a table.

use std::path::PathBuf;

use ordu_core::command::FEATURE_LEVEL;
use ordu_tests::cli::ordu;
use ordu_tests::harness::{
    Cluster, SETTLE_WITHIN, Shape, eventually, eventually_now, holds, next_binary, ordu_binary, say, skipped,
};
use ordu_tests::http::Client;
use ordu_tests::jobs::sleeper;
use ordu_tests::load::{Load, Pressure};
use ordu_tests::observe::{Keeper, health_is_well, wait_for_jobs};
use serde_json::{Value, json};

use crate::membership::{Voters, wait_for_more, wait_for_voters};

const LEVELS: &str = "/v1/operator/ordu/feature-level";
/// Why the tests are skipped if the other release was not built.
const NO_NEXT: &str = "ORDU_NEXT_BIN names no binary of the next feature level; `make test` builds one";
/// A write that requires the next level.
const NOTE: &str = "/v1/operator/ordu/note?name=a&text=b";

/// The feature level of the tree's own release.
const OLD: u32 = FEATURE_LEVEL;
/// The feature level of the other release.
const NEW: u32 = FEATURE_LEVEL + 1;

/// One of the two releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    /// The tree's own release, at the level `OLD`.
    Old,
    /// The release with the level `NEW`.
    New,
}

/// Three servers of the old release under load, and one node per release with a task that must survive the test.
struct Stage {
    cluster: Cluster,
    next: PathBuf,
    load: Load,
    tasks: [Keeper; 2],
}

/// Starts a service on the node with this index.
async fn task_on(client: Client, id: &str, node: usize) -> Keeper {
    let mut sleeper = sleeper(id);
    let name = format!("node-{}", node + 1);
    sleeper.job["Constraints"] = json!([{"LTarget": "${node.unique.name}", "RTarget": name, "Operand": "="}]);
    Keeper::start(client, sleeper).await
}

impl Stage {
    /// Starts the cluster; none if the other release was not built. The level rises automatically after the given time.
    async fn set(feature_level_after: &str) -> Option<Self> {
        let Some(next) = next_binary() else {
            skipped(NO_NEXT);
            return None;
        };
        let server_block = format!("feature_level_after = \"{feature_level_after}\"");
        let mut cluster = Cluster::prepare(Shape { nodes: 2, server_block, ..Shape::default() }).await;
        cluster.nodes[1].set_program(next.clone());
        (0..3).for_each(|server| cluster.start_server(server));
        (0..2).for_each(|node| cluster.start_node(node));
        wait_for_voters(&mut cluster, &Voters::new()).await;
        cluster.wait_for_nodes(2).await;
        let client = cluster.client(0);
        let tasks = [task_on(client, "first", 0).await, task_on(client, "second", 1).await];
        let load =
            Load::start(&cluster.http_addresses(), "upgraded", Pressure { connections: 3, per_second: 40 });
        wait_for_more(&load).await;
        Some(Self { cluster, next, load, tasks })
    }

    fn set_release(&mut self, server: usize, release: Release) {
        let program = if release == Release::Old { ordu_binary() } else { self.next.clone() };
        self.cluster.servers[server].set_program(program);
    }

    /// Stops a server and starts it with the given release.
    async fn restart(&mut self, server: usize, release: Release) {
        self.cluster.servers[server].stop();
        self.start(server, release).await;
    }

    async fn start(&mut self, server: usize, release: Release) {
        self.set_release(server, release);
        self.cluster.start_server(server);
        self.cluster.leader().await;
        health_is_well(self.cluster.client(server)).await;
        wait_for_more(&self.load).await;
    }

    /// Sends a write of the next level to a server.
    async fn put_note(&self, server: usize) -> (u16, String) {
        put(self.cluster.client(server), NOTE).await
    }

    /// Waits until this server reports this feature level and these levels of the servers; returns the report.
    async fn wait_for_levels(&self, server: usize, level: u32, of_servers: [u32; 3]) -> Value {
        let client = self.cluster.client(server);
        eventually(&format!("level {level} of servers that know {of_servers:?}"), SETTLE_WITHIN, async || {
            let told = client.json(LEVELS).await.map_err(|error| error.to_string())?;
            let named = |place: &usize| format!("server-{}.global", place + 1);
            let knows = |place: usize| {
                let mut all = told["Servers"].as_array().into_iter().flatten();
                let of = all.find(|it| it["Name"] == named(&place));
                of.is_some_and(|it| it["Level"] == of_servers[place])
            };
            holds(told["Level"] == level && (0..3).all(knows), || told.to_string())?;
            Ok::<_, String>(told)
        })
        .await
    }

    /// Runs `ordu operator feature-level raise` at a server; returns the exit code and the output.
    async fn raise(&self, server: usize) -> (Option<i32>, String) {
        let address = format!("http://{}", self.cluster.servers[server].http);
        let raising = tokio::task::spawn_blocking(move || {
            ordu(&["operator", "feature-level", "raise"], &[("NOMAD_ADDR", &address)], SETTLE_WITHIN)
        });
        let printed = raising.await.expect("running a command does not panic");
        (printed.code, printed.all())
    }

    /// Starts a server with the old release, and checks that it ends by itself with the status that forbids a restart;
    /// returns its log.
    async fn is_refused(&mut self, server: usize) -> String {
        self.set_release(server, Release::Old);
        let begin = self.cluster.servers[server].log_text().len();
        self.cluster.start_server(server);
        let agent = &mut self.cluster.servers[server];
        let end = eventually_now("the old server ends by itself", SETTLE_WITHIN, || {
            agent.ended_by_itself().err().ok_or("it runs")
        })
        .await;
        agent.kill();
        let said = agent.log_text()[begin..].to_owned();
        assert!(
            end.contains("exit status: 78") && said.contains(&format!("at feature level {NEW}")),
            "{end}"
        );
        said
    }

    /// Ends the load and checks that nothing was refused or lost, that the tasks still run, and that the states are
    /// equal.
    async fn check(mut self, what: &str) {
        wait_for_more(&self.load).await;
        let record = self.load.finish().await;
        say(&format!(
            "{what}: {} writes, {} without an answer, the longest gap {:.3} s",
            record.acknowledged.len(),
            record.unanswered,
            record.longest_gap.as_secs_f32()
        ));
        assert_eq!(0, record.refused, "{}", record.latest_refusal);
        for server in &self.cluster.servers {
            wait_for_jobs(server.client(), "upgraded", &record.acknowledged).await;
        }
        for task in &self.tasks {
            task.check_never_restarted(self.cluster.client(0)).await;
        }
        self.cluster.wait_for_equal_states().await;
    }
}

async fn put(client: Client, path: &str) -> (u16, String) {
    let answer = client.send("PUT", path, None).await.expect("the server answers");
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_begins_at_the_level_that_all_its_servers_know() {
    let Some(next) = next_binary() else { return skipped(NO_NEXT) };
    for (old, level) in [(0, NEW), (1, OLD)] {
        let mut cluster = Cluster::prepare(Shape { nodes: 0, ..Shape::default() }).await;
        for server in &mut cluster.servers[old..] {
            server.set_program(next.clone());
        }
        (0..3).for_each(|server| cluster.start_server(server));
        cluster.leader().await;
        let client = cluster.client(2);
        eventually(&format!("level {level} where {old} are old"), SETTLE_WITHIN, async || {
            let told = client.json(LEVELS).await.map_err(|error| error.to_string())?;
            holds(told["Level"] == level && told["Highest"] == NEW, || told.to_string())
        })
        .await;
        let status = if level == NEW { 200 } else { 409 };
        assert_eq!(status, put(client, NOTE).await.0, "{old} are old");
    }
}

/// Upgrades all servers in this order, then raises the level. Before that, writes of the new level are refused with the
/// names of the servers that hold it back; afterwards they are accepted, and old servers are refused.
async fn upgrade_in_order(mut stage: Stage, order: [usize; 3]) {
    let [first, .., last] = order;
    stage.wait_for_levels(first, OLD, [OLD; 3]).await;
    stage.restart(first, Release::New).await;
    let mut known = [OLD; 3];
    known[first] = NEW;
    let told = stage.wait_for_levels(first, OLD, known).await;
    assert_eq!(
        (NEW.into(), 2),
        (told["Highest"].as_u64().unwrap_or(0), told["HeldBackBy"].as_array().map_or(0, Vec::len))
    );
    let (status, refused) = stage.put_note(first).await;
    let names = order[1..].iter().map(|server| format!("server-{}.global at ", server + 1));
    for name in names {
        assert!(status == 409 && refused.contains(&name), "{status}: {refused}");
    }
    assert!(refused.contains(&format!("needs feature level {NEW}, and the cluster's is {OLD}")), "{refused}");
    // Servers of both releases place tasks on nodes of both releases.
    for node in 0..2 {
        let server = order[1 + node];
        task_on(stage.cluster.client(server), &format!("mixed-{node}"), node).await;
    }

    for (place, server) in order.into_iter().enumerate().skip(1) {
        stage.restart(server, Release::New).await;
        if server != last {
            known[server] = NEW;
            stage.wait_for_levels(first, OLD, known).await;
            let (code, printed) = stage.raise(first).await;
            let name = format!("server-{}.global", last + 1);
            assert!(code == Some(1) && printed.contains("409") && printed.contains(&name), "{printed}");
        }
        assert_eq!(409, stage.put_note(first).await.0, "{place} are upgraded");
    }
    let told = stage.wait_for_levels(last, OLD, [NEW; 3]).await;
    assert!(told["KnownFor"].is_string() && told["RaisedAfter"] == "1h0m0s", "{told}");
    let (status, refused) = stage.put_note(last).await;
    assert!(status == 409 && refused.contains("every server knows it"), "{status}: {refused}");

    // A stopped server counts with its last reported level. After the raise it cannot return with the old release.
    let leader = stage.cluster.leader().await;
    let away = order.into_iter().find(|server| *server != leader).unwrap_or(last);
    stage.cluster.servers[away].stop();
    let (code, printed) = stage.raise(leader).await;
    assert!(
        code == Some(0) && printed.contains(&format!("The cluster's feature level is {NEW}")),
        "{printed}"
    );
    let said = stage.is_refused(away).await;
    assert!(said.contains("cannot be in this cluster"), "{said}");
    stage.start(away, Release::New).await;
    for server in order {
        stage.wait_for_levels(server, NEW, [NEW; 3]).await;
        assert_eq!(200, stage.put_note(server).await.0, "at server {server}");
    }
    let (code, printed) = stage.raise(away).await;
    assert!(
        code == Some(0) && printed.contains(&format!("level is {NEW}")),
        "raised again, it stays: {printed}"
    );

    // Nor can a server return with the old release if its own state has the new level.
    let leader = stage.cluster.leader().await;
    let back = order.into_iter().find(|server| *server != leader).unwrap_or(last);
    stage.cluster.servers[back].stop();
    let said = stage.is_refused(back).await;
    assert!(said.contains(&format!("this release knows no higher level than {OLD}")), "{said}");
    stage.start(back, Release::New).await;

    // Nor can a new server join with the old release; both sides log that.
    let joining = stage.cluster.add_server();
    let said = stage.is_refused(joining).await;
    assert!(said.contains("server-4 cannot be in this cluster"), "{said}");
    let logs: Vec<String> = stage.cluster.servers[..3].iter().map(|server| server.log_text()).collect();
    let words = "a server of an older release is refused: server-4.global at ";
    assert!(logs.iter().any(|log| log.contains(words)), "{logs:?}");
    stage.cluster.servers.pop();
    wait_for_voters(&mut stage.cluster, &Voters::new()).await;
    stage.check("upgraded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_upgraded_with_its_leader_first_while_clients_write() {
    let Some(mut stage) = Stage::set("1h").await else { return };
    let leader = stage.cluster.leader().await;
    upgrade_in_order(stage, [leader, (leader + 1) % 3, (leader + 2) % 3]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_upgraded_with_its_leader_last_while_clients_write() {
    let Some(mut stage) = Stage::set("1h").await else { return };
    let leader = stage.cluster.leader().await;
    upgrade_in_order(stage, [(leader + 1) % 3, (leader + 2) % 3, leader]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_goes_back_before_the_level_rises_and_the_level_rises_by_itself_in_the_end() {
    let Some(mut stage) = Stage::set("3s").await else { return };
    stage.restart(0, Release::New).await;
    stage.restart(1, Release::New).await;
    stage.wait_for_levels(0, OLD, [NEW, NEW, OLD]).await;
    stage.restart(1, Release::Old).await;
    stage.restart(2, Release::New).await;
    stage.wait_for_levels(0, OLD, [NEW, OLD, NEW]).await;
    let (status, refused) = stage.put_note(2).await;
    assert!(status == 409 && refused.contains("server-2.global"), "{status}: {refused}");
    assert!(!refused.contains("server-1.global") && !refused.contains("server-3.global"), "{refused}");

    stage.restart(1, Release::New).await;
    for server in 0..3 {
        stage.wait_for_levels(server, NEW, [NEW; 3]).await;
        assert_eq!(200, stage.put_note(server).await.0, "at server {server}");
    }
    stage.check("gone back").await;
}
