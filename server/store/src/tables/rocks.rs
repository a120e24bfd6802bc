//! The state tables in RocksDB.
//!
//! RocksDB's write-ahead log is off, because the raft log serves as one. All column families are flushed
//! together, so that after the process is killed the tables are as of a single applied id, which they contain.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ordu_core::state::{Corrupt, Reader, Table, Write};
use ordu_proto::raft::SnapshotHeader;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteOptions};

use super::database::Database;
use super::{SetAside, TablesDb, check_tables};
use crate::codec::invalid;
use crate::damage::WAY_OUT;
use crate::directory::Directory;
use crate::faults::{Faults, unusable};
use crate::format::TABLES;
use crate::runtime::random_bytes;
use crate::snapshot::{SnapshotData, SnapshotReceiver, sync_directory};
use crate::state_machine::position;

/// The file that names the directory of the tables in use.
const CURRENT_FILE: &str = "state-current";

/// The tables in RocksDB, under one directory:
///
/// - `state-<random>`: the tables in use, named by `state-current`;
/// - `snapshot-<random>`: the current snapshot;
/// - `incoming-<random>`: a snapshot that is being received.
pub struct RocksDb {
    root: PathBuf,
    open: RwLock<Open>,
    current: RwLock<Option<SnapshotData>>,
    faults: Faults,
    set_aside: SetAside,
}

#[derive(Clone)]
struct Open {
    // Must be dropped before its directory.
    db: Arc<Database>,
    directory: Arc<Directory>,
    /// The number of these tables, passed to [`SetAside`] with each bad row found in them.
    tables: u64,
}

impl RocksDb {
    /// Opens the tables under `root`; creates them if missing and `may_create` is set. Removes what a crash left
    /// behind.
    ///
    /// # Errors
    /// If the tables are missing, in use by another process, damaged or not writable.
    pub fn open(root: &Path, may_create: bool) -> io::Result<Self> {
        Self::open_under(root, may_create)
            .map_err(|error| io::Error::new(error.kind(), format!("{error}. {WAY_OUT}")))
    }

    fn open_under(root: &Path, may_create: bool) -> io::Result<Self> {
        if may_create {
            std::fs::create_dir_all(root)?;
        }
        let name = match named_in_use(root)? {
            Some(name) => name,
            None if may_create => {
                let name = fresh_name("state");
                Database::open(&root.join(&name), true)?;
                switch(root, &name)?;
                name
            }
            None => {
                let what = format!(
                    "{}, which names the tables in use, is missing",
                    root.join(CURRENT_FILE).display()
                );
                return Err(invalid(what));
            }
        };
        let path = root.join(&name);
        if name.is_empty() || !path.is_dir() {
            // Opening would create empty tables, but the log entries that led to the lost ones may be purged.
            let what = format!("{} names {name:?}, which is not there", root.join(CURRENT_FILE).display());
            return Err(invalid(what));
        }
        let db = Arc::new(Database::open(&path, false)?);
        let current = clean_up(root, &name)?;
        let installed = SnapshotData::open_directory(path.clone())?;
        let directory = Arc::new(Directory::kept(path));
        let tables = Self {
            root: root.to_owned(),
            open: RwLock::new(Open { db, directory, tables: 0 }),
            current: RwLock::new(current),
            faults: Faults::default(),
            set_aside: SetAside::default(),
        };
        let last = |snapshot: Option<SnapshotData>| snapshot.and_then(|snapshot| snapshot.meta.last_log_id);
        let current = tables.current_snapshot()?;
        let is_older = current.as_ref().is_some_and(|current| current.format < TABLES.number);
        if is_older || last(installed) > last(current) {
            // The tables were migrated, or a crash occurred between the switch to these tables and their first
            // snapshot. The log may be purged up to the state of the tables, so an older snapshot is useless.
            tables.checkpoint()?;
        }
        Ok(tables)
    }

