//! Compiles libraries that are loaded into a process before its C library (LD_PRELOAD).

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `source`, unless the folder already contains the library.
pub(super) fn library(folder: &Path, name: &str, source: &str) -> PathBuf {
    let library = folder.join(format!("{name}.so"));
    if library.exists() {
        return library;
    }
    let place = folder.join(format!("{name}.c"));
    std::fs::write(&place, source).expect("the test's folder can be written to");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(&place)
        .output()
        .expect("`cc` is there: RocksDB was built with it");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    library
}

/// Returns the environment variables that load `library`, which reads the file named by `variable`.
pub(super) fn environment(library: &Path, variable: &str, file: &Path) -> Vec<(String, String)> {
    let entry = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
    vec![entry("LD_PRELOAD", library), entry(variable, file)]
}
