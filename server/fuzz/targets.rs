//! What is fuzzed: one entry for each way in which bytes of another server or of a node come in. The fuzzer and
//! the stable test of the corpus run the same entries.

use ordu_server::raft::{check_append, check_snapshot, check_vote};
use ordu_server::rpc::node_session::check_hello;

/// Takes any bytes, and panics if something is wrong with us. An error is what their sender is told.
type Entry = fn(&[u8]) -> Result<(), String>;

/// Every target by its name, which is that of its folder in `corpus` and of its file in `fuzz_targets`.
pub(crate) const TARGETS: &[(&str, Entry)] = &[
    ("append", check_append),
    ("hello", check_hello),
    ("install_snapshot", check_snapshot),
    ("vote", check_vote),
];

/// Runs the target of this name.
pub(crate) fn run(name: &str, bytes: &[u8]) -> Result<(), String> {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, entry) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    let told = entry(bytes);
    assert!(told.as_ref().err().is_none_or(|text| !text.is_empty()), "a refusal has words");
    told
}
