//! A disk that a test can make hang for one process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::preload;

const SOURCE: &str = include_str!("hanging_disk.c");

/// The disk of one process.
pub struct HangingDisk {
    file: File,
    path: PathBuf,
    library: PathBuf,
}

impl HangingDisk {
    /// Creates a disk that does not hang. Puts its control file and the library into `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("{name}.disk"));
        let file = File::create(&path).expect("the test's folder can be written to");
        let disk = Self { file, path, library: preload::library(folder, "hanging_disk", SOURCE) };
        disk.hang(false);
        disk
    }

    /// Makes every sync hang from now on, or none.
    pub fn hang(&self, hangs: bool) {
        let text = if hangs { b"1" } else { b"0" };
        self.file.write_all_at(text, 0).expect("the test's folder can be written to");
    }

    /// Returns the environment variables that give a process this disk.
    pub fn environment(&self) -> Vec<(String, String)> {
        preload::environment(&self.library, "ORDU_TEST_DISK", &self.path)
    }
}
