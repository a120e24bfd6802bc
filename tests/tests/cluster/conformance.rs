//! Replays recorded scenarios of a real Nomad against a development agent and against a follower of a three-server
//! cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use ordu_tests::harness::{Cluster, DevAgent, say, skipped};
use ordu_tests::http::Client;

/// The scenarios whose steps must pass, except those in conformance-expected.txt, each with its least number of
/// steps. A run with fewer steps has not completed.
const SCENARIOS: &[(&str, usize)] = &[
    ("01_jobs_basics", 28),
    ("02_canonical_job", 14),
    ("03_versions_revert_stable", 26),
    ("04_plan", 38),
    ("05_errors", 90),
    ("06_dispatch", 22),
    ("07_periodic", 15),
    ("08_parse_hcl", 22),
    ("09_batch_and_failures", 24),
    ("11_blocking_queries", 15),
    ("13_documented_examples", 8),
];

/// Steps that read the scheduler's result a few milliseconds after a write. Their outcome depends on whether the runner
/// or the scheduler is faster; in the recording the agent was. A scenario in which only these steps fail is repeated.
const RACES: &[&str] = &[
    "01_jobs_basics / deployment of purged",
    "01_jobs_basics / evaluations of purged are kept",
    "02_canonical_job / read without name and type",
];
/// Most runs of a scenario in which only these steps fail.
const RUNS_MAX: usize = 30;
/// Timeout for one run of a scenario; some take more than a minute.
const RUN_WITHIN: Duration = Duration::from_secs(400);

/// Returns the directory of conform.py, if configured.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("ORDU_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        skipped("ORDU_CONFORMANCE does not name the folder of the conformance runner");
    }
    folder
}

async fn run(folder: &Path, scenario: &str, client: Client) -> Output {
    let mut runner = Command::new("python3");
    runner.arg(folder.join("conform.py")).arg("--addr").arg(format!("http://{}", client.address()));
    runner.arg("--expected").arg("conformance-expected.txt");
    runner.args(["--only", scenario]);
    tokio::time::timeout(RUN_WITHIN, tokio::task::spawn_blocking(move || runner.output()))
        .await
        .expect("the runner ends in its time")
        .expect("the runner's thread does not panic")
        .expect("python3 can be run: install it, version 3.9 or newer")
}

/// Returns true if all steps passed, false if only racing steps failed. Panics with the output if any other step
/// failed.
fn passed(scenario: &str, steps_min: usize, output: &Output) -> bool {
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let failed: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("FAIL ")).collect();
    let is_race = |line: &&str| RACES.iter().any(|race| line.starts_with(&format!("{race}:")));
    if !failed.is_empty() && failed.iter().all(is_race) {
        say(&format!("{scenario} is run again: {}", failed.join("; ")));
        return false;
    }
    let last = printed.lines().last().unwrap_or_default();
    let passed: usize = last.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    assert!(output.status.success() && failed.is_empty(), "{printed}{complaints}");
    assert!(passed >= steps_min && last.contains(" 0 failed"), "{printed}{complaints}");
    say(&format!("{scenario}: {last}"));
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_development_agent_answers_as_nomad_does() {
    let Some(folder) = folder() else { return };
    for (scenario, steps_min) in SCENARIOS {
        let mut runs = 0;
        loop {
            runs += 1;
            let agent = DevAgent::start().await;
            if passed(scenario, *steps_min, &run(&folder, scenario, agent.client()).await) {
                break;
            }
            assert!(runs < RUNS_MAX, "{scenario} lost its races {runs} times");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_three_answers_as_nomad_does() {
    let Some(folder) = folder() else { return };
    for (scenario, steps_min) in SCENARIOS {
        let mut runs = 0;
        loop {
            runs += 1;
            let mut cluster = Cluster::start_three().await;
            let follower = cluster.follower().await;
            if passed(scenario, *steps_min, &run(&folder, scenario, cluster.client(follower)).await) {
                break;
            }
            assert!(runs < RUNS_MAX, "{scenario} lost its races {runs} times");
        }
    }
}
