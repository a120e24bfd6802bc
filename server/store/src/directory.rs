//! Directories that are removed when their last user drops them. Replaced tables and snapshots may still be
//! read: RocksDB and snapshot transfers open their files one by one.

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
    /// Returns a directory that is not removed.
    pub(crate) fn kept(path: PathBuf) -> Self {
        Self { path, is_doomed: AtomicBool::new(false) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory when its last handle is dropped.
    pub(crate) fn doom(&self) {
        self.is_doomed.store(true, Ordering::Relaxed);
    }

    /// Cancels the removal.
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
            // An installed snapshot was moved away.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.path.display(), "what is not needed any more cannot be removed");
            }
            _ => {}
        }
    }
}