    /// Returns the directory of the tables in use under `root`; `None` if there are no tables.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn in_use(root: &Path) -> io::Result<Option<PathBuf>> {
        Ok(named_in_use(root)?.filter(|name| !name.is_empty()).map(|name| root.join(name)))
    }

    /// Reports a fault that must end the server, and converts it for the caller.
    fn fault(&self, error: rocksdb::Error) -> io::Error {
        self.report(&error);
        io::Error::other(error)
    }

    fn report(&self, error: &dyn std::fmt::Display) {
        self.faults.report(unusable("the state tables", &self.root, error));
    }

    fn family<'d>(&self, db: &'d DB, table: Table) -> Result<&'d rocksdb::ColumnFamily, Corrupt> {
        let missing = || {
            let corrupt = Corrupt::storage(table, "the column family is not there");
            self.report(&corrupt);
            corrupt
        };
        db.cf_handle(table.name()).ok_or_else(missing)
    }

    fn opened(&self) -> Open {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_as_current(&self, snapshot: SnapshotData) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = current.replace(snapshot) {
            old.doom();
        }
    }

    /// Takes a snapshot of `db`. It becomes the current one unless a newer one was installed meanwhile: the log may
    /// already be purged up to the newer one.
    fn build_of(&self, db: &DB) -> io::Result<SnapshotData> {
        let snapshot = self.checkpoint_of(db)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_late =
            current.as_ref().is_some_and(|current| current.meta.last_log_id > snapshot.meta.last_log_id);
        let old = if is_late { Some(snapshot.clone()) } else { current.replace(snapshot.clone()) };
        if let Some(old) = old {
            old.doom();
        }
        Ok(snapshot)
    }

    fn check_position(&self, db: &DB, snapshot: &SnapshotData) -> io::Result<()> {
        let found = position(&self.bare_reader(db))?;
        if found != snapshot.meta {
            let (said, is) = (snapshot.meta.last_log_id, found.last_log_id);
            return Err(invalid(format!("a snapshot that is said to be of {said:?} and is of {is:?}")));
        }
        Ok(())
    }

    fn checkpoint_of(&self, db: &DB) -> io::Result<SnapshotData> {
        let path = self.root.join(fresh_name("snapshot"));
        // This first flushes all column families together, since their write-ahead log is off.
        Checkpoint::new(db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(&path))
            .map_err(|error| self.fault(error))?;
        // Read the position from the checkpoint itself, because entries may have been applied since.
        let pinned = Database::open_read_only(&path).map_err(|error| self.fault(error))?;
        let meta = position(&self.bare_reader(&pinned))?;
        drop(pinned);
        SnapshotData::complete_directory(path, meta)
    }

    /// Returns a reader of tables that are not in use; it leaves reporting of faults to the caller.
    fn bare_reader<'a>(&'a self, db: &'a DB) -> RocksReader<'a> {
        RocksReader { of: self, db, snapshot: None, tables: None }
    }

    fn reader<'a>(
        &'a self,
        open: &'a Open,
        snapshot: Option<SnapshotWithThreadMode<'a, DB>>,
    ) -> RocksReader<'a> {
        RocksReader { of: self, db: &open.db, snapshot, tables: Some(open.tables) }
    }
}

impl TablesDb for RocksDb {
    fn with_snapshot(&self, with: &mut dyn FnMut(&dyn Reader)) {
        let open = self.opened();
        with(&self.reader(&open, Some(open.db.snapshot())));
    }

    fn with_latest(&self, with: &mut dyn FnMut(&dyn Reader)) {
        let open = self.opened();
        with(&self.reader(&open, None));
    }

