//! `ordu operator autopilot get-config`, `set-config` and `health`.

use super::{CommandError, DONE, yes_or_no};
use crate::arguments::ApiArgs;
use crate::output::{Screen, moment_of};
use clap::Args;
use ordu_client::{AutopilotConfiguration, AutopilotHealth, ServerHealth};

/// The arguments of `ordu operator autopilot get-config`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// The arguments of `ordu operator autopilot set-config`; what is not given stays as it is.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Whether a voter that has failed goes when another server votes in its place
    #[arg(long, value_name = "BOOL", require_equals = true, num_args = 0..=1, default_missing_value = "true", value_parser = truth)]
    cleanup_dead_servers: Option<bool>,
    /// How long ago a healthy server may have answered the leader
    #[arg(long, value_name = "DURATION")]
    last_contact_threshold: Option<String>,
    /// How many entries a healthy server may be behind
    #[arg(long, value_name = "COUNT")]
    max_trailing_logs: Option<u64>,
    /// No voter goes by itself where fewer than these would be left
    #[arg(long, value_name = "COUNT")]
    min_quorum: Option<u64>,
    /// For how long a server has to be well without a break before it votes
    #[arg(long, value_name = "DURATION")]
    server_stabilization_time: Option<String>,
    /// Stored, and without effect in Ordu
    #[arg(long, value_name = "BOOL", require_equals = true, num_args = 0..=1, default_missing_value = "true", value_parser = truth)]
    enable_redundancy_zones: Option<bool>,
    /// Stored, and without effect in Ordu
    #[arg(long, value_name = "BOOL", require_equals = true, num_args = 0..=1, default_missing_value = "true", value_parser = truth)]
    disable_upgrade_migration: Option<bool>,
    /// Stored, and without effect in Ordu
    #[arg(long, value_name = "BOOL", require_equals = true, num_args = 0..=1, default_missing_value = "true", value_parser = truth)]
    enable_custom_upgrades: Option<bool>,
    #[command(flatten)]
    api: ApiArgs,
}

/// The arguments of `ordu operator autopilot health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// Parses a boolean as Nomad's command line does.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false is wanted".to_owned()),
    }
}

pub(crate) async fn get(arguments: &GetArgs) -> Result<u8, CommandError> {
    run_get(arguments, &mut Screen::terminal(true)).await
}

async fn run_get(arguments: &GetArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let configuration = arguments.api.client()?.autopilot_configuration().await?;
    if arguments.json {
        screen.json(&serde_json::json!(configuration));
        return Ok(DONE);
    }
    screen.facts([
        ("CleanupDeadServers", yes_or_no(configuration.cleanup_dead_servers)),
        ("LastContactThreshold", configuration.last_contact_threshold),
        ("MaxTrailingLogs", configuration.max_trailing_logs.to_string()),
        ("MinQuorum", configuration.min_quorum.to_string()),
        ("ServerStabilizationTime", configuration.server_stabilization_time),
        ("EnableRedundancyZones", yes_or_no(configuration.enable_redundancy_zones)),
        ("DisableUpgradeMigration", yes_or_no(configuration.disable_upgrade_migration)),
        ("EnableCustomUpgrades", yes_or_no(configuration.enable_custom_upgrades)),
    ]);
    Ok(DONE)
}

pub(crate) async fn set(arguments: &SetArgs) -> Result<u8, CommandError> {
    run_set(arguments, &mut Screen::terminal(true)).await
}

async fn run_set(arguments: &SetArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let client = arguments.api.client()?;
    let now = client.autopilot_configuration().await?;
    let modify_index = now.modify_index;
    let next = laid_over(arguments, now);
    if !client.set_autopilot_configuration(&next, Some(modify_index)).await? {
        let text =
            "the configuration was changed by someone else meanwhile, and is as they set it; try again";
        return Err(CommandError::Told(text.to_owned()));
    }
    screen.line("Configuration updated!");
    Ok(DONE)
}

