//! Runs a test of this binary in a child process that ends as if it were killed.

use std::path::{Path, PathBuf};
use std::process::Command;

const DIRECTORY: &str = "ORDU_TEST_CHILD_DIRECTORY";

/// Returns the directory given to this process if it is a child.
pub(crate) fn directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Runs the test `name` in a child process with `directory`; the child must end by [`die`].
pub(crate) fn run(name: &str, directory: &Path) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(None, output.status.code(), "the child ends by a signal, not on its own: {said}");
    assert!(said.contains(DYING), "the child got to its end: {said}");
}

const DYING: &str = "the child dies now";

/// Ends the process without an orderly shutdown: no destructors, no flush.
pub(crate) fn die() -> ! {
    println!("{DYING}");
    std::process::abort()
}
