//! A server's data directory: its databases, its lock, and setting data aside when a server starts anew.

mod private;
pub(crate) mod replacement;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use ordu_store::format;
use ordu_store::identity::{Identity, IdentityFile, IdentityStore};
use ordu_store::log::{LogDb, RocksLog};
use ordu_store::tables::{RocksDb, TablesDb};

use crate::disk_space::{RESERVE_FILE, make_room};
use crate::membership::Former;
use crate::server::{ServerError, failed};

/// A server's persistent stores; simulations replace them.
#[derive(Clone)]
pub struct Storage {
    /// The raft log.
    pub log: Arc<dyn LogDb>,
    /// The state tables.
    pub tables: Arc<dyn TablesDb>,
    /// The server's identity.
    pub identity: Arc<dyn IdentityStore>,
    /// Lock on the data directory, held while it is in use.
    pub(crate) lock: Option<Arc<nix::fcntl::Flock<File>>>,
}

impl Storage {
    /// Opens the stores on disk in `data_dir`.
    ///
    /// # Errors
    /// Returned if the directory is locked, damaged or not writable.
    pub fn open(data_dir: &Path) -> Result<Self, ServerError> {
        let what = |part: &str| format!("cannot open {part} in {}", data_dir.display());
        std::fs::create_dir_all(data_dir).map_err(failed(what("the data directory")))?;
        private::close(data_dir)
            .map_err(failed(format!("cannot close {} to other users", data_dir.display())))?;
        let lock = lock(data_dir)?;
        make_room(data_dir).map_err(failed(what("what is set aside for want of room")))?;
        Self::complete_what_was_begun(data_dir).map_err(failed(what("what was to be set aside")))?;
        let identity = IdentityFile::new(data_dir);
        let found = identity.load().map_err(failed(what("the identity")))?;
        let found = format::bring_up_to_date(data_dir, &identity, found).map_err(failed(what("the data")))?;
        let may_create = !found.is_prepared;
        let log = RocksLog::open(&data_dir.join("raft-log"), may_create);
        let log = log.map_err(failed(what("the raft log")))?;
        let tables = RocksDb::open(&data_dir.join("tables"), may_create);
        let tables = tables.map_err(failed(what("the state tables")))?;
        let storage = Self {
            log: Arc::new(log),
            tables: Arc::new(tables),
            identity: Arc::new(identity),
            lock: Some(Arc::new(lock)),
        };
        storage.prepare(may_create).map_err(failed(what("the raft log")))?;
        Ok(storage)
    }

    /// Completes an interrupted move of files in `data_dir`. Returns whether a recovery's data have now
    /// replaced the previous data.
    pub(crate) fn complete_what_was_begun(data_dir: &Path) -> io::Result<bool> {
        complete_setting_aside(data_dir)?;
        replacement::complete(data_dir)
    }

    /// Completes the first start. From then on a missing log or table counts as lost data, not as a new
    /// server.
    fn prepare(&self, is_first: bool) -> io::Result<()> {
        let identity = self.identity.load()?;
        if is_first {
            ordu_store::log::prepare(&*self.log, identity.server_id)?;
            self.identity.save(&Identity { is_prepared: true, ..identity })?;
        }
        Ok(())
    }

    /// Uses the stores of a simulation.
    ///
    /// # Errors
    /// Returned if the disk belongs to another server, or fails.
    pub fn simulated(
        log: Arc<dyn LogDb>,
        tables: Arc<dyn TablesDb>,
        identity: Arc<dyn IdentityStore>,
    ) -> io::Result<Self> {
        let storage = Self { log, tables, identity, lock: None };
        storage.prepare(!storage.identity.load()?.is_prepared)?;
        Ok(storage)
    }

    /// Returns a handle that tells when the databases are no longer in use.
    pub fn in_use(&self) -> InUse {
        InUse { log: Arc::downgrade(&self.log), tables: Arc::downgrade(&self.tables) }
    }

