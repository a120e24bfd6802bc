//! A server's data directory: its databases, its lock, and what a server that starts anew sets aside.

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

/// Where a server keeps what it must not forget: the disk's seam.
#[derive(Clone)]
pub struct Storage {
    /// The raft log.
    pub log: Arc<dyn LogDb>,
    /// The state tables.
    pub tables: Arc<dyn TablesDb>,
    /// Who the server is.
    pub identity: Arc<dyn IdentityStore>,
    /// Held for as long as the data directory is in use.
    pub(crate) lock: Option<Arc<nix::fcntl::Flock<File>>>,
}

impl Storage {
    /// On disk, in `data_dir`.
    ///
    /// # Errors
    /// When the directory is locked, damaged or not writable.
    pub fn open(data_dir: &Path) -> Result<Self, ServerError> {
        let what = |part: &str| format!("cannot open {part} in {}", data_dir.display());
        std::fs::create_dir_all(data_dir).map_err(failed(what("the data directory")))?;
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

    /// Goes on with what was being moved in `data_dir` when it was cut short. Tells whether other data have taken the
    /// place of the former now.
    pub(crate) fn complete_what_was_begun(data_dir: &Path) -> io::Result<bool> {
        complete_setting_aside(data_dir)?;
        replacement::complete(data_dir)
    }

    /// Completes what a first start begins: from then on a log or tables that are missing are lost, and not new.
    fn prepare(&self, is_first: bool) -> io::Result<()> {
        let identity = self.identity.load()?;
        if is_first {
            ordu_store::log::prepare(&*self.log, identity.server_id)?;
            self.identity.save(&Identity { is_prepared: true, ..identity })?;
        }
        Ok(())
    }

    /// What a simulation provides.
    ///
    /// # Errors
    /// When the disk is another server's, or fails.
    pub fn simulated(
        log: Arc<dyn LogDb>,
        tables: Arc<dyn TablesDb>,
        identity: Arc<dyn IdentityStore>,
    ) -> io::Result<Self> {
        let storage = Self { log, tables, identity, lock: None };
        storage.prepare(!storage.identity.load()?.is_prepared)?;
        Ok(storage)
    }

    /// Tells when no one uses the databases any more.
    pub fn in_use(&self) -> InUse {
        InUse { log: Arc::downgrade(&self.log), tables: Arc::downgrade(&self.tables) }
    }

    /// Moves what a server has in `data_dir` into a directory of its own there, and gives that one's path.
    /// Nothing is removed. No one may use the storage meanwhile.
    ///
    /// # Errors
    /// When the directory is locked, or files cannot be moved.
    pub fn set_aside(data_dir: &Path) -> Result<PathBuf, ServerError> {
        let failed = || failed(format!("cannot set aside what is in {}", data_dir.display()));
        let _lock = lock(data_dir)?;
        let name = format!("{ASIDE}{}", free_suffix(data_dir));
        std::fs::create_dir(data_dir.join(&name)).map_err(failed())?;
        // Cut short, it is completed before anything is opened: of a server's files, a part is worse than none.
        std::fs::write(data_dir.join(SETTING_ASIDE), &name).map_err(failed())?;
        sync_all(data_dir).map_err(failed())?;
        complete_setting_aside(data_dir).map_err(failed())?;
        Ok(data_dir.join(name))
    }

    /// Who the server in `data_dir` was before what it had was set aside.
    pub fn former(data_dir: &Path) -> Former {
        let entries = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
        let is_aside =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ASIDE));
        let mut aside: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_aside).collect();
        aside.sort();
        Former::read(aside.iter().map(PathBuf::as_path))
    }
}

/// The file by which a server has its data directory for itself.
pub(crate) const LOCK: &str = "lock";
/// How the names of directories begin into which a server's files were moved.
const ASIDE: &str = "aside-";

/// The file that names the directory into which a server's files are being moved.
const SETTING_ASIDE: &str = "setting-aside";

/// The second that it is, or the next that no directory of what was set aside is named by.
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

/// Moves what is left to be moved, if anything is.
fn complete_setting_aside(data_dir: &Path) -> io::Result<()> {
    let marker = data_dir.join(SETTING_ASIDE);
    if !marker.exists() {
        return Ok(());
    }
    let name = std::fs::read_to_string(&marker)?;
    if !name.starts_with(ASIDE) || !data_dir.join(&name).is_dir() {
        // Its writing was cut short, and nothing is moved yet.
        return std::fs::remove_file(marker);
    }
    move_aside(data_dir, &data_dir.join(name), |name| name == SETTING_ASIDE)?;
    std::fs::remove_file(marker)?;
    File::open(data_dir)?.sync_all()
}

/// Moves into `aside` what a server has in `data_dir`, but what `stays`.
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

/// Has `data_dir` for this process alone, for as long as what it gives is kept.
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
    /// When they are not within a few seconds.
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

/// How often it is looked whether the databases of a server that has ended are closed …
const CLOSING_TRIES: u32 = 500;
/// … and the pause in between.
const CLOSING_PAUSE: Duration = Duration::from_millis(20);
