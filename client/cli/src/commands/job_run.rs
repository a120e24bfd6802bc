//! `ordu job run`: registers a job and follows it until it runs.

use super::{CommandError, DONE};
use crate::arguments::ApiArgs;
use crate::monitor::{self, Follow};
use crate::output::Screen;
use clap::Args;
use ordu_client::RegisterOptions;
use ordu_core::jobspec::{Variables, parse_document};
use serde_json::Value as Json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Maximum size of a job's file, bytes: what a server accepts as a body.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The arguments of `ordu job run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The job: a .hcl or .json file, or - for standard input
    path: PathBuf,
    /// Only if the job's specification was last changed at this index; 0: only if there is no such job
    #[arg(long, value_name = "INDEX")]
    check_index: Option<u64>,
    /// Do not follow what becomes of it
    #[arg(long)]
    detach: bool,
    /// Print the job as the API's JSON and register nothing
    #[arg(long)]
    output: bool,
    /// The file is JSON whatever its name
    #[arg(long)]
    json: bool,
    /// Print ids in full
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn execute(arguments: &RunArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(arguments.verbose)).await
}

async fn run(arguments: &RunArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let job = read_job(&arguments.path, arguments.json)?;
    if arguments.output {
        screen.json(&serde_json::json!({ "Job": job }));
        return Ok(DONE);
    }
    let job_id = job["ID"].as_str().unwrap_or_default().to_owned();
    let client = arguments.api.client()?;
    // The job's own namespace takes precedence over the client's, for the registration and for what follows.
    let namespace = job["Namespace"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
    let options =
        RegisterOptions { enforce_job_modify_index: arguments.check_index, namespace: namespace.clone() };
    let registered = client.register_job(&job, &options).await?;
    if !registered.warnings.is_empty() {
        screen.line(format!("Job Warnings:\n{}\n", registered.warnings));
    }
    if registered.eval_id.is_empty() {
        screen.line("Job registration successful");
        screen.line(match job["Periodic"].is_object() {
            true => "It is periodic: it runs when its time comes",
            false => "There is nothing to run now",
        });
        return Ok(DONE);
    }
    if arguments.detach {
        screen.line("Job registration successful");
        screen.line(format!("Evaluation ID: {}", registered.eval_id));
        return Ok(DONE);
    }
    let follow = Follow { job_id, namespace, until_allocations_run: true };
    Ok(monitor::follow(&client, screen, &registered.eval_id, &follow).await?)
}

/// Reads a job's file as the API's JSON.
fn read_job(path: &Path, as_json: bool) -> Result<Json, CommandError> {
    let shown = path.display();
    let told = |text: String| CommandError::Told(text);
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| told(format!("cannot read the job {shown}: {error}")))?;
    if text.len() as u64 == FILE_BYTES_MAX {
        return Err(told(format!("the job {shown} is larger than {FILE_BYTES_MAX} bytes")));
    }
    let named_json = path.extension().is_some_and(|extension| extension == "json");
    if !as_json && !named_json && !text.trim_start().starts_with('{') {
        let variables = Variables::new().with_seed(uuid::Uuid::new_v4().as_u128());
        return parse_document(&text, &variables, false)
            .map_err(|error| told(format!("{shown}:{}:{}: {}", error.line, error.column, error.text)));
    }
    let mut document: Json = serde_json::from_str(&text).map_err(|error| {
        told(format!("{shown}:{}:{}: this is not JSON: {error}", error.line(), error.column()))
    })?;
    let job = match document.get_mut("Job") {
        Some(inner) => inner.take(),
        None => document,
    };
    match job["ID"].as_str() {
        Some(id) if !id.is_empty() => Ok(job),
        _ => Err(told(format!("{shown}: a job needs an \"ID\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Cli, Command, JobCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    async fn run_line(line: &str, file: &str, answers: Answers) -> (Result<u8, String>, String, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("job.hcl");
        std::fs::write(&path, file).unwrap();
        let (address, seen) = serve(answers).await;
        let line = format!("ordu job run -address={address} {line} {}", path.display());
        let cli: Cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Job(JobCommand::Run(arguments)) = cli.command else { panic!("{line}") };
        let mut screen = Screen::captured(false);
        let status = run(&arguments, &mut screen).await.map_err(|error| error.to_string());
        let seen = seen.lock().unwrap().clone();
        (status, screen.text().to_owned(), seen)
    }

    const JOB: &str = r#"job "j" { datacenters = ["dc1"] group "g" { task "t" { driver = "raw_exec" } } }"#;

    fn registered(eval_id: &str) -> serde_json::Value {
        json!({"EvalID": eval_id, "JobModifyIndex": 7, "Warnings": ""})
    }

    fn allocation(eval_id: &str, client_status: &str) -> serde_json::Value {
        json!([{"ID": "aaaaaaaa-1", "EvalID": eval_id, "NodeID": "nnnnnnnn-1", "TaskGroup": "g", "DesiredStatus": "run",
            "ClientStatus": client_status, "ClientDescription": "", "TaskStates": {"t": {"Failed": client_status == "failed",
            "Events": [{"Type": "Driver Failure", "DisplayMessage": "no such program"}]}}},
            {"ID": "other", "EvalID": "another", "ClientStatus": "pending", "DesiredStatus": "run"}])
    }

    const EVALUATION: &str = "GET /v1/evaluation/eeeeeeee-1";
    const ALLOCATIONS: &str = "GET /v1/job/j/allocations";

    #[tokio::test]
    async fn a_job_is_followed_until_it_runs() {
        let answers = Answers::new()
            .on("PUT /v1/jobs", [registered("eeeeeeee-1")])
            .on(
                EVALUATION,
                [
                    json!({"ID": "eeeeeeee-1", "Status": "pending", "JobID": "j"}),
                    json!({"ID": "eeeeeeee-1", "Status": "complete", "JobID": "j"}),
                ],
            )
            .on(
                ALLOCATIONS,
                [json!([]), allocation("eeeeeeee-1", "pending"), allocation("eeeeeeee-1", "running")],
            );
        let (status, text, seen) = run_line("", JOB, answers).await;
        assert_eq!(status, Ok(0), "{text}");
        for wanted in [
            "==> Monitoring evaluation \"eeeeeeee\"",
            "Allocation \"aaaaaaaa\" created: node \"nnnnnnnn\", group \"g\"",
            "Allocation \"aaaaaaaa\" status changed: \"pending\" -> \"running\"",
            "==> Evaluation \"eeeeeeee\" finished with status \"complete\"",
            "==> 1 of 1 allocations run",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
        }
        assert!(seen[0].contains(r#""Datacenters":["dc1"]"#), "{seen:?}");
        assert!(!text.contains("other"), "{text}");
    }

    #[tokio::test]
    async fn a_job_that_cannot_be_placed_ends_with_two() {
        let evaluation = json!({"Status": "complete", "JobID": "j", "BlockedEval": "bbbbbbbb-1",
            "FailedTGAllocs": {"g": {"NodesEvaluated": 1, "NodesExhausted": 1, "DimensionExhausted": {"cpu": 1}, "CoalescedFailures": 2}}});
        let answers = Answers::new()
            .on("PUT /v1/jobs", [registered("eeeeeeee-1")])
            .on(EVALUATION, [evaluation])
            .on(ALLOCATIONS, [json!([])]);
        let (status, text, _) = run_line("", JOB, answers).await;
        assert_eq!(status, Ok(2), "{text}");
        for wanted in [
            "failed to place all allocations",
            "Task Group \"g\" (failed to place 3 allocations)",
            "* Dimension \"cpu\" exhausted on 1 nodes",
            "Evaluation \"bbbbbbbb\" waiting for additional capacity",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
        }
    }

    #[tokio::test]
    async fn a_job_whose_task_fails_ends_with_one_and_the_reason() {
        let answers = Answers::new()
            .on("PUT /v1/jobs", [registered("eeeeeeee-1")])
            .on(EVALUATION, [json!({"ID": "eeeeeeee-1", "Status": "complete", "JobID": "j"})])
            .on(ALLOCATIONS, [allocation("eeeeeeee-1", "failed")]);
        let (status, text, _) = run_line("", JOB, answers).await;
        assert_eq!(status, Ok(1), "{text}");
        assert!(text.contains("Task \"t\": Driver Failure: no such program"), "{text}");
    }

    #[tokio::test]
    async fn allocations_that_are_lost_or_over_are_not_told_to_run() {
        let one = |number: u8, client_status: &str, desired_status: &str| {
            json!({"ID": format!("aaaaaaa{number}-1"), "EvalID": "eeeeeeee-1", "NodeID": "nnnnnnnn-1", "TaskGroup": "g",
                "DesiredStatus": desired_status, "ClientStatus": client_status,
                "ClientDescription": if client_status == "lost" { "its node is down" } else { "" }})
        };
        let cases = [
            (
                json!([one(1, "lost", "stop"), one(2, "lost", "stop")]),
                1,
                "==> 0 of 2 allocations run, 2 lost",
            ),
            (
                json!([one(1, "running", "run"), one(2, "lost", "run")]),
                1,
                "==> 1 of 2 allocations run, 1 lost",
            ),
            (json!([one(1, "failed", "stop"), one(2, "pending", "run")]), 1, "run, 1 failed, 1 pending"),
            (json!([one(1, "complete", "run"), one(2, "running", "run")]), 0, "run, 1 complete"),
            (json!([one(1, "running", "run"), one(2, "running", "run")]), 0, "==> 2 of 2 allocations run\n"),
        ];
        for (at_the_end, expected, words) in cases {
            let answers = Answers::new()
                .on("PUT /v1/jobs", [registered("eeeeeeee-1")])
                .on(EVALUATION, [json!({"ID": "eeeeeeee-1", "Status": "complete", "JobID": "j"})])
                .on(
                    ALLOCATIONS,
                    [json!([one(1, "pending", "run"), one(2, "pending", "run")]), at_the_end.clone()],
                );
            let (status, text, _) = run_line("", JOB, answers).await;
            assert_eq!(status, Ok(expected), "{text}");
            assert!(text.contains(words), "{words:?} is missing in:\n{text}");
            let is_lost = at_the_end[0]["ClientStatus"] == "lost";
            assert_eq!(
                text.contains("==> Allocation \"aaaaaaa1\" lost: its node is down"),
                is_lost,
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn what_happens_to_tasks_on_the_way_is_told_once() {
        let with_events = |client_status: &str, events: Json| {
            json!([{"ID": "aaaaaaaa-1", "EvalID": "eeeeeeee-1", "ClientStatus": client_status, "DesiredStatus": "run",
                "TaskStates": {"t": {"Events": events}}}])
        };
        let started = json!({"Type": "Started", "Time": 1, "DisplayMessage": "by client"});
        let ended = json!({"Type": "Terminated", "Time": 2, "DisplayMessage": "Exit Code: 1"});
        let again = json!({"Type": "Restarting", "Time": 3, "DisplayMessage": "in 1s"});
        let answers = Answers::new()
            .on("PUT /v1/jobs", [registered("eeeeeeee-1")])
            .on(EVALUATION, [json!({"ID": "eeeeeeee-1", "Status": "complete", "JobID": "j"})])
            .on(
                ALLOCATIONS,
                [
                    with_events("pending", json!([started])),
                    with_events("pending", json!([started, ended])),
                    with_events("pending", json!([started, ended, again])),
                    with_events("running", json!([started, ended, again])),
                ],
            );
        let (status, text, _) = run_line("", JOB, answers).await;
        assert_eq!(status, Ok(0), "{text}");
        let tasks: Vec<&str> = text.lines().filter(|line| line.contains("Task ")).map(str::trim).collect();
        assert_eq!(tasks, ["Task \"t\": Terminated: Exit Code: 1", "Task \"t\": Restarting: in 1s"]);
    }

    #[tokio::test]
    async fn an_evaluation_that_fails_ends_with_two() {
        let answers = Answers::new()
            .on("PUT /v1/jobs", [registered("eeeeeeee-1")])
            .on(EVALUATION, [json!({"Status": "failed", "StatusDescription": "maximum attempts reached (5)", "JobID": "j"})])
            .on(ALLOCATIONS, [json!([])]);
        let (status, text, _) = run_line("", JOB, answers).await;
        assert_eq!(status, Ok(2), "{text}");
        assert!(text.contains("maximum attempts reached (5)"), "{text}");
    }

    #[tokio::test]
    async fn detached_and_periodic_jobs_are_not_followed() {
        let (status, text, seen) = run_line(
            "-detach -check-index 7",
            JOB,
            Answers::new().on("PUT /v1/jobs", [registered("eeeeeeee-1")]),
        )
        .await;
        assert_eq!((status, seen.len()), (Ok(0), 1), "{text}");
        assert!(text.contains("Evaluation ID: eeeeeeee-1"), "{text}");
        assert!(seen[0].contains(r#""EnforceIndex":true,"JobModifyIndex":7"#), "{seen:?}");
        let (status, text, seen) =
            run_line("", JOB, Answers::new().on("PUT /v1/jobs", [registered("")])).await;
        assert_eq!((status, seen.len()), (Ok(0), 1), "{text}");
    }

    #[tokio::test]
    async fn a_refusal_and_a_fault_in_the_file_are_told() {
        let (status, _, _) = run_line("", JOB, Answers::new()).await;
        assert_eq!(status, Err("Unexpected response code: 404 (nothing here)".to_owned()));
        let (status, _, seen) = run_line("", "job \"j\" {\n typ = 1\n}", Answers::new()).await;
        assert!(status.unwrap_err().ends_with("job.hcl:2:2: a job has no `typ`; is `type` meant?"));
        assert_eq!(seen.len(), 0);
    }

    #[tokio::test]
    async fn json_is_taken_bare_and_wrapped_and_printed_as_the_api_has_it() {
        for file in [r#"{"ID": "j"}"#, r#" {"Job": {"ID": "j"}}"#] {
            let (status, text, seen) = run_line("-output", file, Answers::new()).await;
            assert_eq!((status, seen.len()), (Ok(0), 0));
            assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), json!({"Job": {"ID": "j"}}));
        }
        let (status, _, _) = run_line("-output", "{}", Answers::new()).await;
        assert!(status.unwrap_err().contains("needs an \"ID\""));
    }
}