    /// Moves a server's data in `data_dir` into a new subdirectory, and returns its path. Removes nothing.
    /// The storage must not be in use.
    ///
    /// # Errors
    /// Returned if the directory is locked, or files cannot be moved.
    pub fn set_aside(data_dir: &Path) -> Result<PathBuf, ServerError> {
        let failed = || failed(format!("cannot set aside what is in {}", data_dir.display()));
        let _lock = lock(data_dir)?;
        let name = format!("{ASIDE}{}", free_suffix(data_dir));
        std::fs::create_dir(data_dir.join(&name)).map_err(failed())?;
        // The marker makes the next start complete an interrupted move: partial server data are worse than
        // none.
        std::fs::write(data_dir.join(SETTING_ASIDE), &name).map_err(failed())?;
        sync_all(data_dir).map_err(failed())?;
        complete_setting_aside(data_dir).map_err(failed())?;
        Ok(data_dir.join(name))
    }

    /// Returns the previous identities of the server in `data_dir`, from the data set aside.
    pub fn former(data_dir: &Path) -> Former {
        let entries = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
        let is_aside =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ASIDE));
        let mut aside: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_aside).collect();
        aside.sort();
        Former::read(aside.iter().map(PathBuf::as_path))
    }
}

/// The file whose lock gives a server exclusive use of its data directory.
pub(crate) const LOCK: &str = "lock";
/// Name prefix of directories with data set aside.
const ASIDE: &str = "aside-";

/// The marker file that names the directory into which files are being moved.
const SETTING_ASIDE: &str = "setting-aside";

/// Returns the current second since 1970, or the next one that no existing directory is named after.
fn free_suffix(data_dir: &Path) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let is_free = |second: &u64| !data_dir.join(format!("{ASIDE}{second}")).exists();
    (now..).find(is_free).unwrap_or(now)
}

fn sync_all(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

/// Completes an interrupted move, if there is one.
fn complete_setting_aside(data_dir: &Path) -> io::Result<()> {
    let marker = data_dir.join(SETTING_ASIDE);
    if !marker.exists() {
        return Ok(());
    }
    let name = std::fs::read_to_string(&marker)?;
    if !name.starts_with(ASIDE) || !data_dir.join(&name).is_dir() {
        // Writing the marker was interrupted; nothing has been moved yet.
        return std::fs::remove_file(marker);
    }
    move_aside(data_dir, &data_dir.join(name), |name| name == SETTING_ASIDE)?;
    std::fs::remove_file(marker)?;
    File::open(data_dir)?.sync_all()
}

/// Moves a server's files from `data_dir` into `aside`, except those that `stays` selects.
fn move_aside(data_dir: &Path, aside: &Path, stays: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in std::fs::read_dir(data_dir)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        if text != LOCK && text != RESERVE_FILE && !text.starts_with(ASIDE) && !stays(&text) {
            std::fs::rename(data_dir.join(&name), aside.join(&name))?;
        }
    }
    File::open(aside)?.sync_all()
}

/// Locks `data_dir` for this process while the returned lock is held.
pub(crate) fn lock(data_dir: &Path) -> Result<nix::fcntl::Flock<File>, ServerError> {
    let what = format!("cannot open the lock in {}", data_dir.display());
    let file = File::create(data_dir.join(LOCK)).map_err(failed(what))?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|_| ServerError::Locked { path: data_dir.display().to_string() })
}

/// Databases that may still be in use; see [`Storage::in_use`].
pub struct InUse {
    log: Weak<dyn LogDb>,
    tables: Weak<dyn TablesDb>,
}

impl InUse {
    /// Waits until they are closed.
    ///
    /// # Errors
    /// Returned if they are not closed within ten seconds.
    pub async fn closed(self) -> Result<(), ServerError> {
        for _ in 0..CLOSING_TRIES {
            if self.log.strong_count() == 0 && self.tables.strong_count() == 0 {
                return Ok(());
            }
            tokio::time::sleep(CLOSING_PAUSE).await;
        }
        Err(ServerError::Fatal("the data of this server is still in use; start it again".to_owned()))
    }
}

/// Number of checks whether the databases of a stopped server are closed …
const CLOSING_TRIES: u32 = 500;
/// … and the pause between them.
const CLOSING_PAUSE: Duration = Duration::from_millis(20);
