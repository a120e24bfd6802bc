//! `ordu job stop`.

use super::{CommandError, DONE, FAILED};
use crate::arguments::ApiArgs;
use crate::monitor::{self, Follow};
use crate::output::Screen;
use crate::resolve;
use clap::Args;
use std::io::Write;

/// The arguments of `ordu job stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The job, or the beginning of its id
    job: String,
    /// Forget the job and its history as well
    #[arg(long)]
    purge: bool,
    /// Do not follow what becomes of it
    #[arg(long)]
    detach: bool,
    /// Do not ask when only the beginning of the id is given
    #[arg(long, short)]
    yes: bool,
    /// Print ids in full
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn execute(arguments: &StopArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(arguments.verbose), ask).await
}

async fn run(
    arguments: &StopArgs,
    screen: &mut Screen,
    ask: impl FnOnce(&str) -> std::io::Result<bool>,
) -> Result<u8, CommandError> {
    let client = arguments.api.client()?;
    let (job, in_full) = resolve::job(&client, &arguments.job).await?;
    if !in_full && !arguments.yes {
        let question = format!("Are you sure you want to stop job {:?}? [y/N] ", job.id);
        let sure = ask(&question).map_err(|error| CommandError::Told(format!("nobody answers: {error}")))?;
        if !sure {
            screen.line("Cancelled: the job is not stopped");
            return Ok(FAILED);
        }
    }
    let namespace = Some(job.namespace.clone()).filter(|namespace| !namespace.is_empty());
    let stopped = client.deregister_job(&job.id, namespace.as_deref(), arguments.purge).await?;
    if stopped.eval_id.is_empty() {
        screen.line(format!("Job {:?} is stopped", job.id));
        return Ok(DONE);
    }
    if arguments.detach {
        screen.line(stopped.eval_id);
        return Ok(DONE);
    }
    let follow = Follow { job_id: job.id, namespace, until_allocations_run: false };
    Ok(monitor::follow(&client, screen, &stopped.eval_id, &follow).await?)
}

/// Asks a yes-or-no question on the terminal.
fn ask(question: &str) -> std::io::Result<bool> {
    print!("{question}");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, JobCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    async fn run_line(line: &str, sure: bool) -> (Result<u8, String>, String, Vec<String>) {
        let answers = Answers::new()
            .on("GET /v1/jobs", [json!([{"ID": "web"}, {"ID": "web-2"}])])
            .on("GET /v1/jobs?prefix=web-", [json!([{"ID": "web-2"}])])
            .on("GET /v1/jobs?prefix=none", [json!([])])
            .on("DELETE /v1/job/web", [json!({"EvalID": ""})])
            .on("DELETE /v1/job/web-2", [json!({"EvalID": "eeeeeeee-1"})])
            .on("GET /v1/evaluation/eeeeeeee-1", [json!({"ID": "eeeeeeee-1", "Status": "complete"})])
            .on("GET /v1/job/web-2/allocations", [json!([])]);
        let (address, seen) = serve(answers).await;
        let line = format!("ordu job stop -address={address} {line}");
        let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Job(JobCommand::Stop(arguments)) = cli.command else { panic!("{line}") };
        let mut screen = Screen::captured(false);
        let status = run(&arguments, &mut screen, |_| Ok(sure)).await.map_err(|error| error.to_string());
        let seen = seen.lock().unwrap().clone();
        (status, screen.text().to_owned(), seen)
    }

    #[tokio::test]
    async fn a_job_is_stopped_by_its_id_without_a_question() {
        let (status, text, seen) = run_line("-purge web", false).await;
        assert_eq!((status, text.as_str()), (Ok(0), "Job \"web\" is stopped\n"));
        assert!(
            seen.last().is_some_and(|line| line.starts_with("DELETE /v1/job/web?purge=true")),
            "{seen:?}"
        );
    }

    #[tokio::test]
    async fn a_job_is_stopped_by_the_beginning_of_its_id_only_when_sure() {
        let (status, _, seen) = run_line("web-", false).await;
        assert_eq!((status, seen.len()), (Ok(1), 1));
        let (status, text, _) = run_line("web-", true).await;
        assert_eq!(status, Ok(0));
        assert!(text.contains("finished with status \"complete\""), "{text}");
        let (status, text, _) = run_line("-yes -detach web-", false).await;
        assert_eq!((status, text.as_str()), (Ok(0), "eeeeeeee-1\n"));
    }

    #[tokio::test]
    async fn no_job_and_several_jobs_are_told() {
        let (status, _, _) = run_line("none", true).await;
        assert_eq!(status, Err("No job with an id that begins with \"none\"".to_owned()));
        let (status, _, _) = run_line("we", true).await;
        assert!(status.unwrap_err().ends_with("several jobs' ids:\nweb\nweb-2"));
    }
}
