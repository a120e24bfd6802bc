//! Checks the dependencies between crates, and that sources contain no banned marks.

use std::collections::{BTreeMap, BTreeSet};

use ordu_tests::harness::say;
use ordu_tests::tidy::{direct_dependencies, metadata, sources};

/// Permitted direct dependencies of ordu-core. None of them has clocks, tasks, sockets or randomness.
const CORE_MAY_USE: &[&str] = &[
    "base64",
    "csv",
    "hcl-rs",
    "jiff",
    "md-5",
    "ordu-proto",
    "prost",
    "regex",
    "rustc-hash",
    "saphyr-parser",
    "schemars",
    "semver",
    "serde",
    "serde_json",
    "sha1",
    "sha2",
    "strum",
    "thiserror",
    "uuid",
];

/// Crates that ordu-core must not depend on, even transitively.
const CORE_MUST_NOT_REACH: &[&str] =
    &["tokio", "tonic", "hyper", "axum", "rocksdb", "openraft", "rand", "mio"];

/// The workspace crates that each workspace crate may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("ordu-proto", &[]),
    ("ordu-core", &["ordu-proto"]),
    ("ordu-store", &["ordu-core", "ordu-proto"]),
    ("ordu-server", &["ordu-core", "ordu-proto", "ordu-store"]),
    ("ordu-client", &["ordu-proto"]),
    ("ordu-agent", &["ordu-proto"]),
    ("ordu", &["ordu-agent", "ordu-client", "ordu-core", "ordu-proto", "ordu-server", "ordu-store"]),
];

/// Marks of unfinished or disabled work in code.
const BANNED: &[&str] = &["todo!", "unimplemented!", "#[ignore", "dbg!("];

/// Banned marks in comments, split so that this file does not contain them.
const BANNED_ANYWHERE: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X:")];

#[test]
fn the_core_depends_on_nothing_that_could_make_it_cheat() {
    let metadata = metadata();
    let direct = direct_dependencies(&metadata, "ordu-core");
    let allowed: BTreeSet<&str> = CORE_MAY_USE.iter().copied().collect();
    let extra: Vec<&String> = direct.iter().filter(|name| !allowed.contains(name.as_str())).collect();
    assert!(extra.is_empty(), "ordu-core may not depend on {extra:?}; see ARCHITECTURE.md");

    // Check the features that ordu-core itself enables. Cargo unifies the features that other crates need, so the
    // closure below follows only normal dependencies that ordu-core enables.
    let core = metadata["packages"].as_array().into_iter().flatten().find(|p| p["name"] == "ordu-core");
    let proto = core.and_then(|core| {
        core["dependencies"].as_array()?.iter().find(|dependency| dependency["name"] == "ordu-proto").cloned()
    });
    let features = proto.map(|proto| proto["features"].clone()).unwrap_or_default();
    assert_eq!(features, serde_json::json!([]), "ordu-core takes ordu-proto without its gRPC feature");

    let reached = closure_without_proto(&metadata);
    let found: Vec<&str> =
        CORE_MUST_NOT_REACH.iter().copied().filter(|name| reached.contains(*name)).collect();
    assert!(found.is_empty(), "ordu-core reaches {found:?} through its dependencies");
    assert!(reached.len() > 10, "the dependencies of ordu-core were not found: {reached:?}");
}

/// Returns the names of ordu-core's transitive dependencies, except those of ordu-proto, whose resolved dependencies
/// are the union of those needed by all its users.
fn closure_without_proto(metadata: &serde_json::Value) -> BTreeSet<String> {
    let nodes: BTreeMap<&str, &serde_json::Value> = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
        .collect();
    let start = names.iter().find(|(_, name)| **name == "ordu-core").map(|(id, _)| *id);
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = start.into_iter().collect();
    while let Some(id) = open.pop() {
        for dependency in nodes[id]["deps"].as_array().into_iter().flatten() {
            let normal =
                dependency["dep_kinds"].as_array().into_iter().flatten().any(|k| k["kind"].is_null());
            let Some(next) = dependency["pkg"].as_str().filter(|_| normal) else { continue };
            let name = names[next];
            if name != "ordu-proto" && reached.insert(name.to_owned()) {
                open.push(next);
            }
        }
    }
    reached
}

#[test]
fn arrows_between_the_crates_point_one_way() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in ARROWS {
        let used = direct_dependencies(&metadata, name);
        let wrong: Vec<&String> = used
            .iter()
            .filter(|used| ours.contains(used.as_str()) && !allowed.contains(&used.as_str()))
            .collect();
        assert!(wrong.is_empty(), "{name} may not use {wrong:?}; see ARCHITECTURE.md");
    }
}

#[test]
fn no_source_carries_marks_of_unfinished_work() {
    let mut found = Vec::new();
    let sources = sources();
    assert!(sources.len() > 20, "the tree's sources were not found");
    for source in &sources {
        for (number, line) in source.code().lines().enumerate() {
            for mark in BANNED.iter().filter(|mark| line.contains(**mark)) {
                found.push(format!("{}:{}: {mark}", source.path, number + 1));
            }
        }
        for mark in BANNED_ANYWHERE.iter().filter(|mark| source.text.contains(**mark)) {
            found.push(format!("{}: {mark}", source.path));
        }
    }
    assert!(found.is_empty(), "unfinished:\n{}", found.join("\n"));
}

#[test]
fn every_source_begins_by_saying_why_it_exists() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path)
        .collect();
    assert!(silent.is_empty(), "without a sentence at the top: {silent:#?}");
}

#[test]
fn the_longest_files_and_functions_are_printed() {
    let sources = sources();
    let mut files: Vec<(usize, &str)> =
        sources.iter().map(|source| (source.text.lines().count(), source.path.as_str())).collect();
    files.sort_by(|one, other| other.cmp(one));
    let mut functions: Vec<(usize, String)> = sources
        .iter()
        .flat_map(|source| {
            let place = |line: usize, name: String| format!("{}:{line} {name}", source.path);
            source.functions().into_iter().map(move |f| (f.lines, place(f.line, f.name)))
        })
        .collect();
    functions.sort_by(|one, other| other.cmp(one));
    let mut text = "longest files:\n".to_owned();
    files.iter().take(8).for_each(|(lines, path)| text += &format!("{lines:5}  {path}\n"));
    text += "longest functions:\n";
    functions.iter().take(8).for_each(|(lines, place)| text += &format!("{lines:5}  {place}\n"));
    say(&text);
    assert!(!files.is_empty() && !functions.is_empty(), "the tree's sources were not found");
}
