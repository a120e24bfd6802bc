//! Creates the golden data directories of this release, which later releases must open, and prints their manifest.

use std::path::PathBuf;
use std::process::ExitCode;

use ordu_tests::golden::make;

// A single thread is enough, since all steps are sequential.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [into] = &arguments[..] else {
        eprintln!("usage: golden DIRECTORY    (tests/golden/RELEASE)");
        return ExitCode::FAILURE;
    };
    let into = PathBuf::from(into);
    let manifest = make(&into).await;
    println!("{} holds\n{manifest:#}", into.display());
    ExitCode::SUCCESS
}
