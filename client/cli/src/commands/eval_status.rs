//! `ordu eval status`.

use super::{CommandError, DONE, explain_placement, yes_or_no};
use crate::arguments::ApiArgs;
use crate::output::{Screen, ago};
use crate::resolve;
use clap::Args;
use ordu_client::Query;
use serde_json::Value as Json;

/// The arguments of `ordu eval status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The beginning of the evaluation's id
    evaluation: String,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    /// Print ids in full
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
    let id = resolve::id(&client, "/v1/evaluations", "evaluation", &arguments.evaluation).await?;
    if arguments.json {
        screen.json(&client.get::<Json>(&format!("/v1/evaluation/{id}"), &Query::default()).await?.value);
        return Ok(DONE);
    }
    let evaluation = client.evaluation(&id, &Query::default()).await?.value;
    screen.facts([
        ("ID", screen.id(&evaluation.id)),
        ("Create Time", ago(evaluation.create_time)),
        ("Modify Time", ago(evaluation.modify_time)),
        ("Status", evaluation.status.clone()),
        ("Status Description", evaluation.status_description.clone()),
        ("Type", evaluation.job_type.clone()),
        ("TriggeredBy", evaluation.triggered_by.clone()),
        ("Job ID", evaluation.job_id.clone()),
        ("Node ID", screen.id(&evaluation.node_id)),
        ("Priority", evaluation.priority.to_string()),
        ("Placement Failures", yes_or_no(!evaluation.failed_groups.is_empty())),
        ("Previous Eval", screen.id(&evaluation.previous_eval)),
        ("Next Eval", screen.id(&evaluation.next_eval)),
        ("Blocked Eval", screen.id(&evaluation.blocked_eval)),
    ]);
    if !evaluation.failed_groups.is_empty() {
        screen.title("Failed Placements");
        for (group, metric) in &evaluation.failed_groups {
            screen.line(format!("Task Group {group:?} (failed to place {}):", metric.coalesced_failures + 1));
            explain_placement(screen, metric, "  ");
        }
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, EvalCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    #[tokio::test]
    async fn an_evaluation_is_shown_with_what_it_could_not_place() {
        let id = "eeeeeeee-0000-0000-0000-000000000001";
        let evaluation = json!({"ID": id, "Status": "complete", "Type": "service", "JobID": "j", "BlockedEval": "bbbbbbbb-1",
            "FailedTGAllocs": {"g": {"NodesEvaluated": 0, "CoalescedFailures": 1}}});
        let answers = Answers::new()
            .on("GET /v1/evaluations", [json!([{"ID": id}, {"ID": "eeeeffff-1"}])])
            .on(&format!("GET /v1/evaluation/{id}"), [evaluation]);
        let (address, _) = serve(answers).await;
        let run_with = async |typed: &str| {
            let line = format!("ordu eval status -address={address} {typed}");
            let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
            let Command::Eval(EvalCommand::Status(arguments)) = cli.command else { panic!("{line}") };
            let mut screen = Screen::captured(false);
            run(&arguments, &mut screen)
                .await
                .map(|_| screen.text().to_owned())
                .map_err(|error| error.to_string())
        };
        let text = run_with("eeeee").await.unwrap();
        for wanted in [
            "Blocked Eval       = bbbbbbbb\n",
            "Node ID            = <none>\n",
            "Task Group \"g\" (failed to place 2):\n",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
        }
        assert!(run_with("eeee").await.unwrap_err().contains("several ids of evaluations"));
    }
}
