//! Replaces a server's data completely or not at all, and sets the previous data aside.
//!
//! The progress is kept in the name of a directory in the data directory. Each step ends with a rename:
//!
//! - `recovering`: the new data, not complete yet; they are removed after an interruption;
//! - `replacing-N`: the new data are complete, and the replacement will be carried out; the previous data are
//!   being moved into `aside-N`;
//! - `moving-in`: the previous data are moved, and the new data are being moved into place.
//!
//! An interrupted replacement is completed before anything is opened. Each step can be repeated.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::{ASIDE, LOCK, free_suffix, move_aside};

/// The directory in which new data are written.
pub(crate) const RECOVERING: &str = "recovering";
/// Name prefix of that directory once the replacement is decided.
const REPLACING: &str = "replacing-";
/// Its name once the previous data are moved.
const MOVING_IN: &str = "moving-in";

/// Replaces the server's data in `data_dir` by those in its `recovering` directory; returns the directory
/// with the previous data. The caller holds the lock, and no one may use either set of data.
///
/// # Errors
/// Returned if files cannot be synced or moved. Until the first file is moved, nothing has changed.
pub(crate) fn replace(data_dir: &Path) -> io::Result<PathBuf> {
    let (other, suffix) = (data_dir.join(RECOVERING), free_suffix(data_dir));
    // A recovery may be run by root, but the server is usually started by another user.
    let owner = if geteuid().is_root() { Some(data_dir.metadata()?) } else { None };
    let owner = owner.map(|owner| (owner.uid(), owner.gid()));
    make_durable(&other, owner)?;
    fs::rename(&other, data_dir.join(format!("{REPLACING}{suffix}")))?;
    File::open(data_dir)?.sync_all()?;
    complete(data_dir)?;
    Ok(data_dir.join(format!("{ASIDE}{suffix}")))
}

/// Completes an interrupted replacement, and removes incomplete new data. Returns whether there was a
/// replacement to complete.
///
/// # Errors
/// Returned if files cannot be moved.
pub(crate) fn complete(data_dir: &Path) -> io::Result<bool> {
    let (unfinished, moving_in) = (data_dir.join(RECOVERING), data_dir.join(MOVING_IN));
    if unfinished.exists() {
        fs::remove_dir_all(unfinished)?;
    }
    if let Some(suffix) = decided(data_dir)? {
        let (other, aside) =
            (data_dir.join(format!("{REPLACING}{suffix}")), data_dir.join(format!("{ASIDE}{suffix}")));
        fs::create_dir_all(&aside)?;
        move_aside(data_dir, &aside, |name| name.starts_with(REPLACING))?;
        File::open(data_dir)?.sync_all()?;
        fs::rename(other, &moving_in)?;
        File::open(data_dir)?.sync_all()?;
    }
    if !moving_in.exists() {
        return Ok(false);
    }
    for entry in fs::read_dir(&moving_in)? {
        let entry = entry?;
        if entry.file_name() == LOCK {
            fs::remove_file(entry.path())?;
        } else {
            fs::rename(entry.path(), data_dir.join(entry.file_name()))?;
        }
    }
    File::open(data_dir)?.sync_all()?;
    fs::remove_dir(moving_in)?;
    File::open(data_dir)?.sync_all()?;
    Ok(true)
}

/// Returns the suffix of a decided replacement, if there is one.
fn decided(data_dir: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(data_dir)? {
        if let Some(suffix) = entry?.file_name().to_string_lossy().strip_prefix(REPLACING) {
            return Ok(Some(suffix.to_owned()));
        }
    }
    Ok(None)
}

