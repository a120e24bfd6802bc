//! The parts of the `ordu` program: the command line, the agent's configuration, and the agent itself.

pub mod agent;
mod arguments;
mod commands;
pub mod config;
pub mod error;
mod logging;
mod monitor;
pub mod open_files;
mod output;
pub mod private;
mod reload;
mod resolve;
mod service_manager;
#[cfg(test)]
mod testing;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command line and returns the exit status: 0 success, 1 failure, 2 the scheduler could not place
/// everything, 78 an agent cannot start with its configuration.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match arguments::parse(arguments) {
        Ok(cli) => commands::execute(cli),
        Err(error) => {
            let failed = error.use_stderr();
            // A failure to print cannot be reported: the terminal is gone.
            let _ = error.print();
            ExitCode::from(u8::from(failed))
        }
    }
}
