//! Keeps the agent's files to its own user, whatever the umask of its starter. Tasks get the starter's umask.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::stat::{Mode, umask};

use crate::config::AgentConfig;
use crate::error::AgentError;

/// The umask of an agent: its files are for its own user.
const OWN: Mode = Mode::S_IRWXG.union(Mode::S_IRWXO);

const FLAG: &str = "--umask=";

/// Sets this process's umask, and returns the former one.
pub(crate) fn take_umask() -> u32 {
    umask(OWN).bits()
}

/// Returns the argument by which the supervisor gets the umask back.
pub(crate) fn argument(before: u32) -> OsString {
    OsString::from(format!("{FLAG}{before:o}"))
}

/// Sets the umask of an argument of [`argument`]'s. Returns false for any other argument.
pub fn give_back(argument: &OsStr) -> bool {
    let Some(before) = argument.to_str().and_then(|argument| argument.strip_prefix(FLAG)) else {
        return false;
    };
    match u32::from_str_radix(before, 8) {
        Ok(bits) => {
            umask(Mode::from_bits_truncate(bits));
        }
        // Not fatal: tasks make their files with the agent's umask then.
        Err(error) => eprintln!("the umask cannot be set to {before:?}: {error}"),
    }
    true
}

/// Names that an agent's data directory has in it, and those of a fresh file system.
const EXPECTED: [&str; 4] = ["alloc", "client", "lost+found", "server"];

/// Creates the data directory unless it exists, and closes it to other users. Tasks of other users pass through a
/// node's, but cannot list it. To be called before the umask is set, so that directories above it that are missing stay
/// passable.
pub(crate) fn open_data_directory(config: &AgentConfig) -> Result<(), AgentError> {
    let path = &config.data_dir;
    let mode = if config.client.is_some() { 0o711 } else { 0o700 };
    let exists = path.is_dir();
    if fs::create_dir_all(path).is_err() {
        // The server or the node meets the same error, and says what to do.
        return Ok(());
    }
    if is_shared(path) {
        return Err(AgentError::Configuration(format!(
            "data_dir {0} is a directory that other programs and users use, too, and it would be closed to them: name \
             one of the agent's own, such as {0}/ordu",
            path.display().to_string().trim_end_matches('/')
        )));
    }
    let set = || -> io::Result<()> {
        let found = fs::metadata(path)?.permissions().mode() & 0o7777;
        // The owner's rights on an existing one stay: it may be read-only on purpose.
        let mode = if exists { mode & 0o077 | found & 0o700 } else { mode };
        if found == mode { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(mode)) }
    };
    if let Err(error) = set() {
        // What is inside is closed all the same.
        tracing::warn!(
            "the mode of the data directory {} cannot be set to {mode:o}: {error}",
            path.display()
        );
    }
    Ok(())
}

/// Whether a directory is everybody's, like `/tmp`, or the root of all files.
fn is_shared(path: &Path) -> bool {
    let is_everybodys = fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o1002 == 0o1002);
    let is_foreign = |entry: fs::DirEntry| !EXPECTED.iter().any(|name| entry.file_name() == *name);
    (is_everybodys || path.parent().is_none())
        && fs::read_dir(path).into_iter().flatten().flatten().any(is_foreign)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CHILD: &str = "ORDU_TEST_UMASK";

    /// Runs in a process of its own, since the umask is the process's.
    #[test]
    fn child_that_takes_and_gives_back() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        umask(Mode::from_bits_truncate(0o026));
        let before = take_umask();
        assert_eq!((0o026, "--umask=26"), (before, argument(before).to_str().unwrap()));
        assert!(give_back(&argument(before)));
        assert_eq!(0o026, umask(OWN).bits());
        assert!(give_back(OsStr::new("--umask=much")) && !give_back(OsStr::new("--socket")));
        assert_eq!(OWN, umask(OWN));
        println!("done");
    }

    #[test]
    fn the_umask_is_set_for_the_agent_and_given_back_to_the_supervisor() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["private::tests::child_that_takes_and_gives_back", "--exact", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("done"), "{said}");
    }

    #[test]
    fn a_directory_of_everybody_is_told_from_one_of_the_agent() {
        let root = tempfile::tempdir().unwrap();
        assert!(is_shared(Path::new("/")) && !is_shared(root.path()));
        fs::set_permissions(root.path(), Permissions::from_mode(0o1777)).unwrap();
        fs::create_dir(root.path().join("server")).unwrap();
        assert!(!is_shared(root.path()), "a file system of its own");
        fs::write(root.path().join("other"), "").unwrap();
        assert!(is_shared(root.path()));
        fs::set_permissions(root.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(!is_shared(root.path()));
    }
}
