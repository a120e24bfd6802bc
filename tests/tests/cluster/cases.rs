//! Compares an agent with what Nomad made of inputs that operators ran into, and runs scripts that each try one trouble.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use ordu_tests::harness::{DevAgent, say, skipped};

/// Scripts that must print at least one `ok` and no `WRONG`.
const SCRIPTS: &[&str] = &[
    "06-hcl-functions",
    "07-heredocs",
    "08-cron",
    "09-plan-of-nothing",
    "12-delete-unknown",
    "13-odd-ids",
    "15-enforce-index",
    "20-batch-indexes",
    "21-batch-again",
    "24-json",
    "25-http",
    "26-parse-bombs",
    "29-many-groups",
];
/// Scripts that mostly wait for the clock, and run beside the others.
const WAITING_SCRIPTS: &[&str] = &["35-periodic-parameterized"];

/// The least number of cases in a complete run.
const CASES_MIN: usize = 1_300;
/// Timeout for one run. A script that waits for launches by the clock takes more than four minutes.
const RUN_WITHIN: Duration = Duration::from_secs(600);

/// Returns the folder of cases.py, if configured.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("ORDU_CASES").map(PathBuf::from);
    if folder.is_none() {
        skipped("ORDU_CASES does not name the folder of the cases");
    }
    folder
}

async fn run(mut command: Command) -> Output {
    tokio::time::timeout(RUN_WITHIN, tokio::task::spawn_blocking(move || command.output()))
        .await
        .expect("the run ends in its time")
        .expect("the run's thread does not panic")
        .expect("the program can be run: install bash, curl, jq and python3, version 3.9 or newer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_are_read_as_nomad_reads_them() {
    let Some(folder) = folder() else { return };
    let agent = DevAgent::start().await;
    let mut runner = Command::new("python3");
    runner.arg(folder.join("cases.py")).arg("--addr").arg(agent.client().address().to_string());
    runner.args(["--accepted", "cases/accepted.txt"]);
    let output = run(runner).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let last = printed.lines().last().unwrap_or_default();
    let passed: usize = last.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    assert!(output.status.success() && last.ends_with(" 0 failed"), "{printed}{complaints}");
    assert!(passed >= CASES_MIN, "{printed}{complaints}");
    say(&format!("cases: {last}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_script_of_troubles_finds_anything_wrong() {
    let Some(folder) = folder() else { return };
    let (wrong, also_wrong) = tokio::join!(wrong_of(&folder, SCRIPTS), wrong_of(&folder, WAITING_SCRIPTS));
    let wrong = [wrong, also_wrong].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs the scripts one after another, each against an agent of its own. Returns the output of those that find anything
/// wrong.
async fn wrong_of(folder: &Path, scripts: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for script in scripts {
        let agent = DevAgent::start().await;
        let mut runner = Command::new("bash");
        runner.arg(folder.join("try").join(format!("{script}.sh")));
        runner.env("A", format!("http://{}", agent.client().address()));
        let output = run(runner).await;
        let printed = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        let count = |word: &str| printed.lines().filter(|line| line.starts_with(word)).count();
        let (right, failed) = (count("ok"), count("WRONG"));
        say(&format!("{script}: {right} ok, {failed} wrong"));
        if right == 0 || failed > 0 {
            wrong.push(format!("{script}:\n{printed}{complaints}"));
        }
    }
    wrong
}
