//! `ordu agent-info`.

use super::{CommandError, DONE};
use crate::arguments::ApiArgs;
use crate::output::Screen;
use clap::Args;
use ordu_client::Query;
use serde_json::Value as Json;

/// The arguments of `ordu agent-info`.
#[derive(Debug, Args)]
pub(crate) struct AgentInfoArgs {
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn execute(arguments: &AgentInfoArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(true)).await
}

async fn run(arguments: &AgentInfoArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let client = arguments.api.client()?;
    if arguments.json {
        screen.json(&client.get::<Json>("/v1/agent/self", &Query::default()).await?.value);
        return Ok(DONE);
    }
    for (part, figures) in client.agent_self().await?.stats {
        screen.line(part);
        for (name, figure) in figures {
            screen.line(format!("  {name} = {figure}"));
        }
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    #[tokio::test]
    async fn the_figures_of_each_part_are_shown_in_their_order() {
        let stats = json!({"raft": {"term": "3", "state": "Leader"}, "nomad": {"leader": "true"}});
        let answers = Answers::new().on("GET /v1/agent/self", [json!({"config": {}, "stats": stats})]);
        let (address, _) = serve(answers).await;
        let cli = parse(["ordu", "agent-info", &format!("-address={address}")].map(Into::into)).unwrap();
        let Command::AgentInfo(arguments) = cli.command else { panic!() };
        let mut screen = Screen::captured(true);
        assert_eq!(run(&arguments, &mut screen).await.unwrap(), DONE);
        assert_eq!(screen.text(), "nomad\n  leader = true\nraft\n  state = Leader\n  term = 3\n");
    }
}
