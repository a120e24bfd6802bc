//! Closes a server's files to other users: they hold all jobs with their secrets, and the vote.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The mode of directories.
const DIRECTORY: u32 = 0o700;
/// The mode of files.
const FILE: u32 = 0o600;

/// Sets the modes of a directory and of everything in it, whatever the umask was with which they were made. Links are
/// not followed. What is made later gets these modes by the process's umask.
pub(super) fn close(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        // Temporary files may disappear meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let mode = match found.file_type() {
        kind if kind.is_dir() => DIRECTORY,
        kind if kind.is_file() => FILE,
        _ => return Ok(()),
    };
    if found.permissions().mode() & 0o7777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| {
            io::Error::new(error.kind(), format!("the mode of {}: {error}", path.display()))
        })?;
    }
    if mode == DIRECTORY {
        for entry in fs::read_dir(path)? {
            close(&entry?.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn all_that_exists_is_closed_to_other_users_and_links_are_not_followed() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [directory, file, link] =
            ["tables", "tables/000001.sst", "link"].map(|name| root.path().join(name));
        fs::create_dir(&directory).unwrap();
        fs::write(&file, "x").unwrap();
        let foreign = outside.path().join("file");
        fs::write(&foreign, "x").unwrap();
        symlink(outside.path(), &link).unwrap();
        for (path, open) in [(root.path(), 0o755), (&directory, 0o2777), (&file, 0o666), (&foreign, 0o644)] {
            fs::set_permissions(path, Permissions::from_mode(open)).unwrap();
        }
        for _ in 0..2 {
            close(root.path()).unwrap();
            assert_eq!([0o700, 0o700, 0o600, 0o644], [root.path(), &directory, &file, &foreign].map(mode));
        }
        close(&root.path().join("none")).unwrap();
    }
}
