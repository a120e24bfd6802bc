//! Measures a control plane and prints a Markdown table; see `--help`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ordu_tests::bench::{Options, run};

/// Timeout for the whole benchmark.
const END_WITHIN: Duration = Duration::from_secs(30 * 60);

// A single thread, so that the load does not take more than its share of the cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    match tokio::time::timeout(END_WITHIN, run(&options)).await {
        Ok(Ok(table)) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("bench: not done after {} minutes", END_WITHIN.as_secs() / 60);
            ExitCode::FAILURE
        }
    }
}
