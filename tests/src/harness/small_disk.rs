//! A small separate file system for a member's data, which tests can fill.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

/// A file system in an image file. Dropping it unmounts it.
pub struct SmallDisk {
    image: PathBuf,
    at: PathBuf,
}

/// The file that occupies the space.
const FILLER: &str = "filler";

impl SmallDisk {
    /// Creates an ext4 file system with this many megabytes and mounts it at `at`.
    ///
    /// # Errors
    /// A message, if this process may not mount file systems.
    pub fn new(at: PathBuf, megabytes: u64) -> Result<Self, String> {
        let image = at.with_extension("image");
        let told = |error: io::Error| format!("{}: {error}", image.display());
        fs::create_dir_all(&at).map_err(told)?;
        File::create(&image).and_then(|file| file.set_len(megabytes << 20)).map_err(told)?;
        run("mkfs.ext4", &["-q", "-m", "0", &image.display().to_string()])?;
        run("mount", &["-o", "loop", &image.display().to_string(), &at.display().to_string()])?;
        Ok(Self { image, at })
    }

    /// Returns the free megabytes.
    pub fn free_mb(&self) -> u64 {
        let there = statvfs(&self.at).expect("it is mounted");
        (there.blocks_available() * there.fragment_size()) >> 20
    }

    /// Fills the file system except for this many megabytes.
    pub fn fill_but(&self, megabytes: u64) {
        let path = self.at.join(FILLER);
        let file =
            OpenOptions::new().create(true).append(true).open(&path).expect("the disk can be written to");
        let taken = file.metadata().expect("it is there").len();
        let more = (self.free_mb().saturating_sub(megabytes)) << 20;
        if more > 0 {
            posix_fallocate(&file, taken as i64, more as i64).expect("there was room for it");
        }
    }

    /// Fills the file system to the last block.
    pub fn fill(&self) {
        self.fill_but(1);
        let path = self.at.join(FILLER);
        let mut file = OpenOptions::new().append(true).open(path).expect("the disk can be written to");
        let block = vec![0; 4096];
        while io::Write::write_all(&mut file, &block).is_ok() {}
    }

    /// Frees the space.
    pub fn empty(&self) {
        fs::remove_file(self.at.join(FILLER)).expect("the disk can be written to");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Unmount lazily, because a process that is ending may still have files open.
        if let Err(error) = run("umount", &["--lazy", &self.at.display().to_string()]) {
            eprintln!("a test's disk stays mounted: {error}");
        }
        let _ = fs::remove_file(&self.image);
    }
}

/// Checks whether this process may mount file systems; the error is a message.
pub fn may_mount(folder: &Path) -> Result<(), String> {
    SmallDisk::new(folder.join("try"), 8).map(drop)
}

/// Runs a system command.
///
/// # Errors
/// The command's error output.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr).trim()))
}

/// Unmounts file systems that a killed test run left mounted under `folder`.
pub(super) fn unmount_under(folder: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split_whitespace().nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        // If unmounting fails, so will the removal of the folder, which is reported.
        let _ = run("umount", &["--lazy", point]);
    }
}
