//! Safe access to directories that tasks can write to. Paths are walked name by name from an open directory without
//! following links, so that no change by a task, not even a concurrent one, can make the agent create, change or write
//! anything outside.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, User, unlinkat};

/// Temporary name of a file while it is being written.
const UNFINISHED: &str = ".ordu.new";

/// An open directory. It remains the same directory even if names on its path change.
#[derive(Debug)]
pub(crate) struct Directory(File);

impl Directory {
    /// Opens the directory at a path that no task can change.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Opens the subdirectory with this name.
    pub(crate) fn enter(&self, name: &str) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(&self.0, one_name(name)?, flags, Mode::empty());
        opened.map(|opened| Self(opened.into())).map_err(|error| match error {
            Errno::ENOTDIR | Errno::ELOOP => io::Error::other(format!(
                "{name:?} is no directory (a link to one counts as none, since it may lead anywhere)"
            )),
            error => about(name, error),
        })
    }

    /// Opens the subdirectory like [`Self::enter`], creating it if necessary. Sets its mode in either case, regardless
    /// of the umask.
    pub(crate) fn make(&self, name: &str, mode: u32) -> io::Result<Self> {
        match mkdirat(&self.0, one_name(name)?, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(about(name, error)),
        }
        let made = self.enter(name)?;
        made.0.set_permissions(Permissions::from_mode(mode)).map_err(|error| about(name, error))?;
        Ok(made)
    }

    /// Changes the directory's owner and group to the user's.
    pub(crate) fn give_to(&self, user: &User) -> io::Result<()> {
        fchown(&self.0, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
    }

    /// Writes a temporary file, syncs it and renames it to `name`. An existing link or hard-linked file loses the
    /// name but is not written to. Fails if `name` is a directory.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let name = one_name(name)?;
        // A failed earlier attempt may have left this file.
        match unlinkat(&self.0, UNFINISHED, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(about(UNFINISHED, error)),
        }
        // O_EXCL guarantees a new file, so nothing that a task put there is opened.
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fresh = openat(&self.0, UNFINISHED, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|error| about(UNFINISHED, error))?;
        let written = fill(fresh.into(), bytes, mode)
            .and_then(|()| renameat(&self.0, UNFINISHED, &self.0, name).map_err(|error| about(name, error)));
        if written.is_err() {
            // Report the first error; the next attempt removes the file if this fails.
            let _ = unlinkat(&self.0, UNFINISHED, UnlinkatFlags::NoRemoveDir);
        }
        written
    }
}

fn fill(mut file: File, bytes: &[u8], mode: u32) -> io::Result<()> {
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    // Without the sync, a crash of the machine could leave an empty file under the new name.
    file.sync_data()
}

/// Checks that a name is a single path component and does not lead out of the directory.
fn one_name(name: &str) -> io::Result<&str> {
    match name {
        "" | "." | ".." => Err(io::Error::other(format!("{name:?} is no name of a file"))),
        _ if name.contains(['/', '\0']) => Err(io::Error::other(format!("{name:?} is no name of a file"))),
        _ => Ok(name),
    }
}

fn about(name: &str, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{name:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn directories_and_files_are_made_with_their_mode_and_made_again() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        for bytes in ["first", "second"] {
            let below = directory.make("a", 0o777).unwrap().make("b", 0o750).unwrap();
            below.write("f", bytes.as_bytes(), 0o755).unwrap();
            let place = root.path().join("a/b");
            assert_eq!(fs::read_to_string(place.join("f")).unwrap(), bytes);
            assert_eq!(
                (mode(&root.path().join("a")), mode(&place), mode(&place.join("f"))),
                (0o777, 0o750, 0o755)
            );
            assert_eq!(names(&place), ["f"]);
        }
    }

    #[test]
    fn links_are_not_entered_and_what_they_lead_to_is_not_changed() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let before = mode(outside.path());
        symlink(outside.path(), root.path().join("link")).unwrap();
        symlink(root.path().join("nowhere"), root.path().join("dangling")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        nix::unistd::mkfifo(&root.path().join("pipe"), Mode::S_IRWXU).unwrap();
        let directory = Directory::open(root.path()).unwrap();
        for name in ["link", "dangling", "file", "pipe"] {
            for error in [directory.enter(name).unwrap_err(), directory.make(name, 0o777).unwrap_err()] {
                assert!(error.to_string().contains(&format!("{name:?} is no directory")), "{error}");
            }
        }
        assert_eq!(mode(outside.path()), before);
        assert_eq!(names(root.path()), ["dangling", "file", "link", "pipe"]);
    }

    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_and_what_it_leads_to_keeps_its_bytes() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let kept = outside.path().join("kept");
        fs::write(&kept, "kept").unwrap();
        let place = |name: &str| root.path().join(name);
        let directory = Directory::open(root.path()).unwrap();
        let hard = |name: &str| fs::hard_link(&kept, place(name)).unwrap();
        let soft = |name: &str| symlink(&kept, place(name)).unwrap();
        let dangling = |name: &str| symlink(outside.path().join("new"), place(name)).unwrap();
        let plants: [&dyn Fn(&str); 3] = [&hard, &soft, &dangling];
        for plant in plants {
            plant("f");
            plant(UNFINISHED);
            directory.write("f", b"written", 0o644).unwrap();
            assert!(place("f").symlink_metadata().unwrap().is_file());
            assert_eq!(fs::read_to_string(place("f")).unwrap(), "written");
            assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
            assert_eq!((names(outside.path()), names(root.path())), (vec!["kept".into()], vec!["f".into()]));
            fs::remove_file(place("f")).unwrap();
        }
    }

    #[test]
    fn a_directory_in_the_place_of_a_file_stays_and_nothing_is_left_over() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        directory.make("f", 0o755).unwrap();
        let error = directory.write("f", b"x", 0o644).unwrap_err();
        assert!(error.to_string().contains("\"f\""), "{error}");
        assert_eq!(names(root.path()), ["f"]);
    }

    #[test]
    fn an_open_directory_stays_the_same_when_a_link_takes_its_name() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directory = Directory::open(root.path()).unwrap();
        let entered = directory.make("a", 0o777).unwrap();
        fs::rename(root.path().join("a"), root.path().join("moved")).unwrap();
        symlink(outside.path(), root.path().join("a")).unwrap();
        entered.write("f", b"x", 0o644).unwrap();
        assert!(names(outside.path()).is_empty());
        assert_eq!(names(&root.path().join("moved")), ["f"]);
    }

    #[test]
    fn what_is_not_one_name_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap();
        directory.make("a", 0o777).unwrap();
        for name in ["", ".", "..", "a/b", "../x", "/x", "a/", "nul\0"] {
            for error in [
                directory.enter(name).unwrap_err(),
                directory.make(name, 0o777).unwrap_err(),
                directory.write(name, b"x", 0o644).unwrap_err(),
            ] {
                assert!(error.to_string().contains("no name of a file"), "{name:?}: {error}");
            }
        }
        assert!(names(&root.path().join("a")).is_empty());
    }
}
