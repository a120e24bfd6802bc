//! The directory of one test, with its members' data, configuration and logs; owner of the test's processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::processes;
use super::small_disk::unmount_under;

/// Prefix of directory names. The creator's pid follows it, so that directories of dead processes can be recognised.
const PREFIX: &str = "ordu-test-";
/// Follows the prefix in the name of a directory with logs of failed tests.
const LOGS: &str = "logs-";
/// How long these logs are kept.
const LOGS_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

static MADE: AtomicU32 = AtomicU32::new(0);

/// A test's directory. Dropping it kills every process that belongs to it and deletes it. If the test failed, the
/// members' logs are kept and their path is printed.
pub struct Root {
    path: PathBuf,
}

impl Root {
    /// Creates a directory, after removing what killed test runs left behind.
    pub fn new() -> Self {
        clear_leftovers();
        // The suffix ensures that no directory's path is a prefix of another's.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{PREFIX}{}-{number}.d", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("logs")).expect("the folder for temporary files can be written to");
        Self { path }
    }

    /// Returns the directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a member's log.
    pub fn log(&self, member: &str) -> PathBuf {
        self.path.join("logs").join(format!("{member}.log"))
    }

    /// Writes a file in the directory and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Default for Root {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        processes::end_all_belonging_to(&self.path);
        let logs = self.path.join("logs");
        if std::thread::panicking() && fs::read_dir(&logs).is_ok_and(|mut files| files.next().is_some()) {
            let kept = std::env::temp_dir().join(format!("{PREFIX}{LOGS}{}", std::process::id()));
            let place = kept.join(self.path.file_name().unwrap_or_default());
            if fs::create_dir_all(&kept).and_then(|()| fs::rename(&logs, &place)).is_ok() {
                eprintln!("the members' logs are in {}", place.display());
            }
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn clear_leftovers() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((maker, is_logs)) = made_by(&name) else { continue };
        if is_logs {
            let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|at| at.elapsed());
            if matches!(age, Ok(Ok(age)) if age > LOGS_KEPT_FOR) {
                let _ = fs::remove_dir_all(entry.path());
            }
        } else if !processes::is_alive(maker) {
            processes::end_all_belonging_to(&entry.path());
            unmount_under(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Parses a directory name into its creator's pid and whether it contains logs of failed tests.
fn made_by(name: &str) -> Option<(i32, bool)> {
    let rest = name.strip_prefix(PREFIX)?;
    let (rest, is_logs) = match rest.strip_prefix(LOGS) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    Some((rest.split('-').next()?.parse().ok()?, is_logs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_known_by_their_names() {
        assert_eq!(made_by("ordu-test-17-0.d"), Some((17, false)));
        assert_eq!(made_by("ordu-test-logs-17"), Some((17, true)));
        for other in ["ordu-test-", "ordu-test-logs", "ordu-17", "other"] {
            assert_eq!(made_by(other), None, "{other}");
        }
    }
}
