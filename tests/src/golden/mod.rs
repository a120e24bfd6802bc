//! Data directories written by earlier releases and kept in the source tree. Each later release must open them.
//!
//! `tests/golden/RELEASE` contains the packed directories of a server and of a node, and a `manifest.json` that
//! describes their contents.

mod make;

pub use make::make;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::cli::ordu;
use crate::tidy::tree;

/// The packed directory of the server.
const SERVER: &str = "server.tar.gz";
/// The packed directory of the node.
const NODE: &str = "node.tar.gz";
/// The description of both directories.
const MANIFEST: &str = "manifest.json";
/// Timeout for reading a server's directory.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Excluded files, which hold no data of a release: locks, reserved space, and RocksDB's logs and option files, which
/// it recreates.
const LEFT_OUT: [&str; 6] = ["lock", "LOCK", "reserve", "LOG", "LOG.old.*", "OPTIONS-*"];

/// The golden directories of one release.
pub struct Golden {
    /// The release.
    pub release: String,
    /// The expected contents of its directories.
    pub manifest: Value,
    path: PathBuf,
}

impl Golden {
    /// Returns the golden directories of all releases.
    pub fn all() -> Vec<Self> {
        let folder = tree().join("tests/golden");
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Self {
        let release = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let manifest = path.join(MANIFEST);
        let text =
            fs::read_to_string(&manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
        let manifest = serde_json::from_str(&text).expect("the manifest is JSON");
        Self { release, manifest, path }
    }

    /// Unpacks the data of the server and of the node into these directories.
    pub fn unpack(&self, server: &Path, node: &Path) {
        for (archive, into) in [(SERVER, server), (NODE, node)] {
            fs::create_dir_all(into).expect("the test's folder can be written to");
            let mut tar = Command::new("tar");
            tar.args(["--extract", "--no-same-owner", "--file"]).arg(self.path.join(archive));
            run(tar.arg("--directory").arg(into));
        }
    }
}

/// Packs a directory reproducibly: equal directories give equal archives.
fn pack(directory: &Path, archive: &Path) {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(LEFT_OUT.map(|name| format!("--exclude={name}")));
    tar.arg("--use-compress-program=gzip -9 -n").arg("--file").arg(archive);
    run(tar.arg("--directory").arg(directory).arg("."));
}

fn run(command: &mut Command) {
    let done = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.success(), "{command:?}: {done}");
}

/// Returns, as `ordu server recover -show` prints them: the last log entry applied to a server's tables on disk, the
/// last entry of its log, and the hash of the state after applying the whole log.
pub fn position_and_state_hash(data_dir: &Path) -> [String; 3] {
    let data_dir = format!("-data-dir={}", data_dir.display());
    let shown = ordu(&["server", "recover", "-show", &data_dir], &[], READ_WITHIN);
    assert_eq!(Some(0), shown.code, "{}", shown.all());
    ["Applied", "Last Log Entry", "State Hash"].map(|fact| {
        let mut facts = shown.stdout.lines().filter_map(|line| line.split_once(" = "));
        let value = facts.find(|(name, _)| name.trim() == fact).map(|(_, value)| value.trim().to_owned());
        value.unwrap_or_else(|| panic!("no {fact:?} in {}", shown.all()))
    })
}
