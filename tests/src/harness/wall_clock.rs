//! A wall clock that a test sets, for one process: a library that is loaded into it adds to what the machine
//! says.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::preload;

const SOURCE: &str = include_str!("clock_shift.c");

/// The wall clock of one process.
pub struct WallClock {
    file: File,
    path: PathBuf,
    library: PathBuf,
}

impl WallClock {
    /// A right clock; its file and the library are put into `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("{name}.clock"));
        let file = File::create(&path).expect("the test's folder can be written to");
        let clock = Self { file, path, library: preload::library(folder, "clock_shift", SOURCE) };
        clock.shift(0);
        clock
    }

    /// Sets it so many seconds ahead of the machine's clock, or behind it.
    pub fn shift(&self, seconds: i64) {
        let text = format!("{seconds:+012}");
        // One write of few bytes at one place: the process reads the one or the other.
        self.file.write_all_at(text.as_bytes(), 0).expect("the test's folder can be written to");
    }

    /// What a process is started with to have this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        preload::environment(&self.library, "ORDU_TEST_CLOCK", &self.path)
    }
}
