//! The command line's grammar. Long flags take one dash, as Nomad's do, or two.

use crate::agent::AgentArgs;
use crate::commands::{
    agent_info, alloc_status, autopilot, config_validate, eval_status, feature_level, job_run, job_status,
    job_stop, node_status, raft_list_peers, raft_peers, server_members, server_recover, time_reset,
};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use ordu_client::{Client, Options};
use std::collections::BTreeSet;
use std::ffi::OsString;

/// Ordu: a control plane for programs that wander.
#[derive(Debug, Parser)]
#[command(name = "ordu", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server, a node, or both
    Agent(Box<AgentArgs>),
    /// Show the figures of the agent that is asked
    AgentInfo(agent_info::AgentInfoArgs),
    /// Register, look at and stop jobs
    #[command(subcommand)]
    Job(JobCommand),
    /// Look at nodes
    #[command(subcommand)]
    Node(NodeCommand),
    /// Look at servers
    #[command(subcommand)]
    Server(ServerCommand),
    /// Check configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look after the cluster
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Look at allocations
    #[command(subcommand)]
    Alloc(AllocCommand),
    /// Look at evaluations
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Register a job and follow it until it runs
    Run(job_run::RunArgs),
    /// List jobs, or show one
    Status(job_status::StatusArgs),
    /// Stop a job
    Stop(job_stop::StopArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List nodes, or show one
    Status(node_status::StatusArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// List the servers that the asked agent knows
    Members(server_members::MembersArgs),
    /// Form a new cluster from one data directory, where most servers are lost for good
    Recover(server_recover::RecoverArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check files as an agent would that is started with them; nothing is started
    Validate(config_validate::ValidateArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Look after the key that servers prove to one another
    #[command(subcommand)]
    Gossip(GossipCommand),
    /// Make a key, as `gossip keyring generate` does
    Keygen,
    /// Look at how the leader looks after the servers, and set it
    #[command(subcommand)]
    Autopilot(AutopilotCommand),
    /// Look at which server knows which feature level, and raise the cluster's
    FeatureLevel(feature_level::FeatureLevelArgs),
    /// Look after raft
    #[command(subcommand)]
    Raft(RaftCommand),
    /// Look after the cluster's time
    #[command(subcommand)]
    Time(TimeCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum GossipCommand {
    /// Look after keys
    #[command(subcommand)]
    Keyring(KeyringCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyringCommand {
    /// Make a key for `server { encrypt }`
    Generate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AutopilotCommand {
    /// Show how the leader looks after the servers
    GetConfig(autopilot::GetArgs),
    /// Set how the leader looks after the servers
    SetConfig(autopilot::SetArgs),
    /// Show how the servers are, by the leader's word
    Health(autopilot::HealthArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TimeCommand {
    /// Mend what a wrong clock wrote: time and periodic launches go on from now
    Reset(time_reset::ResetArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RaftCommand {
    /// List who has a voice in raft
    ListPeers(raft_list_peers::ListPeersArgs),
    /// Remove a server that has failed, or another one by force
    RemovePeer(raft_peers::RemoveArgs),
    /// Hand leadership to another server
    TransferLeadership(raft_peers::TransferArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AllocCommand {
    /// Show an allocation
    Status(alloc_status::StatusArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Show an evaluation
    Status(eval_status::StatusArgs),
}

/// How every command finds its cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// Address of any server or node
    #[arg(long, env = "NOMAD_ADDR", default_value = "http://127.0.0.1:4646", value_name = "URL")]
    address: String,
    /// Region; the asked agent's unless given
    #[arg(long, env = "NOMAD_REGION", value_name = "NAME")]
    region: Option<String>,
    /// Namespace
    #[arg(long, env = "NOMAD_NAMESPACE", value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Who asks: the secret of a token
    #[arg(long, env = "NOMAD_TOKEN", value_name = "SECRET", hide_env_values = true)]
    token: Option<String>,
}

impl ApiArgs {
    pub(crate) fn client(&self) -> Result<Client, ordu_client::Error> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Client::new(Options {
            address: self.address.trim_end_matches('/').to_owned(),
            token: said(&self.token),
            region: said(&self.region),
            namespace: said(&self.namespace),
        })
    }
}

/// Parses the command line; its first argument is the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let command = Cli::command();
    let mut switches = BTreeSet::new();
    collect_switches(&command, &mut switches);
    let matches = command.try_get_matches_from(with_two_dashes(arguments, &switches))?;
    Cli::from_arg_matches(&matches)
}

/// Collects the names of all flags without a value.
fn collect_switches(command: &clap::Command, switches: &mut BTreeSet<String>) {
    let of_command = command.get_arguments().filter(|argument| !argument.get_action().takes_values());
    switches.extend(of_command.filter_map(|argument| argument.get_long()).map(str::to_owned));
    command.get_subcommands().for_each(|inner| collect_switches(inner, switches));
}

/// Rewrites Nomad's flags for clap: `-address=x` becomes `--address=x`, `-purge=true` becomes `--purge`, and
/// `-purge=false` is dropped. Arguments after a bare `--` stay as they are.
fn with_two_dashes(
    arguments: impl IntoIterator<Item = OsString>,
    switches: &BTreeSet<String>,
) -> Vec<OsString> {
    let mut flags_are_over = false;
    let rewrite = |argument: OsString| {
        flags_are_over |= argument == "--";
        let Some(text) = argument.to_str().filter(|_| !flags_are_over) else { return Some(argument) };
        let Some(flag) = text.strip_prefix('-') else { return Some(argument) };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        // `-`, `-h`, and what cannot be a flag's name: a negative number, a path.
        if flag.len() < 2 || !flag.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Some(argument);
        }
        match flag.split_once('=') {
            Some((name, "true" | "1" | "t")) if switches.contains(name) => Some(format!("--{name}").into()),
            Some((name, "false" | "0" | "f")) if switches.contains(name) => None,
            _ => Some(format!("--{flag}").into()),
        }
    };
    arguments.into_iter().filter_map(rewrite).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(arguments: &[&str]) -> Vec<String> {
        let switches = ["purge", "json", "yes"].map(str::to_owned).into();
        let arguments = arguments.iter().map(OsString::from);
        with_two_dashes(arguments, &switches).into_iter().map(|a| a.into_string().unwrap()).collect()
    }

    #[test]
    fn one_dash_becomes_two() {
        let cases: [(&[&str], &[&str]); 9] = [
            (&["ordu", "job", "stop", "-purge", "x"], &["ordu", "job", "stop", "--purge", "x"]),
            (&["-address=http://a:1", "-json"], &["--address=http://a:1", "--json"]),
            (&["-config", "FILE", "-dev"], &["--config", "FILE", "--dev"]),
            (&["--address", "x", "-h"], &["--address", "x", "-h"]),
            (&["-purge=true", "-json=false", "--yes=1"], &["--purge", "--yes"]),
            (&["-address=true"], &["--address=true"]),
            (&["-", "-7", "-./x"], &["-", "-7", "-./x"]),
            (&["--", "-purge"], &["--", "-purge"]),
            (&["-x"], &["-x"]),
        ];
        for (given, wanted) in cases {
            assert_eq!(rewritten(given), wanted, "{given:?}");
        }
    }

    #[test]
    fn the_grammar_is_sound_and_takes_what_nomads_users_type() {
        Cli::command().debug_assert();
        let lines = [
            "ordu agent -dev",
            "ordu agent -config /etc/a.hcl -config=/etc/b -data-dir=/x -bind 127.0.0.1 -dc dc2 -node n -server \
             -bootstrap-expect=3 -retry-join a -retry-join b:4647 -client -servers a,b -node-class k -meta a=b \
             -log-level DEBUG",
            "ordu job run -detach -check-index 3 -address=http://127.0.0.1:1 x.hcl",
            "ordu job run -",
            "ordu job run x.json -verbose -output -json",
            "ordu job status",
            "ordu job status -json -namespace n x",
            "ordu job stop -purge -yes -detach=true x",
            "ordu node status -verbose",
            "ordu node status 1234abcd -json",
            "ordu server members -json",
            "ordu config validate /etc/a.hcl /etc/b",
            "ordu server recover -config /etc/a.hcl -compare /a -compare=/b -show",
            "ordu server recover -data-dir /x -lose-what-only-other-servers-have",
            "ordu operator gossip keyring generate",
            "ordu operator keygen",
            "ordu operator autopilot get-config",
            "ordu operator autopilot set-config -cleanup-dead-servers=false -max-trailing-logs=500 \
             -last-contact-threshold=1s -server-stabilization-time=30s -min-quorum=3 -enable-redundancy-zones=1 \
             -disable-upgrade-migration=true -enable-custom-upgrades=F",
            "ordu operator autopilot set-config -cleanup-dead-servers",
            "ordu operator autopilot health -json",
            "ordu operator feature-level -json",
            "ordu operator feature-level raise -address=http://a:1",
            "ordu operator raft list-peers -stale=true",
            "ordu operator raft remove-peer -peer-id=7 -force-living=true -force-without-majority",
            "ordu operator raft transfer-leadership -peer-address=127.0.0.1:4647",
            "ordu alloc status -short -verbose 1234",
            "ordu eval status 1234 -json",
            "ordu version",
        ];
        for line in lines {
            let arguments = line.split_whitespace().map(OsString::from);
            assert!(parse(arguments).is_ok(), "{line}");
        }
        for line in [
            "ordu",
            "ordu job",
            "ordu job run",
            "ordu job stop",
            "ordu config validate",
            "ordu job run -nonsense x",
            "ordu operator autopilot set-config -cleanup-dead-servers=perhaps",
            "ordu operator autopilot set-config -min-quorum=-1",
            "ordu alloc status",
        ] {
            let arguments = line.split_whitespace().map(OsString::from);
            assert!(parse(arguments).is_err_and(|error| error.use_stderr()), "{line}");
        }
        let help = parse(["ordu", "job", "run", "-h"].map(OsString::from)).unwrap_err();
        assert!(!help.use_stderr());
    }
}
