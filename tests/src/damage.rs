//! Damages files of a server that is not running.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A kind of damage, caused by the disk or by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit in the middle is flipped.
    Flip,
    /// The second half is missing.
    Truncate,
    /// The file is missing, or the whole directory.
    Delete,
    /// A write to RocksDB's log was cut off by a power loss, leaving the beginning of a record at the end.
    TornTail,
}

/// Copies a directory and its contents.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the test's folder can be written to");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("a directory can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file can be copied");
        }
    }
}

/// Returns the largest file or directory that matches a pattern: names below `root`, each with at most one `*`.
pub fn find(root: &Path, pattern: &str) -> Option<PathBuf> {
    let mut found = vec![root.to_owned()];
    for part in pattern.split('/') {
        let fits = |name: &str| match part.split_once('*') {
            Some((begin, end)) => {
                name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
            }
            None => name == part,
        };
        let entries = found.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        found = entries.map(|entry| entry.path()).filter(|path| fits(&name_of(path))).collect();
    }
    found.into_iter().max_by_key(|path| path.metadata().map_or(0, |metadata| metadata.len()))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Damages a file.
pub fn damage(path: &Path, damage: Damage) {
    let length = || path.metadata().expect("what is damaged is there").len();
    let open = || File::options().read(true).write(true).open(path).expect("a file can be damaged");
    match damage {
        Damage::Flip => {
            let (file, at) = (open(), length() / 2);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).expect("a file can be read");
            file.write_all_at(&[byte[0] ^ 0x10], at).expect("a file can be damaged");
        }
        Damage::Truncate => open().set_len(length() / 2).expect("a file can be cut"),
        Damage::Delete if path.is_dir() => fs::remove_dir_all(path).expect("a directory can be removed"),
        Damage::Delete => fs::remove_file(path).expect("a file can be removed"),
        Damage::TornTail => {
            // A checksum, the length 4,096 and the type of a full record, followed by fewer bytes than that.
            let begin = [&[7, 7, 7, 7, 0, 16, 1][..], &[7; 33]].concat();
            open().write_all_at(&begin, length()).expect("a file can be damaged");
        }
    }
}
