//! `ordu server members`.

use super::{CommandError, DONE, yes_or_no};
use crate::arguments::ApiArgs;
use crate::output::Screen;
use clap::Args;
use ordu_client::{Member, Query};
use serde_json::Value as Json;

/// The arguments of `ordu server members`.
#[derive(Debug, Args)]
pub(crate) struct MembersArgs {
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn execute(arguments: &MembersArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(true)).await
}

async fn run(arguments: &MembersArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let client = arguments.api.client()?;
    if arguments.json {
        screen.json(&client.get::<Json>("/v1/agent/members", &Query::default()).await?.value);
        return Ok(DONE);
    }
    let mut members = client.agent_members().await?.members;
    members.sort_by(|one, other| one.name.cmp(&other.name));
    // Without a leader the members are still listed.
    let leader = client.leader().await;
    let tag = |member: &Member, tag: &str| member.tags.get(tag).cloned().unwrap_or_default();
    let row = |member: &Member| {
        let rpc = format!("{}:{}", member.addr, tag(member, "port"));
        let leads = leader.as_ref().is_ok_and(|leader| *leader == rpc);
        [
            member.name.clone(),
            member.addr.clone(),
            member.port.to_string(),
            member.status.clone(),
            yes_or_no(leads),
            tag(member, "build"),
            tag(member, "dc"),
            tag(member, "region"),
        ]
    };
    let names = ["Name", "Address", "Port", "Status", "Leader", "Build", "Datacenter", "Region"];
    screen.table(names, members.iter().map(row));
    match leader {
        Ok(leader) if !leader.is_empty() => {}
        Ok(_) => screen.line("\nThere is no leader"),
        Err(error) => screen.line(format!("\nThe leader cannot be asked for: {error}")),
    }
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, ServerCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::json;

    async fn shown(answers: Answers) -> String {
        let (address, _) = serve(answers).await;
        let cli =
            parse(["ordu", "server", "members", &format!("-address={address}")].map(Into::into)).unwrap();
        let Command::Server(ServerCommand::Members(arguments)) = cli.command else { panic!() };
        let mut screen = Screen::captured(true);
        assert_eq!(run(&arguments, &mut screen).await.unwrap(), DONE);
        screen.text().to_owned()
    }

    fn members() -> Json {
        let tags = |port: &str| json!({"port": port, "dc": "dc1", "region": "global", "build": "1.0.18"});
        json!({"Members": [
            {"Name": "s2.global", "Addr": "127.0.0.1", "Port": 5648, "Status": "alive", "Tags": tags("5647")},
            {"Name": "s1.global", "Addr": "127.0.0.1", "Port": 4648, "Status": "alive", "Tags": tags("4647")},
        ]})
    }

    #[tokio::test]
    async fn the_leader_is_marked() {
        let answers = Answers::new()
            .on("GET /v1/agent/members", [members()])
            .on("GET /v1/status/leader", [json!("127.0.0.1:5647")]);
        assert_eq!(
            shown(answers).await,
            "Name       Address    Port  Status  Leader  Build   Datacenter  Region\n\
             s1.global  127.0.0.1  4648  alive   false   1.0.18  dc1         global\n\
             s2.global  127.0.0.1  5648  alive   true    1.0.18  dc1         global\n"
        );
    }

    #[tokio::test]
    async fn members_are_shown_without_a_leader_too() {
        let text = shown(Answers::new().on("GET /v1/agent/members", [members()])).await;
        assert!(text.contains("s1.global") && text.contains("The leader cannot be asked for"), "{text}");
    }
}
