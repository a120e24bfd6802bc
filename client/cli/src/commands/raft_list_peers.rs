//! `ordu operator raft list-peers`.

use super::{CommandError, DONE, yes_or_no};
use crate::arguments::ApiArgs;
use crate::output::Screen;
use clap::Args;
use ordu_client::{Query, RaftServer};
use serde_json::Value as Json;

/// The arguments of `ordu operator raft list-peers`.
#[derive(Debug, Args)]
pub(crate) struct ListPeersArgs {
    /// Take what the asked server knows, also without a leader
    #[arg(long)]
    stale: bool,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn execute(arguments: &ListPeersArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(true)).await
}

async fn run(arguments: &ListPeersArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let client = arguments.api.client()?;
    let query = Query { stale: arguments.stale, ..Query::default() };
    if arguments.json {
        screen.json(&client.get::<Json>("/v1/operator/raft/configuration", &query).await?.value);
        return Ok(DONE);
    }
    let servers = client.raft_configuration(&query).await?.value.servers;
    let row = |server: RaftServer| {
        let state = if server.leader { "leader" } else { "follower" };
        let protocol = match &server.raft_protocol {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        [server.node, server.id, server.address, state.to_owned(), yes_or_no(server.voter), protocol]
    };
    screen.table(["Node", "ID", "Address", "State", "Voter", "RaftProtocol"], servers.into_iter().map(row));
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, OperatorCommand, RaftCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    #[tokio::test]
    async fn peers_are_listed_in_columns() {
        let servers = json!({"Servers": [{"Node": "s1.global", "ID": "1", "Address": "127.0.0.1:4647", "Leader": true, "Voter": true, "RaftProtocol": "3"}]});
        let (address, seen) =
            serve(Answers::new().on("GET /v1/operator/raft/configuration", [servers])).await;
        let line = format!("ordu operator raft list-peers -stale -address={address}");
        let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Operator(OperatorCommand::Raft(RaftCommand::ListPeers(arguments))) = cli.command else {
            panic!()
        };
        let mut screen = Screen::captured(true);
        assert_eq!(run(&arguments, &mut screen).await.unwrap(), DONE);
        assert_eq!(
            screen.text(),
            "Node       ID  Address         State   Voter  RaftProtocol\ns1.global  1   127.0.0.1:4647  leader  true   3\n"
        );
        assert_eq!(*seen.lock().unwrap(), ["GET /v1/operator/raft/configuration?stale=true"]);
    }
}
