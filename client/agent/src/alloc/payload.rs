//! Writes the payload of a dispatched job to a file inside the task's local directory, never outside of it.

use super::directory::TaskDirectories;
use crate::limits::PAYLOAD_FILE_BYTES_MAX;

/// Executable, as in Nomad, because a payload may be a program.
const FILE_MODE: u32 = 0o755;
/// Writable by the task's user, like the local directory itself.
const DIRECTORY_MODE: u32 = 0o777;

/// Writes the payload to `file`, relative to the task's local directory, and creates missing directories on the path.
/// Idempotent. Errors are messages for the task's events.
pub(crate) fn write(directories: &TaskDirectories, file: &str, payload: &[u8]) -> Result<(), String> {
    let refused =
        |text: String| format!("the dispatch payload cannot be written to the file {file:?}: {text}");
    let (way, name) = split(file).map_err(|text| refused(text.to_owned()))?;
    let written = directories.open_local().and_then(|mut directory| {
        for name in way {
            directory = directory.make(name, DIRECTORY_MODE)?;
        }
        directory.write(name, payload, FILE_MODE)
    });
    written.map_err(|error| refused(error.to_string()))
}

/// Splits a path into its directories and the file name. A leading slash also means the local directory. Resolves `..`
/// textually within the path, so that no directory is entered through a link.
fn split(file: &str) -> Result<(Vec<&str>, &str), &'static str> {
    if file.len() > PAYLOAD_FILE_BYTES_MAX {
        return Err("the name is longer than any that a program can open");
    }
    if file.contains('\0') {
        return Err("the name holds the character NUL");
    }
    let mut names = Vec::new();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                names.pop().ok_or("it is outside of the task's local directory; name one inside of it")?;
            }
            name => names.push(name),
        }
    }
    let name = names.pop().ok_or("that is the task's local directory itself; name a file inside of it")?;
    Ok((names, name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn names_are_seen_from_the_local_directory() {
        let cases: [(&str, &[&str], &str); 8] = [
            ("in.txt", &[], "in.txt"),
            ("./in.txt", &[], "in.txt"),
            ("a/b/in.txt", &["a", "b"], "in.txt"),
            ("/etc/passwd", &["etc"], "passwd"),
            ("a//b/", &["a"], "b"),
            ("a/../in.txt", &[], "in.txt"),
            ("a/b/../../c/...", &["c"], "..."),
            ("${NOMAD_TASK_DIR}/ünï", &["${NOMAD_TASK_DIR}"], "ünï"),
        ];
        for (file, way, name) in cases {
            assert_eq!(split(file), Ok((way.to_vec(), name)), "{file}");
        }
    }

    #[test]
    fn names_outside_of_the_local_directory_are_refused_and_nothing_is_written() {
        let root = tempfile::tempdir().unwrap();
        let directories = TaskDirectories::new(&root.path().join("id"), "t");
        directories.build("").unwrap();
        let long = "x/".repeat(PAYLOAD_FILE_BYTES_MAX);
        let cases = [
            ("..", "outside"),
            ("../in.txt", "outside"),
            ("/../in.txt", "outside"),
            ("../local/in.txt", "outside"),
            ("../secrets/in.txt", "outside"),
            ("a/../../in.txt", "outside"),
            ("../../alloc/logs/t.stdout.0", "outside"),
            ("", "itself"),
            (".", "itself"),
            ("/", "itself"),
            ("a/..", "itself"),
            ("a\0b", "NUL"),
            (&long, "longer"),
        ];
        for (file, text) in cases {
            let refusal = write(&directories, file, b"x").unwrap_err();
            assert!(
                refusal.starts_with("the dispatch payload cannot") && refusal.contains(text),
                "{refusal}"
            );
        }
        assert_eq!(fs::read_dir(&directories.local).unwrap().count(), 0);
    }

    #[test]
    fn the_file_is_as_open_as_its_directory_and_writing_it_again_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let directories = TaskDirectories::new(&root.path().join("id"), "t");
        directories.build("").unwrap();
        let payload: Vec<u8> = (0..=255).cycle().take(16 * 1024).collect();
        let mode = |path: &str| fs::metadata(directories.local.join(path)).unwrap().permissions().mode();
        for _ in 0..2 {
            write(&directories, "a/b/in.bin", &payload).unwrap();
            assert_eq!(fs::read(directories.local.join("a/b/in.bin")).unwrap(), payload);
            let modes = ["a", "a/b", "a/b/in.bin"].map(|path| mode(path) & 0o7777);
            assert_eq!(modes, [0o777, 0o777, 0o755]);
        }
        assert_eq!(fs::read_dir(directories.local.join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn a_local_directory_that_has_become_a_link_is_not_followed() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directories = TaskDirectories::new(&root.path().join("id"), "t");
        directories.build("").unwrap();
        for place in [&directories.local, &directories.task] {
            fs::rename(place, root.path().join("moved")).unwrap();
            symlink(outside.path(), place).unwrap();
            fs::create_dir_all(outside.path().join("local")).unwrap();
            let refusal = write(&directories, "a/in.txt", b"x").unwrap_err();
            assert!(refusal.contains("is no directory"), "{refusal}");
            assert_eq!(fs::read_dir(outside.path().join("local")).unwrap().count(), 0);
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
            fs::remove_file(place).unwrap();
            fs::rename(root.path().join("moved"), place).unwrap();
        }
    }
}
