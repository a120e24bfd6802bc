//! The commands, one per file: each takes its arguments and a screen and returns an exit status.

pub(crate) mod agent_info;
pub(crate) mod alloc_status;
pub(crate) mod autopilot;
pub(crate) mod config_validate;
pub(crate) mod eval_status;
pub(crate) mod feature_level;
pub(crate) mod job_run;
pub(crate) mod job_status;
pub(crate) mod job_stop;
mod keygen;
pub(crate) mod node_status;
mod placement;
pub(crate) mod raft_list_peers;
pub(crate) mod raft_peers;
pub(crate) mod server_members;
pub(crate) mod server_recover;
pub(crate) mod time_reset;

pub(crate) use placement::explain as explain_placement;

use crate::agent;
use crate::arguments::{
    AllocCommand, AutopilotCommand, Cli, Command, ConfigCommand, EvalCommand, GossipCommand, JobCommand,
    KeyringCommand, NodeCommand, OperatorCommand, RaftCommand, ServerCommand, TimeCommand,
};
use std::process::ExitCode;

/// Exit status of success.
pub(crate) const DONE: u8 = 0;
/// Exit status of failure.
pub(crate) const FAILED: u8 = 1;
/// Exit status if the scheduler could not place everything.
pub(crate) const NOT_PLACED: u8 = 2;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The command's own message.
    #[error("{0}")]
    Told(String),
    /// An error of the API client.
    #[error(transparent)]
    Api(#[from] ordu_client::Error),
}

/// Runs a command and returns the exit status.
pub(crate) fn execute(cli: Cli) -> ExitCode {
    let command = match cli.command {
        Command::Agent(arguments) => return agent::execute(&arguments),
        Command::Version => {
            println!("Ordu v{} (API of Nomad {})", env!("CARGO_PKG_VERSION"), ordu_proto::api::NOMAD_VERSION);
            return ExitCode::from(DONE);
        }
        command => command,
    };
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(dispatch(&command)),
        Err(error) => Err(CommandError::Told(format!("cannot start the runtime: {error}"))),
    };
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

async fn dispatch(command: &Command) -> Result<u8, CommandError> {
    match command {
        Command::AgentInfo(arguments) => agent_info::execute(arguments).await,
        Command::Job(JobCommand::Run(arguments)) => job_run::execute(arguments).await,
        Command::Job(JobCommand::Status(arguments)) => job_status::execute(arguments).await,
        Command::Job(JobCommand::Stop(arguments)) => job_stop::execute(arguments).await,
        Command::Node(NodeCommand::Status(arguments)) => node_status::execute(arguments).await,
        Command::Server(ServerCommand::Members(arguments)) => server_members::execute(arguments).await,
        Command::Config(ConfigCommand::Validate(arguments)) => config_validate::execute(arguments),
        Command::Server(ServerCommand::Recover(arguments)) => server_recover::execute(arguments).await,
        Command::Operator(
            OperatorCommand::Keygen
            | OperatorCommand::Gossip(GossipCommand::Keyring(KeyringCommand::Generate)),
        ) => Ok(keygen::execute()),
        Command::Operator(OperatorCommand::Autopilot(AutopilotCommand::GetConfig(arguments))) => {
            autopilot::get(arguments).await
        }
        Command::Operator(OperatorCommand::Autopilot(AutopilotCommand::SetConfig(arguments))) => {
            autopilot::set(arguments).await
        }
        Command::Operator(OperatorCommand::Autopilot(AutopilotCommand::Health(arguments))) => {
            autopilot::health(arguments).await
        }
        Command::Operator(OperatorCommand::FeatureLevel(arguments)) => {
            feature_level::execute(arguments).await
        }
        Command::Operator(OperatorCommand::Raft(RaftCommand::ListPeers(arguments))) => {
            raft_list_peers::execute(arguments).await
        }
        Command::Operator(OperatorCommand::Raft(RaftCommand::RemovePeer(arguments))) => {
            raft_peers::remove(arguments).await
        }
        Command::Operator(OperatorCommand::Raft(RaftCommand::TransferLeadership(arguments))) => {
            raft_peers::transfer(arguments).await
        }
        Command::Operator(OperatorCommand::Time(TimeCommand::Reset(arguments))) => {
            time_reset::execute(arguments).await
        }
        Command::Alloc(AllocCommand::Status(arguments)) => alloc_status::execute(arguments).await,
        Command::Eval(EvalCommand::Status(arguments)) => eval_status::execute(arguments).await,
        // Handled before: these two need no cluster.
        Command::Agent(_) | Command::Version => Ok(DONE),
    }
}

/// Formats a flag for people.
pub(crate) fn yes_or_no(flag: bool) -> String {
    flag.to_string()
}
