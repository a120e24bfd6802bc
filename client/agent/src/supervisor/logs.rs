//! Copies a task's output from its pipe into numbered files, rotated by size and count.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use nix::libc::O_NOFOLLOW;
use tokio::net::unix::pipe;

use crate::limits::LOG_READ_BYTES;

/// Log files `<directory>/<prefix>.N`. Writes go to the highest N. When that file is full, the next one is started
/// and the oldest files beyond the limit are removed.
pub(crate) struct RotatingLog {
    directory: PathBuf,
    prefix: String,
    files_max: usize,
    file_bytes_max: u64,
    index: u64,
    written: u64,
    file: File,
}

impl RotatingLog {
    /// Opens the log at the highest existing file. A count or size of zero is taken as one.
    pub(crate) fn open(
        directory: &Path,
        prefix: &str,
        files_max: u32,
        file_bytes_max: u64,
    ) -> io::Result<Self> {
        let index = existing(directory, prefix)?.last().copied().unwrap_or(0);
        let file = open_file(directory, prefix, index)?;
        Ok(Self {
            directory: directory.to_owned(),
            prefix: prefix.to_owned(),
            files_max: usize::try_from(files_max.max(1)).unwrap_or(usize::MAX),
            file_bytes_max: file_bytes_max.max(1),
            index,
            written: file.metadata()?.len(),
            file,
        })
    }

    /// Writes all bytes. Moves to the next file rather than splitting a line, unless the line exceeds a whole file.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room =
                usize::try_from(self.file_bytes_max.saturating_sub(self.written)).unwrap_or(usize::MAX);
            let count = fitting(bytes, room, self.written == 0);
            self.file.write_all(&bytes[..count])?;
            self.written += count as u64;
            bytes = &bytes[count..];
            if !bytes.is_empty() {
                self.rotate()?;
            }
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.index += 1;
        self.file = open_file(&self.directory, &self.prefix, self.index)?;
        self.written = self.file.metadata()?.len();
        let present = existing(&self.directory, &self.prefix)?;
        for old in present.iter().rev().skip(self.files_max) {
            fs::remove_file(self.directory.join(format!("{}.{old}", self.prefix)))?;
        }
        Ok(())
    }
}

/// Returns how many bytes to write into a file with this much room: all of them; else up to the last newline
/// within the room; else none (the next file takes them); but as many as fit if the file is fresh.
fn fitting(bytes: &[u8], room: usize, fresh: bool) -> usize {
    if bytes.len() <= room {
        return bytes.len();
    }
    match bytes[..room].iter().rposition(|byte| *byte == b'\n') {
        Some(newline) => newline + 1,
        None if fresh => room,
        None => 0,
    }
}

fn open_file(directory: &Path, prefix: &str, index: u64) -> io::Result<File> {
    // Do not follow links: the task may be able to write to the directory, and this process may have more rights
    // than the task.
    let path = directory.join(format!("{prefix}.{index}"));
    OpenOptions::new().create(true).append(true).mode(0o644).custom_flags(O_NOFOLLOW).open(path)
}

/// Returns the numbers of the existing files in ascending order.
fn existing(directory: &Path, prefix: &str) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = fs::read_dir(directory)?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix(prefix)?.strip_prefix('.')?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The open logs, shared so that two attempts of one task with overlapping output write through the same log.
#[derive(Default)]
pub(crate) struct OpenLogs {
    logs: RefCell<BTreeMap<PathBuf, Weak<RefCell<RotatingLog>>>>,
}

impl OpenLogs {
    /// Returns the log of these files, opening it if necessary.
    pub(crate) fn log(
        &self,
        directory: &Path,
        prefix: &str,
        files_max: u32,
        file_bytes_max: u64,
    ) -> io::Result<Rc<RefCell<RotatingLog>>> {
        let mut logs = self.logs.borrow_mut();
        logs.retain(|_, log| log.strong_count() > 0);
        let path = directory.join(prefix);
        if let Some(log) = logs.get(&path).and_then(Weak::upgrade) {
            return Ok(log);
        }
        let log = Rc::new(RefCell::new(RotatingLog::open(directory, prefix, files_max, file_bytes_max)?));
        logs.insert(path, Rc::downgrade(&log));
        Ok(log)
    }
}