/// Returns the configuration with the given arguments in place of its values.
fn laid_over(arguments: &SetArgs, now: AutopilotConfiguration) -> AutopilotConfiguration {
    let text = |given: &Option<String>, has: String| given.clone().unwrap_or(has);
    AutopilotConfiguration {
        cleanup_dead_servers: arguments.cleanup_dead_servers.unwrap_or(now.cleanup_dead_servers),
        last_contact_threshold: text(&arguments.last_contact_threshold, now.last_contact_threshold),
        max_trailing_logs: arguments.max_trailing_logs.unwrap_or(now.max_trailing_logs),
        min_quorum: arguments.min_quorum.unwrap_or(now.min_quorum),
        server_stabilization_time: text(&arguments.server_stabilization_time, now.server_stabilization_time),
        enable_redundancy_zones: arguments.enable_redundancy_zones.unwrap_or(now.enable_redundancy_zones),
        disable_upgrade_migration: arguments
            .disable_upgrade_migration
            .unwrap_or(now.disable_upgrade_migration),
        enable_custom_upgrades: arguments.enable_custom_upgrades.unwrap_or(now.enable_custom_upgrades),
        ..now
    }
}

pub(crate) async fn health(arguments: &HealthArgs) -> Result<u8, CommandError> {
    run_health(arguments, &mut Screen::terminal(true)).await
}

