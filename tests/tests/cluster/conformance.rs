//! Replays recorded scenarios of a real Nomad against a development agent and against a follower of three.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ordu_tests::harness::{Cluster, DevAgent, say, skipped};
use ordu_tests::http::Client;

/// The scenarios whose steps must pass, but for those in conformance-expected.txt.
const SCENARIOS: &[&str] = &["01_jobs_basics", "11_blocking_queries"];
/// A run with fewer steps than this has not run the scenarios.
const STEPS_MIN: usize = 35;

/// The folder of conform.py, where one is named.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("ORDU_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        skipped("ORDU_CONFORMANCE does not name the folder of the conformance runner");
    }
    folder
}

/// Runs the scenarios and panics with what the runner printed unless every step is as it should be.
async fn conform(folder: PathBuf, client: Client) {
    let mut runner = Command::new("python3");
    runner.arg(folder.join("conform.py")).arg("--addr").arg(format!("http://{}", client.address()));
    runner.arg("--expected").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/conformance-expected.txt"));
    for scenario in SCENARIOS {
        runner.args(["--only", scenario]);
    }
    let run = tokio::task::spawn_blocking(move || runner.output());
    let output = tokio::time::timeout(Duration::from_secs(600), run)
        .await
        .expect("the runner ends in ten minutes")
        .expect("the runner's thread does not panic")
        .expect("python3 can be run: install it, version 3.9 or newer");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{complaints}");
    let last = printed.lines().last().unwrap_or_default();
    let passed: usize = last.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    say(&format!("{}: {last}", client.address()));
    assert!(passed >= STEPS_MIN && last.ends_with(" 0 failed"), "{printed}{complaints}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_development_agent_answers_as_nomad_does() {
    let Some(folder) = folder() else { return };
    let agent = DevAgent::start().await;
    conform(folder, agent.client()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_three_answers_as_nomad_does() {
    let Some(folder) = folder() else { return };
    let mut cluster = Cluster::start_three().await;
    let follower = cluster.follower().await;
    conform(folder, cluster.client(follower)).await;
}
