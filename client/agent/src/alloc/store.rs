//! What the agent writes down of an allocation, so that its successor goes on without a server: the
//! assignment once, the tasks' states whenever they change. Two files of protobuf: fields are only ever
//! added.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ordu_proto::state::{Allocation, TaskState};
use prost::Message;
use uuid::Uuid;

use crate::files;

/// Where a task stands between two of its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Phase {
    /// Its directory may not be there yet.
    New = 0,
    /// The attempt may or may not have been started.
    Launching = 1,
    /// The attempt was started.
    Running = 2,
    /// The next attempt waits for its time.
    Waiting = 3,
    /// It will not run again.
    Dead = 4,
}

/// A task as it is written down.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredTask {
    #[prost(message, required, tag = "1")]
    pub(crate) state: TaskState,
    #[prost(enumeration = "Phase", tag = "2")]
    pub(crate) phase: i32,
    /// Zero for the first; names the process with the supervisor.
    #[prost(uint32, tag = "3")]
    pub(crate) attempt: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) restart_count: u32,
    #[prost(int64, tag = "5")]
    pub(crate) restart_interval_began_ns: i64,
    /// When a waiting attempt is due, in nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub(crate) restart_at_ns: i64,
}

/// What a server assigned to this node.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredAssignment {
    #[prost(message, required, tag = "1")]
    pub(crate) allocation: Allocation,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) spec_json: Vec<u8>,
    /// The index of the servers' state that it was read from.
    #[prost(uint64, tag = "3")]
    pub(crate) state_index: u64,
    /// What a dispatch handed in; empty where nothing was.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) payload: Vec<u8>,
}

/// All tasks of an allocation.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredTasks {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) tasks: BTreeMap<String, StoredTask>,
    /// Why none of the tasks could run, if so.
    #[prost(string, tag = "2")]
    pub(crate) refused: String,
}

/// The directory of these files.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Writes the assignment down.
    pub(crate) fn save_assignment(&self, alloc: Uuid, assignment: &StoredAssignment) -> io::Result<()> {
        files::write_whole(&self.path(alloc, "assignment"), &assignment.encode_to_vec(), 0o600)?;
        files::sync_directory(&self.directory)
    }

    /// Writes the tasks' states down.
    pub(crate) fn save_tasks(&self, alloc: Uuid, tasks: &StoredTasks) -> io::Result<()> {
        files::write_whole(&self.path(alloc, "tasks"), &tasks.encode_to_vec(), 0o600)
    }

    /// Removes what is kept of an allocation; its assignment last, so that a crash in between leaves an
    /// allocation that the servers will have removed again.
    pub(crate) fn remove(&self, alloc: Uuid) -> io::Result<()> {
        files::remove(&self.path(alloc, "tasks"))?;
        files::remove(&self.path(alloc, "assignment"))
    }

    /// Everything that was written down and can be read. What cannot is said and dropped: the servers
    /// send the assignment again, and the supervisor knows what runs.
    pub(crate) fn load(&self) -> io::Result<Vec<(Uuid, StoredAssignment, StoredTasks)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "assignment") {
                continue;
            }
            let alloc =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| Uuid::parse_str(stem).ok());
            let assignment = read::<StoredAssignment>(&path);
            match (alloc, assignment) {
                (Some(alloc), Some(assignment)) => {
                    let tasks = read(&self.path(alloc, "tasks")).unwrap_or_default();
                    all.push((alloc, assignment, tasks));
                }
                _ => {
                    tracing::warn!("{} cannot be read and is dropped", path.display());
                    files::remove(&path)?;
                }
            }
        }
        Ok(all)
    }

    fn path(&self, alloc: Uuid, kind: &str) -> PathBuf {
        self.directory.join(format!("{alloc}.{kind}"))
    }
}

fn read<T: Message + Default>(path: &Path) -> Option<T> {
    T::decode(fs::read(path).ok()?.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_broken_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        let (whole, broken) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let assignment = StoredAssignment {
            state_index: 7,
            spec_json: b"{}".to_vec(),
            payload: vec![0, 0xff],
            ..Default::default()
        };
        let task = StoredTask { phase: Phase::Waiting.into(), attempt: 3, ..Default::default() };
        let tasks = StoredTasks { tasks: BTreeMap::from([("t".to_owned(), task)]), refused: String::new() };
        store.save_assignment(whole, &assignment).unwrap();
        store.save_tasks(whole, &tasks).unwrap();
        fs::write(directory.path().join(format!("{broken}.assignment")), [0xff; 9]).unwrap();
        assert_eq!(store.load().unwrap(), [(whole, assignment, tasks)]);
        store.remove(whole).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_bytes_of_a_stored_task_are_those_of_the_first_release() {
        let task = StoredTask {
            state: TaskState { state: "running".into(), ..Default::default() },
            phase: Phase::Running.into(),
            attempt: 1,
            restart_count: 2,
            restart_interval_began_ns: 3,
            restart_at_ns: 4,
        };
        let bytes = [10, 9, 10, 7, 114, 117, 110, 110, 105, 110, 103, 16, 2, 24, 1, 32, 2, 40, 3, 48, 4];
        assert_eq!(task.encode_to_vec(), bytes);
    }
}
