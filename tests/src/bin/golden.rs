//! Makes the data directories of this release that later ones are to open, and prints what is in them.

use std::path::PathBuf;
use std::process::ExitCode;

use ordu_tests::golden::make;

// One thread is enough: everything here is done one after the other.
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
