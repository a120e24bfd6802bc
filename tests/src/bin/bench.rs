//! Measures a control plane and prints a Markdown table; `--help` tells how.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ordu_tests::bench::{Options, run};

/// No benchmark takes longer than this, whatever the servers do.
const END_WITHIN: Duration = Duration::from_secs(30 * 60);

// One thread: the load is not to take more than its share of the cores.
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
