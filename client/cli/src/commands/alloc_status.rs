//! `ordu alloc status`.

use super::{CommandError, DONE, explain_placement};
use crate::arguments::ApiArgs;
use crate::output::{Screen, ago, moment, moment_of};
use crate::resolve;
use clap::Args;
use ordu_client::{Allocation, Query, TaskState};
use serde_json::Value as Json;

/// The arguments of `ordu alloc status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The beginning of the allocation's id
    allocation: String,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    /// Leave out what happened to the tasks
    #[arg(long)]
    short: bool,
    /// Print ids in full, and why it is where it is
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
    let id = resolve::id(&client, "/v1/allocations", "allocation", &arguments.allocation).await?;
    if arguments.json {
        screen.json(&client.get::<Json>(&format!("/v1/allocation/{id}"), &Query::default()).await?.value);
        return Ok(DONE);
    }
    let allocation = client.allocation(&id, &Query::default()).await?.value;
    facts(screen, &allocation);
    for (task, state) in &allocation.task_states {
        show_task(screen, task, state, arguments.short);
    }
    if arguments.verbose {
        why_there(screen, &allocation);
    }
    Ok(DONE)
}

fn facts(screen: &mut Screen, allocation: &Allocation) {
    let version = allocation.job.as_ref().map(|job| job.version.to_string()).unwrap_or_default();
    let mut facts = vec![
        ("ID", screen.id(&allocation.id)),
        ("Eval ID", screen.id(&allocation.eval_id)),
        ("Name", allocation.name.clone()),
        ("Node ID", screen.id(&allocation.node_id)),
        ("Node Name", allocation.node_name.clone()),
        ("Job ID", allocation.job_id.clone()),
        ("Job Version", version),
        ("Client Status", allocation.client_status.clone()),
        ("Client Description", allocation.client_description.clone()),
        ("Desired Status", allocation.desired_status.clone()),
        ("Desired Description", allocation.desired_description.clone()),
        ("Created", ago(allocation.create_time)),
        ("Modified", ago(allocation.modify_time)),
    ];
    for (name, id) in [
        ("Previous Alloc", &allocation.previous_allocation),
        ("Replacement Alloc ID", &allocation.next_allocation),
    ] {
        if !id.is_empty() {
            facts.push((name, screen.id(id)));
        }
    }
    screen.facts(facts);
}

fn show_task(screen: &mut Screen, task: &str, state: &TaskState, short: bool) {
    let failed = if state.failed { " (failed)" } else { "" };
    screen.title(&format!("Task {task:?} is {:?}{failed}", state.state));
    screen.facts([
        ("Started At", moment_of(state.started_at.as_deref())),
        ("Finished At", moment_of(state.finished_at.as_deref())),
        ("Total Restarts", state.restarts.to_string()),
    ]);
    if short || state.events.is_empty() {
        return;
    }
    screen.title("Recent Events:");
    let rows = state.events.iter().rev().map(|event| {
        [moment(event.time), event.event_type.clone(), event.display_message.replace('\n', " ")]
    });
    screen.table(["Time", "Type", "Description"], rows);
}

fn why_there(screen: &mut Screen, allocation: &Allocation) {
    let Some(metric) = &allocation.metrics else { return };
    screen.title("Placement Metrics");
    screen.line(format!("  * Nodes evaluated: {}", metric.nodes_evaluated));
    explain_placement(screen, metric, "  ");
    let rows: Vec<[String; 3]> = metric
        .scores
        .iter()
        .map(|score| {
            let parts: Vec<String> =
                score.scores.iter().map(|(name, part)| format!("{name} {part:.3}")).collect();
            [screen.id(&score.node_id), format!("{:.3}", score.norm_score), parts.join(", ")]
        })
        .collect();
    if !rows.is_empty() {
        screen.table(["Node", "Score", "Of"], rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{AllocCommand, Command, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    #[tokio::test]
    async fn an_allocation_is_shown_with_its_tasks_and_their_events() {
        let id = "aaaaaaaa-0000-0000-0000-000000000001";
        let allocation = json!({"ID": id, "Name": "j.g[0]", "NodeID": "nnnnnnnn-1", "JobID": "j", "ClientStatus": "failed",
            "DesiredStatus": "run", "NextAllocation": "bbbbbbbb-1", "Metrics": {"NodesEvaluated": 2,
                "ScoreMetaData": [{"NodeID": "nnnnnnnn-1", "NormScore": 0.5, "Scores": {"binpack": 0.5}}]},
            "TaskStates": {"t": {"State": "dead", "Failed": true, "Restarts": 3, "StartedAt": "2026-01-02T03:04:05Z", "FinishedAt": null,
                "Events": [{"Type": "Received", "Time": 1, "DisplayMessage": "first"}, {"Type": "Terminated", "Time": 2, "DisplayMessage": "Exit\nCode: 1"}]}}});
        let answers = || {
            Answers::new()
                .on("GET /v1/allocations", [json!([{"ID": id}])])
                .on(&format!("GET /v1/allocation/{id}"), [allocation.clone()])
        };
        let shown = async |flags: &str| {
            let (address, _) = serve(answers()).await;
            let line = format!("ordu alloc status -address={address} {flags} aaaa");
            let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
            let Command::Alloc(AllocCommand::Status(arguments)) = cli.command else { panic!("{line}") };
            let mut screen = Screen::captured(arguments.verbose);
            assert_eq!(run(&arguments, &mut screen).await.unwrap(), DONE);
            screen.text().to_owned()
        };
        let text = shown("").await;
        for wanted in [
            "ID                   = aaaaaaaa\n",
            "Node ID              = nnnnnnnn\n",
            "Replacement Alloc ID = bbbbbbbb\n",
            "Task \"t\" is \"dead\" (failed)\n",
            "Total Restarts = 3\n",
            "Exit Code: 1\n",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
        }
        assert!(text.find("Terminated") < text.find("Received"), "newest first:\n{text}");
        assert!(!shown("-short").await.contains("Received"));
        assert!(shown("-verbose").await.contains("binpack 0.500"));
        assert_eq!(serde_json::from_str::<Json>(&shown("-json").await).unwrap(), allocation);
    }
}
