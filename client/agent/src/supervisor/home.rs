//! The supervisor's directory as its claim to its tasks. If the directory was removed, or now belongs to another node,
//! no agent will ever ask for these tasks again, while a new node may run others in their place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::identity::NODE_ID_FILE;

/// The locked directory of this supervisor.
pub(crate) struct Home {
    lock: File,
    lock_path: PathBuf,
    node_id_path: PathBuf,
    /// The node's id at the start; none if there was no such file.
    node_id: Option<String>,
}

/// Why a directory is no longer the supervisor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The directory was removed.
    Removed,
    /// The directory belongs to the node with this id.
    OfNode(String),
}

impl Home {
    /// Locks an existing directory, which only one supervisor may use. `client/client-id` beside it holds the node's id.
    pub(crate) fn claim(directory: &Path) -> io::Result<Self> {
        let lock_path = directory.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other(format!("another supervisor holds {}", directory.display())));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let node_id_path = directory.with_file_name(NODE_ID_FILE);
        let node_id = node_id(&node_id_path);
        Ok(Self { lock, lock_path, node_id_path, node_id })
    }

    /// Returns why the directory is lost, if it certainly is: an unreadable file is no reason to end tasks.
    pub(crate) fn lost(&self) -> Option<Lost> {
        // The lock file is never replaced. Without a name it was removed, even if another one is in its place.
        if self.lock.metadata().is_ok_and(|lock| lock.nlink() == 0) {
            return Some(Lost::Removed);
        }
        let found = node_id(&self.node_id_path)?;
        self.node_id.as_ref().filter(|own| **own != found).map(|_| Lost::OfNode(found))
    }

    /// Returns whether the directory's files are still those of this supervisor, which may remove them.
    pub(crate) fn owns_files(&self) -> bool {
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let own = self.lock.metadata().map(place).ok();
        own.is_some() && own == fs::metadata(&self.lock_path).map(place).ok()
    }
}

/// Returns the id in a file; none if there is none or only a part of it.
fn node_id(path: &Path) -> Option<String> {
    let id = fs::read_to_string(path).ok()?;
    uuid::Uuid::parse_str(id.trim()).ok().map(|id| id.to_string())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_home_is_lost_when_it_is_removed_or_of_another_node_and_for_no_other_reason() {
        let root = tempfile::tempdir().unwrap();
        let (client, id) = (root.path().join("client"), Uuid::new_v4().to_string());
        let (directory, id_path) = (client.join("supervisor"), client.join(NODE_ID_FILE));
        fs::create_dir_all(&directory).unwrap();
        fs::write(&id_path, &id).unwrap();
        let home = Home::claim(&directory).unwrap();
        assert!(Home::claim(&directory).is_err(), "it is in use");
        fs::write(&id_path, format!("{id}\n")).unwrap();
        assert_eq!((home.lost(), home.owns_files()), (None, true));
        for unclear in [&b""[..], b"no id", &[0xff], &id.as_bytes()[..8]] {
            fs::write(&id_path, unclear).unwrap();
            assert_eq!(home.lost(), None);
        }
        fs::remove_file(&id_path).unwrap();
        assert_eq!(home.lost(), None);
        let other = Uuid::new_v4().to_string();
        fs::write(&id_path, &other).unwrap();
        assert_eq!((home.lost(), home.owns_files()), (Some(Lost::OfNode(other)), true));

        fs::write(&id_path, &id).unwrap();
        let moved = root.path().join("moved");
        fs::rename(&client, &moved).unwrap();
        assert_eq!((home.lost(), home.owns_files()), (None, false), "its files exist elsewhere");
        fs::rename(&moved, &client).unwrap();
        fs::remove_dir_all(&client).unwrap();
        fs::create_dir_all(&directory).unwrap();
        let next = Home::claim(&directory).unwrap();
        assert_eq!((home.lost(), home.owns_files()), (Some(Lost::Removed), false));
        assert_eq!((next.lost(), next.owns_files()), (None, true));
    }
}
