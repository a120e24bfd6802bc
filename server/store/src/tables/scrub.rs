//! Reads all tables from beginning to end, to find bad blocks before they are needed.

use std::io;

use rocksdb::{DB, ReadOptions};

/// Approximate number of bytes read between two calls of `pace`. An iterator keeps obsolete files from being
/// removed, so none lives longer than that.
const SLICE_BYTES: usize = 1024 * 1024;

/// Reads all rows of the given column families and verifies the checksums of their blocks. Returns false if
/// `pace` returned false.
///
/// # Errors
/// The first bad block, as reported by RocksDB, with its file.
pub(super) fn read_all(
    db: &DB,
    families: &[String],
    pace: &mut dyn FnMut(usize) -> bool,
) -> io::Result<bool> {
    for name in families {
        let Some(family) = db.cf_handle(name) else { continue };
        let mut from = Some(Vec::new());
        while let Some(start) = from.take() {
            let mut options = ReadOptions::default();
            options.set_verify_checksums(true);
            // Do not evict blocks that others need.
            options.fill_cache(false);
            let mut rows = db.raw_iterator_cf_opt(family, options);
            let mut bytes = 0;
            rows.seek(&start);
            while let Some((key, value)) = rows.item() {
                bytes += key.len() + value.len();
                if bytes >= SLICE_BYTES {
                    // The smallest possible next key.
                    from = Some([key, &[0]].concat());
                    break;
                }
                rows.next();
            }
            if from.is_none() {
                rows.status().map_err(io::Error::other)?;
            }
            if !pace(bytes) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
