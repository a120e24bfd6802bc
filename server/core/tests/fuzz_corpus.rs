//! Runs the corpus of every fuzz target through the target's entry, on any toolchain.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "../fuzz/targets.rs"]
mod targets;

/// Where the targets are, from the package's folder, in which its tests run. A path of the build would be another
/// clone's wherever clones share a target directory.
fn fuzz() -> &'static Path {
    Path::new("fuzz")
}

/// What a folder holds, in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = read.map(|entry| entry.expect("a folder's entry").path()).collect();
    entries.sort();
    entries
}

#[test]
fn every_corpus_is_answered() {
    for (name, _) in targets::TARGETS {
        let files = entries(&fuzz().join("corpus").join(name));
        assert!(!files.is_empty(), "the corpus of {name} is empty");
        for file in files {
            // Shown if the entry panics.
            println!("{}", file.display());
            targets::run(name, &std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn targets_corpora_and_programs_belong_together() {
    let stems = |folder: &str| -> BTreeSet<String> {
        let entries = entries(&fuzz().join(folder));
        entries.iter().filter_map(|entry| Some(entry.file_stem()?.to_str()?.to_owned())).collect()
    };
    let names: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(stems("corpus"), names);
    assert_eq!(stems("fuzz_targets"), names);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name} is not in Cargo.toml"
        );
    }
}
