//! `ordu job status`: the jobs, or one of them.

use super::{CommandError, DONE, explain_placement, yes_or_no};
use crate::arguments::ApiArgs;
use crate::output::{Screen, ago, moment};
use crate::resolve;
use clap::Args;
use ordu_client::{AllocationStub, Client, Evaluation, JobStub, Query, segment};
use serde_json::Value as Json;

/// The arguments of `ordu job status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The job, or the beginning of its id; all jobs unless given
    job: Option<String>,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    /// List the job's evaluations as well
    #[arg(long)]
    evals: bool,
    /// Print ids in full, and the evaluations
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn execute(arguments: &StatusArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(arguments.verbose)).await
}

async fn run(arguments: &StatusArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let client = arguments.api.client()?;
    let Some(typed) = &arguments.job else {
        list(arguments, &client, screen).await?;
        return Ok(DONE);
    };
    let (job, _) = resolve::job(&client, typed).await?;
    let namespace = Some(job.namespace.clone()).filter(|namespace| !namespace.is_empty());
    let query = Query { namespace, ..Query::default() };
    if arguments.json {
        let path = format!("/v1/job/{}", segment(&job.id));
        screen.json(&client.get::<Json>(&path, &query).await?.value);
        return Ok(DONE);
    }
    facts(screen, &job);
    if job.periodic || job.parameterized_job {
        children(screen, &job);
        return Ok(DONE);
    }
    summary(screen, &job);
    let evaluations = client.job_evaluations(&job.id, &query).await?.value;
    if arguments.evals || arguments.verbose {
        list_evaluations(screen, &evaluations);
    }
    placement_failures(screen, &evaluations);
    allocations(screen, client.job_allocations(&job.id, &query).await?.value);
    Ok(DONE)
}

async fn list(arguments: &StatusArgs, client: &Client, screen: &mut Screen) -> Result<(), CommandError> {
    if arguments.json {
        screen.json(&client.get::<Json>("/v1/jobs", &Query::default()).await?.value);
        return Ok(());
    }
    let jobs = client.jobs(&Query::default()).await?.value;
    if jobs.is_empty() {
        screen.line("No running jobs");
        return Ok(());
    }
    let row = |job: JobStub| {
        let status = status_of(&job);
        [
            job.id,
            kind_of(&job.job_type, job.periodic, job.parameterized_job),
            job.priority.to_string(),
            status,
            moment(job.submit_time),
        ]
    };
    screen.table(["ID", "Type", "Priority", "Status", "Submit Date"], jobs.into_iter().map(row));
    Ok(())
}

fn kind_of(job_type: &str, periodic: bool, parameterized: bool) -> String {
    match (periodic, parameterized) {
        (true, false) => format!("{job_type}/periodic"),
        (false, true) => format!("{job_type}/parameterized"),
        (true, true) => format!("{job_type}/periodic/parameterized"),
        (false, false) => job_type.to_owned(),
    }
}

fn status_of(job: &JobStub) -> String {
    if job.stop { format!("{} (stopped)", job.status) } else { job.status.clone() }
}

fn facts(screen: &mut Screen, job: &JobStub) {
    screen.facts([
        ("ID", job.id.clone()),
        ("Name", job.name.clone()),
        ("Submit Date", moment(job.submit_time)),
        ("Type", job.job_type.clone()),
        ("Priority", job.priority.to_string()),
        ("Datacenters", job.datacenters.join(",")),
        ("Status", status_of(job)),
        ("Periodic", yes_or_no(job.periodic)),
        ("Parameterized", yes_or_no(job.parameterized_job)),
    ]);
}

fn children(screen: &mut Screen, job: &JobStub) {
    let Some(children) = job.job_summary.as_ref().and_then(|summary| summary.children) else { return };
    screen.title("Children Job Summary");
    let counts = [children.pending, children.running, children.dead].map(|count| count.to_string());
    screen.table(["Pending", "Running", "Dead"], [counts]);
}

fn summary(screen: &mut Screen, job: &JobStub) {
    let Some(summary) = &job.job_summary else { return };
    screen.title("Summary");
    let rows = summary.summary.iter().map(|(group, of)| {
        let counts = [of.queued, of.starting, of.running, of.failed, of.complete, of.lost]
            .map(|count| count.to_string());
        let [queued, starting, running, failed, complete, lost] = counts;
        [group.clone(), queued, starting, running, failed, complete, lost]
    });
    screen.table(["Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost"], rows);
}

fn list_evaluations(screen: &mut Screen, evaluations: &[Evaluation]) {
    screen.title("Evaluations");
    let mut newest_first: Vec<&Evaluation> = evaluations.iter().collect();
    newest_first.sort_by_key(|evaluation| std::cmp::Reverse(evaluation.create_index));
    let id_of = |evaluation: &Evaluation| screen.id(&evaluation.id);
    let rows: Vec<[String; 5]> = newest_first
        .into_iter()
        .map(|evaluation| {
            [
                id_of(evaluation),
                evaluation.priority.to_string(),
                evaluation.triggered_by.clone(),
                evaluation.status.clone(),
                yes_or_no(!evaluation.failed_groups.is_empty()),
            ]
        })
        .collect();
    screen.table(["ID", "Priority", "Triggered By", "Status", "Placement Failures"], rows);
}

