//! The data directory: ensures that only one agent uses it, and stores the node's id and secret, which are generated
//! once.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::error::Error;
use crate::limits::{LOCK_PATIENCE, LOCK_POLL};
use crate::{files, format};

/// The file with the node's id, beside the supervisor's directory.
pub(crate) const NODE_ID_FILE: &str = "client-id";

/// A data directory that this agent holds locked until the value is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    _lock: File,
}

/// The node's id and the secret that proves it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: Uuid,
    pub(crate) secret: Uuid,
}

impl DataDir {
    /// Creates the directories and takes the lock, which the kernel releases when this process ends. Retries for a
    /// moment: a child that the previous owner was just forking may still hold the lock.
    pub(crate) async fn open(root: &Path) -> Result<Self, Error> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match Self::try_open(root) {
                Err(Error::DataDirInUse(_)) if Instant::now() < deadline => sleep(LOCK_POLL).await,
                result => return result,
            }
        }
    }

    fn try_open(root: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(root).map_err(Error::io("find", root))?;
        // Tasks of other users must be able to traverse these directories to their own, but not list them.
        make_directory(&root, 0o711)?;
        make_directory(&root.join("alloc"), 0o711)?;
        for name in ["client", "client/allocs", "client/supervisor"] {
            make_directory(&root.join(name), 0o700)?;
        }
        let path = root.join("client/lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::DataDirInUse(root)),
            Err(TryLockError::Error(source)) => return Err(Error::Io { action: "lock", path, source }),
        }
        format::bring_up_to_date(&root.join("client"))?;
        Ok(Self { root, _lock: lock })
    }

    /// Returns the directory that contains the allocations' directories.
    pub(crate) fn allocs(&self) -> PathBuf {
        self.root.join("alloc")
    }

    /// Returns the directory of the agent's files about allocations.
    pub(crate) fn alloc_states(&self) -> PathBuf {
        self.root.join("client/allocs")
    }

    /// Returns the supervisor's directory.
    pub(crate) fn supervisor(&self) -> PathBuf {
        self.root.join("client/supervisor")
    }

    /// Reads the node's id and secret, or generates them.
    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        let client = self.root.join("client");
        let identity = Identity {
            id: kept_uuid(&client.join(NODE_ID_FILE))?,
            secret: kept_uuid(&client.join("secret-id"))?,
        };
        files::sync_directory(&client).map_err(Error::io("sync", &client))?;
        Ok(identity)
    }
}

/// Creates a directory unless it exists, and sets its mode: access must depend neither on the umask of the agent's
/// starter, nor on whoever made the directory. The owner's rights on an existing one stay: it may be read-only on
/// purpose.
fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    let exists = path.is_dir();
    DirBuilder::new().recursive(true).create(path).map_err(Error::io("make the directory", path))?;
    let found =
        fs::metadata(path).map_err(Error::io("read the mode of", path))?.permissions().mode() & 0o7777;
    let mode = if exists { mode & 0o077 | found & 0o700 } else { mode };
    if found == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path))
}

fn kept_uuid(path: &Path) -> Result<Uuid, Error> {
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|error: uuid::Error| Error::BadIdentity {
            path: path.to_owned(),
            text: error.to_string(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let drawn = Uuid::new_v4();
            files::write_whole(path, drawn.to_string().as_bytes(), 0o600)
                .map_err(Error::io("write", path))?;
            Ok(drawn)
        }
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn id_and_secret_are_drawn_once_and_readable_by_their_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::open(directory.path()).await.unwrap().identity().unwrap();
        let second = DataDir::open(directory.path()).await.unwrap().identity().unwrap();
        assert_eq!((first.id, first.secret), (second.id, second.secret));
        assert_ne!(first.id, first.secret);
        for name in ["client-id", "secret-id"] {
            let metadata = fs::metadata(directory.path().join("client").join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[tokio::test]
    async fn directories_are_closed_to_other_users_but_for_the_way_to_the_tasks_also_those_that_exist() {
        let root = tempfile::tempdir().unwrap();
        let modes = [
            ("", 0o711),
            ("alloc", 0o711),
            ("client", 0o700),
            ("client/allocs", 0o700),
            ("client/supervisor", 0o700),
        ];
        for before in [0o777, 0o700, 0o755, 0o1777] {
            for (name, _) in modes {
                let path = root.path().join(name);
                fs::create_dir_all(&path).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            }
            DataDir::open(root.path()).await.unwrap();
            for (name, mode) in modes {
                let found = fs::metadata(root.path().join(name)).unwrap().permissions().mode() & 0o7777;
                assert_eq!(mode, found, "{name:?}, which had {before:o}, has {found:o}");
            }
        }
    }

    #[tokio::test]
    async fn files_of_a_newer_format_are_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::open(directory.path()).await.unwrap().identity().unwrap();
        let path = directory.path().join("client/format");
        fs::write(&path, "2\n").unwrap();
        let refusal = DataDir::open(directory.path()).await.unwrap_err();
        assert!(matches!(refusal, Error::Format(_)), "{refusal}");
        fs::remove_file(path).unwrap();
        let again = DataDir::open(directory.path()).await.unwrap().identity().unwrap();
        assert_eq!(first.id, again.id, "files without a number are read");
    }

    #[tokio::test]
    async fn a_directory_in_use_is_refused_in_words_until_it_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let held = DataDir::open(directory.path()).await.unwrap();
        let refusal = DataDir::open(directory.path()).await.unwrap_err().to_string();
        assert!(refusal.contains("is in use by another agent"), "{refusal}");
        drop(held);
        DataDir::open(directory.path()).await.unwrap();
    }

    #[tokio::test]
    async fn an_id_that_is_none_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).await.unwrap();
        let path = directory.path().join("client/client-id");
        fs::write(&path, "not an id").unwrap();
        let refusal = data.identity().unwrap_err().to_string();
        assert!(refusal.contains("client-id holds no node id"), "{refusal}");
        assert_eq!(fs::read_to_string(path).unwrap(), "not an id");
    }
}