/// The location and limits of a log, which may not be open.
pub(crate) struct LogPlace {
    pub(crate) logs: Rc<OpenLogs>,
    pub(crate) directory: PathBuf,
    pub(crate) prefix: String,
    pub(crate) files_max: u32,
    pub(crate) file_bytes_max: u64,
}

impl LogPlace {
    /// Opens the log, or returns it if it is open already.
    pub(crate) fn open(&self) -> io::Result<Rc<RefCell<RotatingLog>>> {
        self.logs.log(&self.directory, &self.prefix, self.files_max, self.file_bytes_max)
    }
}

/// Copies output until no writer is left. If the log cannot be written (full disk) or opened (the task removed the
/// directory; opening is retried with each read), output is lost. Stopping to read would block the task on a full pipe.
pub(crate) async fn copy(pipe: pipe::Receiver, place: LogPlace, scratch: Rc<RefCell<Vec<u8>>>) {
    let mut complained = false;
    let mut log = None;
    while pipe.readable().await.is_ok() {
        match read_once(&pipe, &place, &mut log, &mut scratch.borrow_mut()) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) if complained => drop(error),
            Err(error) => {
                complained = true;
                super::say(&format!("output of {} is lost: {error}", place.prefix));
            }
        }
        // A task that writes without pause must not starve the others.
        tokio::task::yield_now().await;
    }
}

/// Copies one chunk. Returns false if no writer is left. Errors come from the log.
fn read_once(
    pipe: &pipe::Receiver,
    place: &LogPlace,
    log: &mut Option<Rc<RefCell<RotatingLog>>>,
    scratch: &mut Vec<u8>,
) -> io::Result<bool> {
    scratch.resize(LOG_READ_BYTES, 0);
    let count = match pipe.try_read(scratch) {
        Ok(0) => return Ok(false),
        Ok(count) => count,
        Err(error) => return Ok(error.kind() == io::ErrorKind::WouldBlock),
    };
    let log = match log {
        Some(log) => log,
        None => log.insert(place.open()?),
    };
    log.borrow_mut().write(&scratch[..count]).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(directory: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .flatten()
            .map(|entry| {
                let text = fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect();
        files.sort();
        files
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn full_files_are_followed_by_others_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = RotatingLog::open(directory.path(), "t.stdout", 2, 8).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            log.write(line.as_bytes()).unwrap();
        }
        assert_eq!(contents(directory.path()), pairs(&[("t.stdout.1", "three\n"), ("t.stdout.2", "four\n")]));
    }

    #[test]
    fn a_line_longer_than_a_file_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = RotatingLog::open(directory.path(), "t.stdout", 9, 4).unwrap();
        log.write(b"abcdefghij").unwrap();
        let expected = [("t.stdout.0", "abcd"), ("t.stdout.1", "efgh"), ("t.stdout.2", "ij")];
        assert_eq!(contents(directory.path()), pairs(&expected));
    }

    #[test]
    fn a_log_that_is_opened_again_goes_on_where_it_was() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["one\n", "two\n", "three\n"] {
            let mut log = RotatingLog::open(directory.path(), "t.stdout", 3, 8).unwrap();
            log.write(text.as_bytes()).unwrap();
        }
        let expected = [("t.stdout.0", "one\ntwo\n"), ("t.stdout.1", "three\n")];
        assert_eq!(contents(directory.path()), pairs(&expected));
    }

    #[test]
    fn files_of_a_task_with_a_longer_name_are_not_counted() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("t.stdout.extra.7"), "").unwrap();
        fs::write(directory.path().join("tt.stdout.7"), "").unwrap();
        assert!(existing(directory.path(), "t.stdout").unwrap().is_empty());
    }

    #[test]
    fn a_link_in_the_place_of_a_log_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        fs::write(&target, "untouched").unwrap();
        std::os::unix::fs::symlink(&target, directory.path().join("t.stdout.0")).unwrap();
        assert!(RotatingLog::open(directory.path(), "t.stdout", 1, 8).is_err());
        assert_eq!(fs::read_to_string(target).unwrap(), "untouched");
    }
}
