//! The agent's files about allocations, from which its successor resumes without a server. Each allocation has two
//! protobuf files: its assignment and its tasks' states, each rewritten when it changes. Fields are only ever added.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ordu_proto::state::{Allocation, TaskState};
use prost::Message;
use uuid::Uuid;

use crate::files;

/// A task's phase, finer than the state that is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Phase {
    /// The task's directory may not exist yet.
    New = 0,
    /// The attempt may or may not have been started.
    Launching = 1,
    /// The attempt was started.
    Running = 2,
    /// The next attempt waits for its restart delay.
    Waiting = 3,
    /// The task will not run again.
    Dead = 4,
}

/// The stored state of a task.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredTask {
    #[prost(message, required, tag = "1")]
    pub(crate) state: TaskState,
    #[prost(enumeration = "Phase", tag = "2")]
    pub(crate) phase: i32,
    /// Number of the attempt, from zero; part of the key under which the supervisor knows the process.
    #[prost(uint32, tag = "3")]
    pub(crate) attempt: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) restart_count: u32,
    #[prost(int64, tag = "5")]
    pub(crate) restart_interval_began_ns: i64,
    /// When the next attempt is due, in nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub(crate) restart_at_ns: i64,
    /// The restart delay as it was decided.
    #[prost(int64, tag = "7")]
    pub(crate) restart_delay_ns: i64,
}

impl StoredTask {
    /// Returns how long the next attempt must still wait: at most the decided delay, even if the clock has been set
    /// back since.
    pub(crate) fn restart_due_in_ns(&self, now_ns: i64) -> i64 {
        let due_in_ns = self.restart_at_ns.saturating_sub(now_ns).max(0);
        // Files of earlier releases do not contain the delay.
        if self.restart_delay_ns > 0 { due_in_ns.min(self.restart_delay_ns) } else { due_in_ns }
    }
}

/// What the servers assigned to this node.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredAssignment {
    #[prost(message, required, tag = "1")]
    pub(crate) allocation: Allocation,
    /// The job's specification with the allocation's group only. Earlier releases wrote it with all groups.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) spec_json: Vec<u8>,
    /// The index of the server state that contained this assignment.
    #[prost(uint64, tag = "3")]
    pub(crate) state_index: u64,
    /// The payload of a dispatched job; empty if there is none.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) payload: Vec<u8>,
}

/// The stored states of an allocation's tasks.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StoredTasks {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) tasks: BTreeMap<String, StoredTask>,
    /// Why the allocation could not run; empty if it could.
    #[prost(string, tag = "2")]
    pub(crate) refused: String,
    /// Increases with every change, across restarts of the agent, so that of two reports the later one can be
    /// identified.
    #[prost(int64, tag = "3")]
    pub(crate) stamp: i64,
}

impl StoredTasks {
    /// Returns whether the allocation was refused, or has tasks that are all dead.
    pub(crate) fn is_over(&self) -> bool {
        let has_ended = || self.tasks.values().all(|task| task.phase() == Phase::Dead);
        !self.refused.is_empty() || (!self.tasks.is_empty() && has_ended())
    }
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

    /// Writes the assignment.
    pub(crate) fn save_assignment(&self, alloc: Uuid, assignment: &StoredAssignment) -> io::Result<()> {
        files::write_whole(&self.path(alloc, "assignment"), &assignment.encode_to_vec(), 0o600)?;
        files::sync_directory(&self.directory)
    }

    /// Writes the tasks' states.
    pub(crate) fn save_tasks(&self, alloc: Uuid, tasks: &StoredTasks) -> io::Result<()> {
        files::write_whole(&self.path(alloc, "tasks"), &tasks.encode_to_vec(), 0o600)?;
        // Without the sync, a crash of the machine could restore the former file, in which an ended task still runs.
        files::sync_directory(&self.directory)
    }

    /// Removes an allocation's files. Removes the assignment first and syncs that: an assignment without task states
    /// would be run again.
    pub(crate) fn remove(&self, alloc: Uuid) -> io::Result<()> {
        files::remove(&self.path(alloc, "assignment"))?;
        files::sync_directory(&self.directory)?;
        files::remove(&self.path(alloc, "tasks"))?;
        files::remove(&self.path(alloc, "new"))
    }

