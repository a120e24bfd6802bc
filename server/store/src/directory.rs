//! Directories that go when their last user does: tables and snapshots that have been replaced are still
//! being read, and RocksDB as well as a transfer open their files one by one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A directory in use.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    is_doomed: AtomicBool,
}

impl Directory {
    /// A directory that stays.
    pub(crate) fn kept(path: PathBuf) -> Self {
        Self { path, is_doomed: AtomicBool::new(false) }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Has it removed once no one uses it any more.
    pub(crate) fn doom(&self) {
        self.is_doomed.store(true, Ordering::Relaxed);
    }

    /// Has it stay after all.
    pub(crate) fn keep(&self) {
        self.is_doomed.store(false, Ordering::Relaxed);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !*self.is_doomed.get_mut() {
            return;
        }
        match std::fs::remove_dir_all(&self.path) {
            // An installed snapshot has moved away.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "what is not needed any more cannot be removed");
            }
            _ => {}
        }
    }
}
