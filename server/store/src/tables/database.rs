//! A database of state tables on disk, opened with all column families that it has.

use std::io;
use std::ops::Deref;
use std::path::Path;

use ordu_core::state::Table;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, Error, FlushOptions, Options,
    WriteBufferManager,
};

use super::scrub;
use crate::families;

/// Memory for unflushed writes, in bytes. It bounds what a restart has to replay.
const WRITE_BUFFER_BYTES: usize = 32 * 1024 * 1024;
/// Block cache, in bytes. `apply` reads rows all over the tables; each uncached block costs it, and so Raft's
/// threads, a decompression.
const BLOCK_CACHE_BYTES: usize = 128 * 1024 * 1024;

/// A RocksDB with the names of its column families: those of the tables, and those of a newer release.
pub(super) struct Database {
    db: DB,
    families: Vec<String>,
}

impl Deref for Database {
    type Target = DB;

    fn deref(&self) -> &DB {
        &self.db
    }
}

impl Database {
    /// Opens the database in `path`; creates it if missing and `may_create` is set. Creates missing column
    /// families, which are tables that the release that last wrote the database did not have.
    ///
    /// # Errors
    /// If the database is missing, in use, damaged or not writable.
    pub(super) fn open(path: &Path, may_create: bool) -> io::Result<Self> {
        let families =
            families::known_and_unknown(&Table::ALL.map(Table::name), path).map_err(io::Error::other)?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let descriptors = families.iter().map(|name| {
            let mut blocks = BlockBasedOptions::default();
            blocks.set_block_cache(&cache);
            blocks.set_bloom_filter(10.0, false);
            blocks.set_cache_index_and_filter_blocks(true);
            blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
            let mut options = Options::default();
            options.set_block_based_table_factory(&blocks);
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_write_buffer_size(WRITE_BUFFER_BYTES / 2);
            ColumnFamilyDescriptor::new(name, options)
        });
        let mut options = options();
        options.create_if_missing(may_create);
        let db = DB::open_cf_descriptors(&options, path, descriptors).map_err(io::Error::other)?;
        Ok(Self { db, families })
    }

    /// Opens a checkpoint without changing its files. It lacks tables that its release did not have.
    pub(super) fn open_read_only(path: &Path) -> Result<Self, Error> {
        let families = families::present(path)?;
        let db = DB::open_cf_for_read_only(&options(), path, &families, false)?;
        Ok(Self { db, families })
    }

    /// Makes all earlier writes durable: flushes all column families together, so that all are as of the same
    /// write.
    pub(super) fn flush_all(&self) -> Result<(), Error> {
        let families: Vec<_> = self.families.iter().filter_map(|name| self.db.cf_handle(name)).collect();
        self.db.flush_cfs_opt(&families, &FlushOptions::default())
    }

    pub(super) fn read_all(&self, pace: &mut dyn FnMut(usize) -> bool) -> io::Result<bool> {
        scrub::read_all(&self.db, &self.families, pace)
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_max_open_files(256);
    options
        .set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(WRITE_BUFFER_BYTES, false));
    options
}
