//! Runs the corpus of every fuzz target through the target's entry, on any toolchain. A file whose name begins
//! with `good` is taken; every other one is refused in words.

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
        let (mut good, mut refused) = (0, 0);
        for file in entries(&fuzz().join("corpus").join(name)) {
            // Shown if the entry panics.
            println!("{}", file.display());
            let told = targets::run(name, &std::fs::read(&file).unwrap());
            println!("    {told:?}");
            let is_good = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("good"));
            assert_eq!(is_good, told.is_ok(), "{}: {told:?}", file.display());
            *if is_good { &mut good } else { &mut refused } += 1;
        }
        assert!(good > 0 && refused > 0, "the corpus of {name} is one-sided: {good} good, {refused} refused");
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