/// Explains the placement failures of the newest evaluation that has any, if an evaluation is still blocked.
fn placement_failures(screen: &mut Screen, evaluations: &[Evaluation]) {
    let waits = evaluations.iter().any(|evaluation| evaluation.status == "blocked");
    let failed = evaluations.iter().filter(|evaluation| !evaluation.failed_groups.is_empty());
    let Some(newest) = failed.max_by_key(|evaluation| evaluation.create_index).filter(|_| waits) else {
        return;
    };
    screen.title("Placement Failure");
    for (group, metric) in &newest.failed_groups {
        screen.line(format!("Task Group {group:?}:"));
        explain_placement(screen, metric, "  ");
    }
}

fn allocations(screen: &mut Screen, mut allocations: Vec<AllocationStub>) {
    screen.title("Allocations");
    if allocations.is_empty() {
        screen.line("No allocations placed");
        return;
    }
    allocations.sort_by_key(|allocation| std::cmp::Reverse(allocation.create_index));
    let rows: Vec<[String; 8]> = allocations
        .into_iter()
        .map(|one| {
            [
                screen.id(&one.id),
                screen.id(&one.node_id),
                one.task_group,
                one.job_version.to_string(),
                one.desired_status,
                one.client_status,
                ago(one.create_time),
                ago(one.modify_time),
            ]
        })
        .collect();
    let names = ["ID", "Node ID", "Task Group", "Version", "Desired", "Status", "Created", "Modified"];
    screen.table(names, rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, JobCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    async fn shown(line: &str, answers: Answers) -> String {
        let (address, _) = serve(answers).await;
        let line = format!("ordu job status -address={address} {line}");
        let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Job(JobCommand::Status(arguments)) = cli.command else { panic!("{line}") };
        let mut screen = Screen::captured(arguments.verbose);
        assert_eq!(run(&arguments, &mut screen).await.unwrap(), DONE);
        screen.text().to_owned()
    }

    fn job() -> Json {
        json!({"ID": "a/b", "Name": "a/b", "Type": "service", "Priority": 50, "Status": "running", "Datacenters": ["dc1", "dc2"],
            "JobSummary": {"Summary": {"g": {"Running": 1, "Queued": 2}}}})
    }

    #[tokio::test]
    async fn no_job_is_said_in_words() {
        assert_eq!(shown("", Answers::new().on("GET /v1/jobs", [json!([])])).await, "No running jobs\n");
    }

    #[tokio::test]
    async fn jobs_are_listed_in_columns() {
        let periodic = json!({"ID": "cron", "Type": "batch", "Periodic": true, "Priority": 7, "Status": "dead", "Stop": true});
        let text = shown("", Answers::new().on("GET /v1/jobs", [json!([job(), periodic])])).await;
        assert_eq!(
            text,
            "ID    Type            Priority  Status          Submit Date\n\
             a/b   service         50        running         N/A\n\
             cron  batch/periodic  7         dead (stopped)  N/A\n"
        );
    }

    #[tokio::test]
    async fn a_job_is_shown_with_its_groups_failures_and_allocations() {
        let evaluations = json!([
            {"ID": "eeeeeeee-1", "Status": "complete", "CreateIndex": 5, "TriggeredBy": "job-register", "Priority": 50,
                "FailedTGAllocs": {"g": {"NodesEvaluated": 1, "NodesExhausted": 1}}},
            {"ID": "bbbbbbbb-1", "Status": "blocked", "CreateIndex": 6},
        ]);
        let allocations = json!([{"ID": "aaaaaaaa-1", "NodeID": "nnnnnnnn-1", "TaskGroup": "g", "DesiredStatus": "run", "ClientStatus": "running"}]);
        let answers = || {
            Answers::new()
                .on("GET /v1/jobs", [json!([job()])])
                .on("GET /v1/job/a%2Fb", [json!({"ID": "a/b"})])
                .on("GET /v1/job/a%2Fb/evaluations", [evaluations.clone()])
                .on("GET /v1/job/a%2Fb/allocations", [allocations.clone()])
        };
        let text = shown("-evals a/b", answers()).await;
        for wanted in [
            "ID            = a/b\n",
            "Datacenters   = dc1,dc2\n",
            "Task Group  Queued  Starting  Running  Failed  Complete  Lost\ng           2       0         1        0       0         0\n",
            "bbbbbbbb  0",
            "Placement Failure\nTask Group \"g\":\n  * Resources exhausted on 1 nodes\n",
            "aaaaaaaa  nnnnnnnn  g           0        run      running  N/A      N/A\n",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
        }
        assert!(shown("-verbose a/b", answers()).await.contains("aaaaaaaa-1  nnnnnnnn-1"));
        assert_eq!(shown("-json a/b", answers()).await, "{\n    \"ID\": \"a/b\"\n}\n");
    }
}
