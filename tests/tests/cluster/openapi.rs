//! The description at `/v1/openapi.json` is valid, and every answer conforms to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ordu_tests::harness::{DevAgent, say, skipped};
use ordu_tests::jobs::{job, sleeper};
use ordu_tests::observe::register;
use tokio::process::Command;

/// Settings and hooks of Schemathesis, relative to this package's directory, in which its tests run.
const SETTINGS: &str = "schemathesis/schemathesis.toml";
const HOOKS: &str = "schemathesis/hooks.py";
/// Random requests per operation, in addition to those derived from the description itself. A run takes less than
/// a minute on two free cores.
const EXAMPLES: &str = "5";
/// Timeout for a run, long enough for a busy machine.
const RUN_WITHIN: Duration = Duration::from_secs(600);

/// Runs a program of the Python environment and returns its output. Panics if the program fails.
async fn run(mut program: Command, folder: &Path) -> String {
    let running = program.current_dir(folder).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    let output = tokio::time::timeout(RUN_WITHIN, running.kill_on_drop(true).output())
        .await
        .expect("the program ends in ten minutes")
        .expect("ORDU_SCHEMATHESIS names a Python environment with what tests/schemathesis/requirements.txt lists");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_the_description_of_the_api_says() {
    let Some(environment) = std::env::var_os("ORDU_SCHEMATHESIS").map(PathBuf::from) else {
        skipped("ORDU_SCHEMATHESIS does not name a Python environment with Schemathesis");
        return;
    };
    let program = |name: &str| Command::new(environment.join("bin").join(name));
    let agent = DevAgent::start().await;
    let (client, folder) = (agent.client(), agent.root().path());

    let description = client.get("/v1/openapi.json").await.expect("the server answers");
    let file = agent.root().write("openapi.json", &description.text());
    let mut validator = program("openapi-spec-validator");
    validator.arg(&file);
    run(validator, folder).await;

    let batch = |id| job(id, "batch", "dc1", "/bin/true", &[]);
    let (mut parent, mut clock) = (batch("api/parent"), batch("clock"));
    parent["ParameterizedJob"] = serde_json::json!({});
    clock["Periodic"] = serde_json::json!({"Enabled": true, "SpecType": "cron", "Spec": "0 0 1 1 *"});
    for job in [&sleeper("service").job, &parent, &clock] {
        register(client, job).await;
    }
    let address = format!("http://{}", client.address());
    let mut schemathesis = program("schemathesis");
    // Use absolute paths, because the program runs in another directory.
    let whole = |path| std::path::absolute(path).expect("the folder of the tests is there");
    schemathesis
        .arg("--config-file")
        .arg(whole(SETTINGS))
        .arg("run")
        .arg(format!("{address}/v1/openapi.json"));
    schemathesis.args(["--phases", "coverage,fuzzing", "--max-examples", EXAMPLES, "--workers", "1"]);
    schemathesis.args([
        "--request-timeout",
        "10",
        "--continue-on-failure",
        "--warnings",
        "off",
        "--no-color",
    ]);
    schemathesis.env("SCHEMATHESIS_HOOKS", whole(HOOKS)).env("ORDU_SCHEMATHESIS_ADDRESS", &address);
    schemathesis.env("ORDU_SCHEMATHESIS_JOBS", "service,api/parent,clock");
    let printed = run(schemathesis, folder).await;
    let counts = printed.lines().find(|line| line.contains(" generated, ")).unwrap_or_default().trim();
    say(&format!("{address}: {counts}"));
    assert!(counts.ends_with(" passed") && !counts.starts_with("0 "), "{printed}");
    assert!(!agent.log_text().contains("panicked"), "a request made the server panic; its log says where");
}