    fn commit(&self, writes: Vec<Write>) -> io::Result<()> {
        let open = self.opened();
        let mut batch = WriteBatch::default();
        for write in &writes {
            let family = self.family(&open.db, write.table).map_err(invalid)?;
            match &write.value {
                Some(value) => batch.put_cf(family, &write.key, value),
                None => batch.delete_cf(family, &write.key),
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        open.db.write_opt(batch, &options).map_err(|error| self.fault(error))?;
        self.set_aside.written(&writes);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.opened().db.flush_all().map_err(|error| self.fault(error))
    }

    fn checkpoint(&self) -> io::Result<SnapshotData> {
        self.build_of(&self.opened().db)
    }

    fn current_snapshot(&self) -> io::Result<Option<SnapshotData>> {
        Ok(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn receive(&self, header: &SnapshotHeader) -> io::Result<SnapshotReceiver> {
        SnapshotReceiver::into_directory(header, self.root.join(fresh_name("incoming")))
    }

    fn check_received(&self, snapshot: &SnapshotData) -> io::Result<()> {
        let path = snapshot.directory().ok_or_else(|| invalid("a snapshot in memory for tables on disk"))?;
        let db = Database::open_read_only(path)
            .map_err(|error| invalid(format!("a snapshot that cannot be opened: {error}")))?;
        check_tables(&self.bare_reader(&db), snapshot)?;
        // Blocks damaged on the sender's disk arrive with correct transfer checksums, and would end this server once
        // installed.
        db.read_all(&mut |_| true).map(drop)
    }

    fn install(&self, snapshot: &SnapshotData) -> io::Result<()> {
        let from = snapshot.directory().ok_or_else(|| invalid("a snapshot in memory for tables on disk"))?;
        let name = fresh_name("state");
        let path = self.root.join(&name);
        std::fs::rename(from, &path)?;
        sync_directory(&self.root)?;
        let directory = Arc::new(Directory::kept(path));
        // Removed unless the switch below is reached.
        directory.doom();
        let db = Arc::new(Database::open(directory.path(), false)?);
        self.check_position(&db, snapshot)?;
        directory.keep();
        switch(&self.root, &name)?;
        self.keep_as_current(self.checkpoint_of(&db)?);
        let new = Open { db, directory, tables: self.set_aside.replaced() };
        let old = std::mem::replace(&mut *self.open.write().unwrap_or_else(PoisonError::into_inner), new);
        // Readers may still use the former tables; the last of them removes the directory.
        old.directory.doom();
        Ok(())
    }

    fn scrub(&self, pace: &mut dyn FnMut(usize) -> bool) -> io::Result<()> {
        let open = self.opened();
        let place = open.directory.path().display();
        let damaged = |error| invalid(format!("the state tables in {place} are damaged: {error}. {WAY_OUT}"));
        if !open.db.read_all(pace).map_err(damaged)? {
            return Ok(());
        }
        drop(open);
        let Some(snapshot) = self.current_snapshot()? else { return Ok(()) };
        let Some(path) = snapshot.directory() else { return Ok(()) };
        let scrubbed =
            Database::open_read_only(path).map_err(io::Error::other).and_then(|db| db.read_all(pace));
        scrubbed.map(drop).map_err(|error| {
            let path = path.display();
            invalid(format!(
                "the snapshot in {path} is damaged: {error}. Stop this server, remove that directory and start the \
                 server: it takes another snapshot. If its tables are damaged too, it says so: {WAY_OUT}"
            ))
        })
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn set_aside(&self) -> &SetAside {
        &self.set_aside
    }

    fn blocks(&self) -> bool {
        true
    }
}

fn fresh_name(kind: &str) -> String {
    format!("{kind}-{:016x}", u64::from_be_bytes(random_bytes()))
}

fn named_in_use(root: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(root.join(CURRENT_FILE)) {
        Ok(name) => Ok(Some(name.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Names the tables in use, durably and atomically.
fn switch(root: &Path, name: &str) -> io::Result<()> {
    let next = root.join("state-next");
    std::fs::write(&next, name)?;
    std::fs::File::open(&next)?.sync_all()?;
    std::fs::rename(&next, root.join(CURRENT_FILE))?;
    sync_directory(root)
}

/// Returns the current snapshot, and removes what crashes have left behind.
fn clean_up(root: &Path, tables_in_use: &str) -> io::Result<Option<SnapshotData>> {
    let mut current: Option<SnapshotData> = None;
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_left_over = if name.starts_with("snapshot-") {
            let snapshot = SnapshotData::open_directory(entry.path())?;
            let format = snapshot.as_ref().map_or(TABLES.number, |snapshot| snapshot.format);
            TABLES.check(format, format_args!("the snapshot in {}", entry.path().display()))?;
            match snapshot {
                Some(snapshot)
                    if current
                        .as_ref()
                        .is_none_or(|best| best.meta.last_log_id < snapshot.meta.last_log_id) =>
                {
                    if let Some(path) = current.replace(snapshot).as_ref().and_then(SnapshotData::directory) {
                        std::fs::remove_dir_all(path)?;
                    }
                    false
                }
                _ => true,
            }
        } else {
            name.starts_with("incoming-")
                || name.starts_with("state-") && entry.file_type()?.is_dir() && name != tables_in_use
        };
        if is_left_over {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(current)
}

/// Reads a database; reports every error if the tables are in use.
struct RocksReader<'a> {
    of: &'a RocksDb,
    db: &'a DB,
    snapshot: Option<SnapshotWithThreadMode<'a, DB>>,
    /// The number of the tables; `None` for a database that is not in use.
    tables: Option<u64>,
}

impl RocksReader<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        if let Some(snapshot) = &self.snapshot {
            options.set_snapshot(snapshot);
        }
        options
    }

    fn fault(&self, table: Table, error: rocksdb::Error) -> Corrupt {
        if self.tables.is_some() {
            self.of.report(&error);
        }
        Corrupt::storage(table, error)
    }

    /// Returns the column family of a table. A snapshot of an older release may lack it; then the table is empty
    /// there.
    fn family(&self, table: Table) -> Result<Option<&rocksdb::ColumnFamily>, Corrupt> {
        match self.tables {
            Some(_) => self.of.family(self.db, table).map(Some),
            None => Ok(self.db.cf_handle(table.name())),
        }
    }

    /// Whether the row is still as this reader sees it. If reading fails, that read error counts instead.
    fn is_present(&self, table: Table, key: &[u8]) -> bool {
        let Some(family) = self.db.cf_handle(table.name()) else { return false };
        let (now, seen) = (self.db.get_cf(family, key), self.db.get_cf_opt(family, key, &self.options()));
        matches!((now, seen), (Ok(now), Ok(seen)) if now == seen)
    }
}

impl Reader for RocksReader<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
        let Some(family) = self.family(table)? else { return Ok(None) };
        self.db.get_cf_opt(family, key, &self.options()).map_err(|error| self.fault(table, error))
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        let Some(family) = self.family(table)? else { return Ok(()) };
        let mut options = self.options();
        if let Some(end) = end {
            options.set_iterate_upper_bound(end);
        }
        let mut rows = self.db.raw_iterator_cf_opt(family, options);
        rows.seek(start);
        while let (Some(key), Some(value)) = (rows.key(), rows.value()) {
            if !visit(key, value)? {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(|error| self.fault(table, error))
    }

    fn scan_reverse(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let Some(family) = self.family(table)? else { return Ok(()) };
        let mut options = self.options();
        options.set_iterate_lower_bound(start);
        if let Some(end) = end {
            options.set_iterate_upper_bound(end);
        }
        let mut rows = self.db.raw_iterator_cf_opt(family, options);
        rows.seek_to_last();
        while let (Some(key), Some(value)) = (rows.key(), rows.value()) {
            if !visit(key, value)? {
                return Ok(());
            }
            rows.prev();
        }
        rows.status().map_err(|error| self.fault(table, error))
    }

    fn set_aside(&self, table: Table, key: &[u8], reason: &str) {
        let Some(tables) = self.tables else { return };
        // Rows of this table determine how all others are read, so a bad one is fatal.
        if table == Table::Meta {
            self.of.report(&Corrupt::storage(table, format!("{}: {reason}", key.escape_ascii())));
        } else {
            self.of.set_aside.note(tables, table, key, reason, || self.is_present(table, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use ordu_core::state::key;
    use ordu_proto::raft::{LogId, StoredMembership};
    use prost::Message;

    use super::*;

    fn applied(db: &RocksDb, index: u64) {
        let put = |key: &[u8], value| Write { table: Table::Meta, key: key.to_vec(), value: Some(value) };
        let log_id = LogId { term: 1, index };
        db.commit(vec![
            put(key::meta::APPLIED, log_id.encode_to_vec()),
            put(key::meta::MEMBERSHIP, StoredMembership::default().encode_to_vec()),
        ])
        .unwrap();
    }

    fn current(db: &RocksDb) -> Option<u64> {
        db.current_snapshot().unwrap().and_then(|snapshot| snapshot.meta.last_log_id).map(|id| id.index)
    }

    #[test]
    fn a_snapshot_that_was_being_built_does_not_replace_a_newer_one_that_was_installed_meanwhile() {
        let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (to, from) =
            (RocksDb::open(here.path(), true).unwrap(), RocksDb::open(there.path(), true).unwrap());
        applied(&to, 3);
        applied(&from, 9);
        let newer = from.checkpoint().unwrap();
        let header = newer.header(newer.files().unwrap());
        let mut receiver = to.receive(&header).unwrap();
        let mut chunks = newer.chunks(&header.files);
        while let Some(chunk) = chunks.read_next().unwrap() {
            receiver.write(&chunk).unwrap();
        }
        // The builder still holds the tables that the install replaces.
        let building = to.opened();
        to.install(&receiver.finish().unwrap()).unwrap();
        let late = to.build_of(&building.db).unwrap();
        assert_eq!(Some(3), late.meta.last_log_id.map(|id| id.index));
        assert_eq!(Some(9), current(&to));
        let place = late.directory().unwrap().to_owned();
        drop(late);
        assert!(!place.exists(), "what serves no one is removed");
        drop((building, to));
        assert_eq!(
            Some(9),
            current(&RocksDb::open(here.path(), true).unwrap()),
            "and the newer one is still there"
        );
    }
}
