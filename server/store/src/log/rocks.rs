//! The raft log in RocksDB.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{
    BlockBasedOptions, ColumnFamilyDescriptor, DB, DBRecoveryMode, Direction, IteratorMode, Options,
    ReadOptions, WriteBatch, WriteOptions,
};

use super::record::RecordFile;
use super::{LogBatch, LogDb, Marker, Syncing};
use crate::codec::invalid;
use crate::damage::WAY_OUT;
use crate::families;

const ENTRIES: &str = "entries";
const MARKERS: &str = "markers";

/// Size of a memtable in bytes. Entries that are purged while they are still in a memtable are never written to
/// a table file.
const MEMTABLE_BYTES: usize = 16 * 1024 * 1024;

/// The raft log in its own RocksDB, with its record in a file beside it.
pub struct RocksLog {
    db: DB,
    record: RecordFile,
    path: PathBuf,
    writes: AtomicU64,
}

impl RocksLog {
    /// Opens the log in `path`; creates it if missing and `may_create` is set.
    ///
    /// # Errors
    /// If the log is missing, locked by another process, damaged or not writable.
    pub fn open(path: &Path, may_create: bool) -> io::Result<Self> {
        let unusable = |error: rocksdb::Error| io::Error::other(format!("{error}. {WAY_OUT}"));
        let mut options = Options::default();
        options.create_if_missing(may_create);
        options.create_missing_column_families(may_create);
        // A record at the end of the write-ahead log torn by a power loss was never acknowledged, so it may be dropped.
        // Anything else wrong with the write-ahead log is damage; without these settings, RocksDB silently drops
        // everything after it.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_recycle_log_file_num(0);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_paranoid_checks(true);
        // Writes stay in the process's buffer until the flusher writes and syncs them for all waiting jobs; nothing is
        // acknowledged before.
        options.set_manual_wal_flush(true);
        options.set_max_total_wal_size(4 * MEMTABLE_BYTES as u64);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        options.set_max_open_files(64);
        let names = families::known_and_unknown(&[ENTRIES, MARKERS], path).map_err(unusable)?;
        let families = names.iter().map(|name| {
            let mut options = Options::default();
            options.set_write_buffer_size(MEMTABLE_BYTES);
            options.set_max_write_buffer_number(3);
            let mut table = BlockBasedOptions::default();
            table.set_block_cache(&rocksdb::Cache::new_lru_cache(2 * 1024 * 1024));
            options.set_block_based_table_factory(&table);
            ColumnFamilyDescriptor::new(name, options)
        });
        let db = DB::open_cf_descriptors(&options, path, families).map_err(unusable)?;
        let record = RecordFile::open(&path.with_extension("record"), may_create)
            .map_err(|error| io::Error::new(error.kind(), format!("{error}. {WAY_OUT}")))?;
        Ok(Self { db, record, path: path.to_owned(), writes: AtomicU64::new(0) })
    }

    fn family(&self, name: &str) -> io::Result<&rocksdb::ColumnFamily> {
        self.db.cf_handle(name).ok_or_else(|| invalid(format!("the raft log has no column family {name}")))
    }
}

impl LogDb for RocksLog {
    fn write(&self, batch: LogBatch) -> io::Result<u64> {
        let (entries, markers) = (self.family(ENTRIES)?, self.family(MARKERS)?);
        let mut writes = WriteBatch::default();
        if let Some((start, end)) = batch.remove {
            // The end of the range is excluded; the index `u64::MAX` is never used.
            writes.delete_range_cf(entries, start.to_be_bytes(), end.to_be_bytes());
        }
        for (index, bytes) in &batch.entries {
            writes.put_cf(entries, index.to_be_bytes(), bytes);
        }
        if let Some((marker, bytes)) = &batch.marker {
            writes.put_cf(markers, marker.key(), bytes);
        }
        // Unsynced: the flusher syncs once for all waiting jobs.
        self.db.write_opt(writes, &WriteOptions::default()).map_err(io::Error::other)?;
        Ok(self.writes.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn sync(&self) -> io::Result<()> {
        self.db.flush_wal(true).map_err(io::Error::other)
    }

    fn syncing(&self) -> Syncing {
        Syncing::Blocks
    }

    fn reclaim(&self, end: u64) -> io::Result<()> {
        // Only deletes whole files, but at once; otherwise RocksDB keeps them until a compaction, which temporarily
        // takes even more space. Rows in files that stay are hidden by the newest range deletion. That deletion reaches
        // to `end`, so the file that contains it is not deleted here; and as this is called before the next write, it
        // is usually still in memory.
        let entries = self.family(ENTRIES)?;
        let last = end.saturating_sub(1).to_be_bytes();
        self.db.delete_file_in_range_cf(entries, 0u64.to_be_bytes(), last).map_err(io::Error::other)
    }

    fn record(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.record.content())
    }

    fn write_record(&self, record: &[u8]) -> io::Result<()> {
        self.record.write(record)
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn marker(&self, marker: Marker) -> io::Result<Option<Vec<u8>>> {
        self.db.get_cf(self.family(MARKERS)?, marker.key()).map_err(io::Error::other)
    }

    fn entries(
        &self,
        start: u64,
        end: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>,
    ) -> io::Result<()> {
        if start >= end {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(end.to_be_bytes());
        let first = start.to_be_bytes();
        let mode = IteratorMode::From(&first, Direction::Forward);
        for row in self.db.iterator_cf_opt(self.family(ENTRIES)?, options, mode) {
            let (key, bytes) = row.map_err(io::Error::other)?;
            if !visit(index_of(&key)?, &bytes)? {
                break;
            }
        }
        Ok(())
    }

    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut rows = self.db.iterator_cf(self.family(ENTRIES)?, IteratorMode::End);
        let Some(row) = rows.next() else { return Ok(None) };
        let (key, bytes) = row.map_err(io::Error::other)?;
        Ok(Some((index_of(&key)?, bytes.into_vec())))
    }
}

fn index_of(key: &[u8]) -> io::Result<u64> {
    let bytes = key.try_into().map_err(|_| invalid(format!("a log key of {} bytes", key.len())))?;
    Ok(u64::from_be_bytes(bytes))
}