    /// Passes all stored allocations to `visit`, one at a time. Logs and removes incomplete files: the servers send the assignment again, and
    /// the supervisor knows what runs. An unreadable file is an error: if it were treated as missing, the allocation
    /// would run again.
    pub(crate) fn load(&self, mut visit: impl FnMut(Uuid, StoredAssignment, StoredTasks)) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let part = |part: Option<&OsStr>| part.and_then(OsStr::to_str).map(str::to_owned);
            let alloc = part(path.file_stem()).and_then(|stem| Uuid::parse_str(&stem).ok());
            let Some(alloc) = alloc else {
                tracing::warn!("{} is no allocation's and is ignored", path.display());
                continue;
            };
            match part(path.extension()).as_deref() {
                Some("assignment") => {
                    let Some(assignment) = read(&path)? else { continue };
                    let tasks = read(&self.path(alloc, "tasks"))?.unwrap_or_default();
                    visit(alloc, assignment, tasks);
                }
                // The removal of this allocation was interrupted.
                Some("tasks") if !self.path(alloc, "assignment").try_exists()? => files::remove(&path)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns one stored allocation, if both of its files exist.
    pub(crate) fn load_one(&self, alloc: Uuid) -> io::Result<Option<(StoredAssignment, StoredTasks)>> {
        let assignment = read(&self.path(alloc, "assignment"))?;
        Ok(assignment.zip(read(&self.path(alloc, "tasks"))?))
    }

    fn path(&self, alloc: Uuid, kind: &str) -> PathBuf {
        self.directory.join(format!("{alloc}.{kind}"))
    }
}

/// Reads a file; returns none if it does not exist or is incomplete.
fn read<T: Message + Default>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    match T::decode(&bytes[..]) {
        Ok(read) => Ok(Some(read)),
        Err(error) => {
            tracing::warn!("{} is not whole and is dropped: {error}", path.display());
            files::remove(path)?;
            Ok(None)
        }
    }
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
        let tasks = StoredTasks {
            tasks: BTreeMap::from([("t".to_owned(), task)]),
            stamp: 9,
            ..StoredTasks::default()
        };
        store.save_assignment(whole, &assignment).unwrap();
        store.save_tasks(whole, &tasks).unwrap();
        fs::write(directory.path().join(format!("{broken}.assignment")), [0xff; 9]).unwrap();
        let mut found = Vec::new();
        store.load(|id, assignment, tasks| found.push((id, assignment, tasks))).unwrap();
        assert_eq!(found, [(whole, assignment.clone(), tasks.clone())]);
        assert_eq!(store.load_one(whole).unwrap(), Some((assignment, tasks)));
        assert_eq!(store.load_one(broken).unwrap(), None);
        store.remove(whole).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_read_now_is_neither_dropped_nor_taken_for_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        let alloc = Uuid::from_u128(1);
        let place = |kind: &str| directory.path().join(format!("{alloc}.{kind}"));
        // A directory cannot be read as a file, not even by root.
        for kind in ["assignment", "tasks"] {
            store.save_assignment(alloc, &StoredAssignment::default()).unwrap();
            store.save_tasks(alloc, &StoredTasks::default()).unwrap();
            fs::remove_file(place(kind)).unwrap();
            fs::create_dir(place(kind)).unwrap();
            let text = store.load(|_, _, _| ()).unwrap_err().to_string();
            assert!(text.contains(&place(kind).display().to_string()), "{text}");
            assert!(place("assignment").exists() && place("tasks").exists());
            store.remove(alloc).unwrap();
        }
    }

    #[test]
    fn states_of_tasks_that_nobody_assigned_are_what_a_removal_left() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        store.save_tasks(Uuid::from_u128(1), &StoredTasks::default()).unwrap();
        store.load(|id, _, _| panic!("{id} is none")).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_restart_is_due_after_what_was_decided_at_the_latest() {
        let task = StoredTask { restart_at_ns: 1_000, restart_delay_ns: 300, ..StoredTask::default() };
        let cases = [(700, 300), (900, 100), (1_000, 0), (5_000, 0), (10, 300), (i64::MIN, 300)];
        for (now_ns, expected) in cases {
            assert_eq!(task.restart_due_in_ns(now_ns), expected, "at {now_ns}");
        }
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
            restart_delay_ns: 5,
        };
        let bytes =
            [10, 9, 10, 7, 114, 117, 110, 110, 105, 110, 103, 16, 2, 24, 1, 32, 2, 40, 3, 48, 4, 56, 5];
        assert_eq!(task.encode_to_vec(), bytes);
        let before_delays = StoredTask::decode(&bytes[..bytes.len() - 2]).unwrap();
        assert_eq!(StoredTask { restart_delay_ns: 0, ..task }, before_delays);
        assert_eq!([3, 0], [1, 5].map(|now_ns| before_delays.restart_due_in_ns(now_ns)));
    }
}
