//! A wall clock that a test can set for one process, through a preloaded library that adds an offset to the machine's
//! clock.

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
    /// Creates a correct clock. Puts its control file and the library into `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("{name}.clock"));
        let file = File::create(&path).expect("the test's folder can be written to");
        let clock = Self { file, path, library: preload::library(folder, "clock_shift", SOURCE) };
        clock.shift(0);
        clock
    }

    /// Sets the clock this many seconds ahead of the machine's clock; behind it if negative.
    pub fn shift(&self, seconds: i64) {
        let text = format!("{seconds:+012}");
        // A single small write, so that the process reads either the old or the new value.
        self.file.write_all_at(text.as_bytes(), 0).expect("the test's folder can be written to");
    }

    /// Returns the environment variables that give a process this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        preload::environment(&self.library, "ORDU_TEST_CLOCK", &self.path)
    }
}
