//! Fuzz targets: one function for each way in which bytes of another server or of a node enter. The fuzzer and the
//! corpus test on the stable toolchain run the same functions.

use ordu_server::raft::{check_append, check_snapshot, check_vote};
use ordu_server::rpc::node_session::check_hello;

/// Accepts any bytes; panics only on a bug. An error is the text sent to the peer.
type Entry = fn(&[u8]) -> Result<(), String>;

/// All targets by name. A target's name is also that of its folder in `corpus` and of its file in `fuzz_targets`.
pub(crate) const TARGETS: &[(&str, Entry)] = &[
    ("append", check_append),
    ("hello", check_hello),
    ("install_snapshot", check_snapshot),
    ("vote", check_vote),
];

/// Runs the target named `name`.
pub(crate) fn run(name: &str, bytes: &[u8]) -> Result<(), String> {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, entry) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    let told = entry(bytes);
    assert!(told.as_ref().err().is_none_or(|text| !text.is_empty()), "a refusal has words");
    told
}
