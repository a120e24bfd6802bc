//! Puts every kind of client load on its own cluster and prints the results; see `--help`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ordu_tests::overload::{Options, run};

// A single thread, so that the load does not take more than its share of the cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    // A timeout, in case the servers hang.
    let end_within = Duration::from_secs(2 * options.seconds + 900);
    match tokio::time::timeout(end_within, run(&options)).await {
        Ok(Ok(report)) => {
            println!("{}", report.text);
            if report.elections == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(Err(error)) => {
            eprintln!("overload: {error}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("overload: not done after {} s", end_within.as_secs());
            ExitCode::FAILURE
        }
    }
}
