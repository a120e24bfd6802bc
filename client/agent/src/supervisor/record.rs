//! The supervisor's records on disk, one small file per attempt, from which the next supervisor learns of the
//! processes. Files are replaced by rename and not synced: they must survive a kill of this process only,
//! since a crash of the machine ends the recorded processes too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::protocol::{Exit, LogSettings, TaskKey, TaskReport};

/// Extension of the files that launchers create just before they execute the program.
const MARK: &str = "executed";

/// The record of one attempt, written before its program may run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) key: TaskKey,
    pub(crate) pid: i32,
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
    pub(crate) started_at_ns: i64,
    pub(crate) logs: LogSettings,
    pub(crate) exit: Option<Exit>,
}

impl Record {
    pub(crate) fn report(&self) -> TaskReport {
        TaskReport {
            key: self.key.clone(),
            pid: self.pid,
            started_at_ns: self.started_at_ns,
            exit: self.exit.clone(),
        }
    }
}

/// The supervisor's directory: records, pipes and the lock.
pub(crate) struct StateDirectory {
    tasks: PathBuf,
    pipes: PathBuf,
}

impl StateDirectory {
    /// Opens the state directory and creates its subdirectories.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let directory = Self { tasks: root.join("tasks"), pipes: root.join("pipes") };
        fs::create_dir_all(&directory.tasks)?;
        fs::create_dir_all(&directory.pipes)?;
        Ok(directory)
    }

    /// Writes a record, replacing an earlier one.
    pub(crate) fn save(&self, record: &Record) -> io::Result<()> {
        let path = self.record_path(&record.key);
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec(record)?)?;
        fs::rename(fresh, path)
    }

    /// Removes all files of an attempt.
    pub(crate) fn remove(&self, key: &TaskKey) {
        let pipes = ["stdout", "stderr"].map(|output| self.pipe_path(key, output));
        for path in [self.record_path(key), self.mark_path(key)].into_iter().chain(pipes) {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                super::say(&format!("{} stays behind: {error}", path.display()));
            }
        }
    }

    /// Returns all readable records. Removes incomplete ones: they were being written when the machine crashed. An
    /// error with one record does not affect the others.
    pub(crate) fn load(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.tasks)?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == MARK) {
                continue;
            }
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    // The content may be valid, so keep the file.
                    super::say(&format!("{} cannot be read and is left alone: {error}", path.display()));
                    continue;
                }
            };
            match serde_json::from_slice(&bytes).ok() {
                Some(record) if path.extension().is_some_and(|extension| extension == "json") => {
                    records.push(record);
                }
                _ => {
                    super::say(&format!("{} is no whole record and is dropped", path.display()));
                    if let Err(error) = fs::remove_file(&path) {
                        super::say(&format!("{} stays behind: {error}", path.display()));
                    }
                }
            }
        }
        Ok(records)
    }

    /// Returns the path of the pipe for one output (`stdout`, `stderr`) of an attempt.
    pub(crate) fn pipe_path(&self, key: &TaskKey, output: &str) -> PathBuf {
        self.pipes.join(format!("{}.{output}", key.file_stem()))
    }

    /// Returns the path of the file that the launcher creates just before it executes the program.
    pub(crate) fn mark_path(&self, key: &TaskKey) -> PathBuf {
        self.tasks.join(format!("{}.{MARK}", key.file_stem()))
    }

    /// Removes an old mark, so that an existing mark always comes from the launcher about to be started.
    pub(crate) fn clear_mark(&self, key: &TaskKey) -> io::Result<()> {
        crate::files::remove(&self.mark_path(key))
    }

    fn record_path(&self, key: &TaskKey) -> PathBuf {
        self.tasks.join(format!("{}.json", key.file_stem()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(attempt: u32) -> Record {
        Record {
            key: TaskKey { alloc: "a".into(), task: "t".into(), attempt },
            pid: 1,
            start_ticks: 2,
            boot_id: "boot".into(),
            started_at_ns: 3,
            logs: LogSettings {
                directory: "/nowhere".into(),
                prefix: "t".into(),
                files_max: 1,
                file_bytes_max: 1,
            },
            exit: None,
        }
    }

    #[test]
    fn records_are_found_whatever_is_wrong_with_others() {
        let root = tempfile::tempdir().unwrap();
        let directory = StateDirectory::open(root.path()).unwrap();
        directory.save(&record(1)).unwrap();
        directory.save(&record(2)).unwrap();
        let place = |name: &str| root.path().join("tasks").join(name);
        fs::write(place("a.3.t.json"), "{\"key\":").unwrap();
        fs::write(place("a.4.t.new"), serde_json::to_vec(&record(4)).unwrap()).unwrap();
        // A directory cannot be read as a file, not even by root.
        fs::create_dir(place("a.5.t.json")).unwrap();
        let mut found: Vec<u32> = directory.load().unwrap().iter().map(|record| record.key.attempt).collect();
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
        let is_there =
            ["a.1.t.json", "a.3.t.json", "a.4.t.new", "a.5.t.json"].map(|name| place(name).exists());
        assert_eq!(is_there, [true, false, false, true]);
    }
}
