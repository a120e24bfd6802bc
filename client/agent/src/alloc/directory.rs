//! Where an allocation's files are: `alloc` that its tasks share, and a directory a task.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::User;

/// The directories of one task, which may not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct TaskDirectories {
    root: PathBuf,
    /// What all tasks of the allocation share.
    pub(crate) shared: PathBuf,
    /// Where output goes.
    pub(crate) logs: PathBuf,
    /// Where the task's process begins.
    pub(crate) task: PathBuf,
    pub(crate) local: PathBuf,
    pub(crate) secrets: PathBuf,
}

impl TaskDirectories {
    /// Of a task whose name has been checked.
    pub(crate) fn new(alloc_directory: &Path, task: &str) -> Self {
        let shared = alloc_directory.join("alloc");
        let own = alloc_directory.join(task);
        Self {
            root: alloc_directory.to_owned(),
            logs: shared.join("logs"),
            shared,
            local: own.join("local"),
            secrets: own.join("secrets"),
            task: own,
        }
    }

    /// Makes what is missing. Any user's task may write into what is its own or shared, but not among
    /// the logs, which another process writes, and only the task's user sees its secrets.
    pub(crate) fn build(&self, user: &str) -> io::Result<()> {
        make(&self.root, 0o755)?;
        make(&self.shared, 0o777)?;
        make(&self.shared.join("data"), 0o777)?;
        make(&self.shared.join("tmp"), 0o777)?;
        make(&self.logs, 0o755)?;
        make(&self.task, 0o777)?;
        make(&self.local, 0o777)?;
        make(&self.task.join("tmp"), 0o777)?;
        make(&self.secrets, 0o700)?;
        if !user.is_empty() {
            let found = User::from_name(user)?;
            let user =
                found.ok_or_else(|| io::Error::other(format!("there is no user \"{user}\" on this node")))?;
            chown(&self.secrets, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_nomads_and_building_it_again_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let directories = TaskDirectories::new(&root.path().join("id"), "t");
        directories.build("").unwrap();
        fs::write(directories.local.join("kept"), "").unwrap();
        directories.build("").unwrap();
        let expected = ["alloc/data", "alloc/logs", "alloc/tmp", "t/local", "t/secrets", "t/tmp"]
            .map(|path| root.path().join("id").join(path));
        for path in expected {
            assert!(path.is_dir(), "{}", path.display());
        }
        assert!(directories.local.join("kept").exists());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directories.secrets), mode(&directories.logs)), (0o700, 0o755));
    }

    #[test]
    fn a_user_that_does_not_exist_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error = TaskDirectories::new(root.path(), "t").build("no-such-user").unwrap_err().to_string();
        assert!(error.contains("no-such-user"), "{error}");
    }
}