/// Syncs a directory recursively, and changes its owner to `owner`.
fn make_durable(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            make_durable(&entry?.path(), owner)?;
        }
    }
    if let Some((user, group)) = owner {
        lchown(path, Some(user), Some(group))?;
    }
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(data_dir: &Path, names: &[&str], text: &str) {
        for name in names {
            let path = data_dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn text(data_dir: &Path, name: &str) -> Option<String> {
        fs::read_to_string(data_dir.join(name)).ok()
    }

    /// Files of the previous and the new data.
    const FORMER: [&str; 3] = ["identity", "tables/state-current", "raft-log/CURRENT"];
    const OTHER: [&str; 2] = ["identity", "tables/state-current"];

    fn decided_on(data_dir: &Path) {
        write(data_dir, &FORMER, "former");
        write(data_dir, &["lock", "reserve", "aside-1/identity"], "stays");
        let other = OTHER.map(|name| format!("replacing-7/{name}"));
        write(data_dir, &other.each_ref().map(String::as_str), "other");
        write(data_dir, &["replacing-7/lock"], "other");
    }

    fn check_replaced(data_dir: &Path, case: &str) {
        for name in FORMER {
            let wanted = OTHER.contains(&name).then_some("other");
            assert_eq!(wanted, text(data_dir, name).as_deref(), "{case}: {name}");
            assert_eq!(
                Some("former"),
                text(data_dir, &format!("aside-7/{name}")).as_deref(),
                "{case}: {name}"
            );
        }
        for name in ["lock", "reserve", "aside-1/identity"] {
            assert_eq!(Some("stays"), text(data_dir, name).as_deref(), "{case}: {name}");
        }
        let mut left: Vec<_> = fs::read_dir(data_dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(["aside-1", "aside-7", "identity", "lock", "reserve", "tables"], left[..], "{case}");
        assert!(!complete(data_dir).unwrap(), "{case}: it is done");
    }

    #[test]
    fn a_replacement_that_is_cut_short_anywhere_is_completed() {
        // The moves done before the interruption.
        let cuts: [(&[(&str, &str)], &str); 6] = [
            (&[], "nothing"),
            (&[("identity", "aside-7/identity")], "some of the former"),
            (
                &[
                    ("identity", "aside-7/identity"),
                    ("tables", "aside-7/tables"),
                    ("raft-log", "aside-7/raft-log"),
                ],
                "all of the former",
            ),
            (
                &[
                    ("identity", "aside-7/identity"),
                    ("tables", "aside-7/tables"),
                    ("raft-log", "aside-7/raft-log"),
                    ("replacing-7", "moving-in"),
                ],
                "its name, too",
            ),
            (
                &[
                    ("identity", "aside-7/identity"),
                    ("tables", "aside-7/tables"),
                    ("raft-log", "aside-7/raft-log"),
                    ("replacing-7", "moving-in"),
                    ("moving-in/tables", "tables"),
                ],
                "some of the other",
            ),
            (
                &[
                    ("identity", "aside-7/identity"),
                    ("tables", "aside-7/tables"),
                    ("raft-log", "aside-7/raft-log"),
                    ("replacing-7", "moving-in"),
                    ("moving-in/tables", "tables"),
                    ("moving-in/identity", "identity"),
                ],
                "all of the other",
            ),
        ];
        for (moved, case) in cuts {
            let directory = tempfile::tempdir().unwrap();
            decided_on(directory.path());
            if !moved.is_empty() {
                fs::create_dir(directory.path().join("aside-7")).unwrap();
            }
            for (from, to) in moved {
                fs::rename(directory.path().join(from), directory.path().join(to)).unwrap();
            }
            assert!(complete(directory.path()).unwrap(), "{case}");
            check_replaced(directory.path(), case);
        }
    }

    #[test]
    fn what_was_not_decided_on_is_removed_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &FORMER, "former");
        write(directory.path(), &["recovering/identity"], "other");
        assert!(!complete(directory.path()).unwrap());
        assert!(!directory.path().join(RECOVERING).exists());
        assert_eq!(Some("former"), text(directory.path(), "identity").as_deref());
    }

    #[test]
    fn a_replacement_says_where_the_former_is() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &FORMER, "former");
        write(directory.path(), &["recovering/identity"], "other");
        let aside = replace(directory.path()).unwrap();
        assert_eq!(Some("other"), text(directory.path(), "identity").as_deref());
        assert_eq!(Some("former"), text(&aside, "identity").as_deref());
    }
}