async fn run_health(arguments: &HealthArgs, screen: &mut Screen) -> Result<u8, CommandError> {
    let health = arguments.api.client()?.autopilot_health().await?;
    if arguments.json {
        screen.json(&serde_json::json!(health));
        return Ok(DONE);
    }
    let AutopilotHealth { healthy, failure_tolerance, leader, voters, servers } = health;
    screen.facts([
        ("Healthy", yes_or_no(healthy)),
        ("FailureTolerance", failure_tolerance.to_string()),
        ("Leader", leader),
        ("Voters", voters.join(", ")),
    ]);
    screen.title("Servers");
    let row = |server: ServerHealth| {
        let is_known = !server.last_contact.starts_with('-');
        let last_contact = if is_known { server.last_contact } else { "never".to_owned() };
        [
            server.name,
            server.id,
            server.address,
            server.serf_status,
            yes_or_no(server.voter),
            yes_or_no(server.healthy),
            last_contact,
            server.last_term.to_string(),
            server.last_index.to_string(),
            moment_of(Some(&server.stable_since)),
        ]
    };
    let names = [
        "Name",
        "ID",
        "Address",
        "SerfStatus",
        "Voter",
        "Healthy",
        "LastContact",
        "LastTerm",
        "LastIndex",
        "StableSince",
    ];
    screen.table(names, servers.into_iter().map(row));
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{AutopilotCommand, Command, OperatorCommand, parse};
    use crate::testing::{Answers, serve};
    use serde_json::{Value as Json, json};

    const CONFIGURATION: &str = "/v1/operator/autopilot/configuration";

    fn parsed(line: &str) -> AutopilotCommand {
        let cli = parse(line.split_whitespace().map(Into::into)).unwrap();
        let Command::Operator(OperatorCommand::Autopilot(command)) = cli.command else { panic!("{line}") };
        command
    }

    fn configuration() -> Json {
        json!({"CleanupDeadServers": true, "LastContactThreshold": "200ms", "MaxTrailingLogs": 250, "MinQuorum": 0,
            "ServerStabilizationTime": "10s", "EnableRedundancyZones": false, "DisableUpgradeMigration": false,
            "EnableCustomUpgrades": false, "CreateIndex": 5, "ModifyIndex": 7})
    }

    #[tokio::test]
    async fn the_configuration_is_shown() {
        let answers = Answers::new().on(&format!("GET {CONFIGURATION}"), [configuration()]);
        let (address, _) = serve(answers).await;
        let line = format!("ordu operator autopilot get-config -address={address}");
        let AutopilotCommand::GetConfig(arguments) = parsed(&line) else { panic!() };
        let mut screen = Screen::captured(true);
        assert_eq!(run_get(&arguments, &mut screen).await.unwrap(), DONE);
        let expected = "CleanupDeadServers      = true\nLastContactThreshold    = 200ms\n\
            MaxTrailingLogs         = 250\nMinQuorum               = 0\nServerStabilizationTime = 10s\n\
            EnableRedundancyZones   = false\nDisableUpgradeMigration = false\nEnableCustomUpgrades    = false\n";
        assert_eq!(expected, screen.text());
    }

    #[tokio::test]
    async fn only_what_is_given_is_set_and_only_if_no_one_else_has_set_it_meanwhile() {
        let put = format!("PUT {CONFIGURATION}?cas=7");
        for (flags, changed) in [
            ("", json!({})),
            ("-cleanup-dead-servers=false", json!({"CleanupDeadServers": false})),
            ("-cleanup-dead-servers", json!({})),
            ("-min-quorum=3 -max-trailing-logs 500", json!({"MinQuorum": 3, "MaxTrailingLogs": 500})),
            (
                "-server-stabilization-time=30s -last-contact-threshold=1s -enable-redundancy-zones=T",
                json!({"ServerStabilizationTime": "30s", "LastContactThreshold": "1s", "EnableRedundancyZones": true}),
            ),
        ] {
            let answers = Answers::new()
                .on(&format!("GET {CONFIGURATION}"), [configuration()])
                .on(&put, [json!(true), json!(false)]);
            let (address, seen) = serve(answers).await;
            let line = format!("ordu operator autopilot set-config {flags} -address={address}");
            let AutopilotCommand::SetConfig(arguments) = parsed(&line) else { panic!() };
            let mut screen = Screen::captured(true);
            assert_eq!(run_set(&arguments, &mut screen).await.unwrap(), DONE);
            assert_eq!("Configuration updated!\n", screen.text());
            let sent = seen.lock().unwrap().last().cloned().unwrap();
            let sent: Json = serde_json::from_str(sent.strip_prefix(&put).unwrap()).unwrap();
            let mut expected = configuration();
            for (key, value) in changed.as_object().unwrap() {
                expected[key] = value.clone();
            }
            assert_eq!(expected, sent, "{flags}");
            let refused = run_set(&arguments, &mut Screen::captured(true)).await.unwrap_err();
            assert!(refused.to_string().contains("by someone else"), "{refused}");
        }
    }

    #[tokio::test]
    async fn the_health_of_the_servers_is_shown() {
        let server = |id: &str, healthy: bool| {
            json!({"ID": id, "Name": format!("s{id}.global"), "Address": "127.0.0.1:4647", "Leader": healthy, "Voter": true,
                "SerfStatus": if healthy { "alive" } else { "failed" }, "Version": "1.0.18", "Healthy": healthy,
                "LastContact": if healthy { "15ms" } else { "-1ns" }, "LastTerm": 2, "LastIndex": 46,
                "StableSince": "0001-01-01T00:00:00Z", "Meta": null})
        };
        let health = json!({"Healthy": false, "FailureTolerance": 0, "Leader": "1", "Voters": ["1", "2"],
            "Servers": [server("1", true), server("2", false)]});
        let (address, _) = serve(Answers::new().on("GET /v1/operator/autopilot/health", [health])).await;
        let line = format!("ordu operator autopilot health -address={address}");
        let AutopilotCommand::Health(arguments) = parsed(&line) else { panic!() };
        let mut screen = Screen::captured(true);
        assert_eq!(run_health(&arguments, &mut screen).await.unwrap(), DONE);
        let lines: Vec<Vec<&str>> =
            screen.text().lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(["Healthy", "=", "false"], lines[0][..]);
        assert_eq!(["Voters", "=", "1,", "2"], lines[3][..]);
        let of = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        assert_eq!(of("s1.global 1 127.0.0.1:4647 alive true true 15ms 2 46 N/A"), lines[7]);
        assert_eq!(of("s2.global 2 127.0.0.1:4647 failed true false never 2 46 N/A"), lines[8]);
    }
}
