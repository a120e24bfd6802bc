//! The binary that the integration tests start and kill. It is either the supervisor (`node-supervisor`) or an agent:
//! `ordu-agent-harness agent DATA_DIR SERVER…` runs until it is killed.

use std::ffi::OsString;
use std::process::ExitCode;

use ordu_agent::AgentOptions;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_ref().and_then(|command| command.to_str()) {
        Some("node-supervisor") => ordu_agent::supervisor_main(args),
        Some("agent") => agent(args),
        _ => ExitCode::FAILURE,
    }
}

fn agent(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(data_dir) = args.next() else { return ExitCode::FAILURE };
    let servers = args.filter_map(|server| server.into_string().ok()).collect();
    let options = AgentOptions { servers, raw_exec_enabled: true, ..AgentOptions::new(data_dir) };
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    match runtime.block_on(ordu_agent::run(options, CancellationToken::new())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
