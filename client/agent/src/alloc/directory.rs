//! An allocation's directories: `alloc`, shared by its tasks, and one directory per task.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::User;

use crate::beneath::Directory;

/// The directories of one task, which may not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct TaskDirectories {
    root: PathBuf,
    /// The task's name, which is also the name of its directory.
    name: String,
    /// The directory shared by all tasks of the allocation.
    pub(crate) shared: PathBuf,
    /// The directory of the tasks' log files.
    pub(crate) logs: PathBuf,
    /// The task's working directory.
    pub(crate) task: PathBuf,
    pub(crate) local: PathBuf,
    pub(crate) secrets: PathBuf,
}

impl TaskDirectories {
    /// Derives the paths. The task's name must have been checked.
    pub(crate) fn new(alloc_directory: &Path, task: &str) -> Self {
        let shared = alloc_directory.join("alloc");
        let own = alloc_directory.join(task);
        Self {
            root: alloc_directory.to_owned(),
            name: task.to_owned(),
            logs: shared.join("logs"),
            shared,
            local: own.join("local"),
            secrets: own.join("secrets"),
            task: own,
        }
    }

    /// Creates missing directories. Tasks of any user may write to their own and the shared directories, but not
    /// to the logs, which the supervisor writes; only the task's user can read its secrets. Does not follow links,
    /// because a sibling task may already be running and writing there.
    pub(crate) fn build(&self, user: &str) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        fs::set_permissions(&self.root, fs::Permissions::from_mode(0o755))?;
        let root = Directory::open(&self.root)?;
        let shared = root.make("alloc", 0o777)?;
        shared.make("data", 0o777)?;
        shared.make("tmp", 0o777)?;
        shared.make("logs", 0o755)?;
        let task = root.make(&self.name, 0o777)?;
        task.make("local", 0o777)?;
        task.make("tmp", 0o777)?;
        let secrets = task.make("secrets", 0o700)?;
        if !user.is_empty() {
            let found = User::from_name(user)?;
            let user =
                found.ok_or_else(|| io::Error::other(format!("there is no user \"{user}\" on this node")))?;
            secrets.give_to(&user)?;
        }
        Ok(())
    }

    /// Opens the existing local directory. Does not follow a link that the task may have put in its place.
    pub(crate) fn open_local(&self) -> io::Result<Directory> {
        Directory::open(&self.root)?.enter(&self.name)?.enter("local")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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
    fn a_link_that_stands_for_a_directory_is_not_followed() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mode = || fs::metadata(outside.path()).unwrap().permissions().mode();
        let before = mode();
        for place in ["alloc", "alloc/data", "alloc/logs", "t", "t/local", "t/secrets", "t/tmp"] {
            let directories = TaskDirectories::new(&root.path().join(place.replace('/', "-")), "t");
            let link = directories.root.join(place);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(outside.path(), &link).unwrap();
            let error = directories.build("").unwrap_err().to_string();
            assert!(error.contains("is no directory"), "{place}: {error}");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{place}");
            assert_eq!(mode(), before, "{place}");
        }
    }

    #[test]
    fn a_user_that_does_not_exist_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error = TaskDirectories::new(root.path(), "t").build("no-such-user").unwrap_err().to_string();
        assert!(error.contains("no-such-user"), "{error}");
    }
}
