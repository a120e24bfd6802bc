//! `ordu operator feature-level`, and `raise` below it.

use super::{CommandError, DONE};
use crate::arguments::ApiArgs;
use crate::output::Screen;
use clap::{Args, Subcommand};
use ordu_client::{FeatureLevels, ReleaseOfServer};

/// The arguments of `ordu operator feature-level`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct FeatureLevelArgs {
    #[command(subcommand)]
    command: Option<FeatureLevelCommand>,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum FeatureLevelCommand {
    /// Raise the level at once, if every server knows a higher one; no server can go back to a release below it then
    Raise(RaiseArgs),
}

/// The arguments of `ordu operator feature-level raise`.
#[derive(Debug, Args)]
struct RaiseArgs {
    #[command(flatten)]
    api: ApiArgs,
}

pub(crate) async fn execute(arguments: &FeatureLevelArgs) -> Result<u8, CommandError> {
    run(arguments, &mut Screen::terminal(true)).await
}

async fn run(arguments: &FeatureLevelArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    if let Some(FeatureLevelCommand::Raise(arguments)) = &arguments.command {
        let level = arguments.api.client()?.raise_feature_level().await?;
        screen.line(format!("The cluster's feature level is {level}"));
        return Ok(DONE);
    }
    let levels = arguments.api.client()?.feature_levels().await?;
    if arguments.json {
        screen.json(&serde_json::json!(levels));
        return Ok(DONE);
    }
    let rises = rises(&levels);
    let FeatureLevels { level, highest, servers, .. } = levels;
    screen.facts([("Level", level.to_string()), ("Highest", highest.to_string()), ("Rises", rises)]);
    screen.title("Servers");
    let row = |server: ReleaseOfServer| {
        let level = if server.level == 0 { "unknown".to_owned() } else { server.level.to_string() };
        [server.name, server.id, server.address, level, server.release]
    };
    screen.table(["Name", "ID", "Address", "Level", "Release"], servers.into_iter().map(row));
    Ok(DONE)
}

/// Says when the cluster's level rises, or which servers hold it back.
fn rises(levels: &FeatureLevels) -> String {
    let held_back = levels.held_back_by.join(", ");
    match &levels.known_for {
        Some(known_for) => {
            format!(
                "by itself, after every server has known more for {}; they have for {known_for}",
                levels.raised_after
            )
        }
        None if levels.highest == levels.level && held_back.is_empty() => {
            "not, since no server knows more".to_owned()
        }
        None => format!("not, held back by {held_back}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Command, OperatorCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::{Value as Json, json};

    const PATH: &str = "/v1/operator/ordu/feature-level";

    async fn printed(words: &str, answers: Answers) -> String {
        let (address, _) = serve(answers).await;
        let line = format!("ordu operator feature-level {words} -address={address}");
        let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Operator(OperatorCommand::FeatureLevel(arguments)) = cli.command else {
            panic!("{line}")
        };
        let mut screen = Screen::captured(true);
        assert_eq!(run(&arguments, &mut screen).await.unwrap(), DONE);
        screen.text().to_owned()
    }

    fn levels(level: u32, of_servers: [u32; 2], known_for: Json) -> Json {
        let server = |id: usize| {
            json!({"ID": id.to_string(), "Name": format!("s{id}.global"), "Address": format!("10.0.0.{id}:4647"),
                "Level": of_servers[id - 1], "Release": "0.1.0"})
        };
        let highest = of_servers[0].max(of_servers[1]);
        let behind = (1..=2).filter(|id| of_servers[id - 1] < highest);
        let held_back_by: Vec<String> = behind.map(|id| format!("s{id}.global")).collect();
        json!({"Level": level, "Highest": highest, "HeldBackBy": held_back_by, "KnownFor": known_for,
            "RaisedAfter": "10m0s", "Servers": [server(1), server(2)]})
    }

    #[tokio::test]
    async fn the_level_is_shown_with_who_knows_what_and_who_holds_it_back() {
        for (told, rises) in [
            (levels(1, [1, 1], Json::Null), "not, since no server knows more"),
            (levels(1, [2, 1], Json::Null), "not, held back by s2.global"),
            (levels(1, [2, 0], Json::Null), "not, held back by s2.global"),
            (
                levels(1, [2, 2], json!("1m30s")),
                "by itself, after every server has known more for 10m0s; they have for 1m30s",
            ),
        ] {
            let of_second = told["Servers"][1]["Level"].as_u64().unwrap();
            let text = printed("", Answers::new().on(&format!("GET {PATH}"), [told])).await;
            let lines: Vec<String> =
                text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            assert_eq!("Level = 1", lines[0]);
            assert!(lines.contains(&format!("Rises = {rises}")), "{text}");
            let level = if of_second == 0 { "unknown".to_owned() } else { of_second.to_string() };
            assert!(lines.contains(&format!("s2.global 2 10.0.0.2:4647 {level} 0.1.0")), "{text}");
        }
        let told = levels(1, [2, 1], Json::Null);
        let text = printed("-json", Answers::new().on(&format!("GET {PATH}"), [told.clone()])).await;
        assert_eq!(told, serde_json::from_str::<Json>(&text).unwrap());
    }

    #[tokio::test]
    async fn a_raise_tells_the_level() {
        let answers = Answers::new().on(&format!("PUT {PATH}/raise"), [json!({"Level": 2})]);
        assert_eq!("The cluster's feature level is 2\n", printed("raise", answers).await);
    }
}
