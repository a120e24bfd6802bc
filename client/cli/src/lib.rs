//! The one binary's parts: the command line, the agent's configuration, and the agent itself.

pub mod agent;
mod arguments;
mod commands;
pub mod config;
pub mod error;
mod logging;
mod monitor;
pub mod open_files;
mod output;
mod reload;
mod resolve;
mod service_manager;
#[cfg(test)]
mod testing;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command line and gives the process's exit status: 0 it is done, 1 it is not, 2 the
/// scheduler could not place what was asked for, 78 an agent does not start as it is configured.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match arguments::parse(arguments) {
        Ok(cli) => commands::execute(cli),
        Err(error) => {
            let failed = error.use_stderr();
            // Nothing is left to be done when the terminal is gone.
            let _ = error.print();
            ExitCode::from(u8::from(failed))
        }
    }
}
