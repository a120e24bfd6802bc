//! Reads tables from one end to the other, so that a block that went bad is met before it is needed.

use std::io;

use rocksdb::{DB, ReadOptions};

/// Bytes that are read between two calls of the pace, about; an iterator keeps what it reads from being removed,
/// so none lives longer than that.
const SLICE_BYTES: usize = 1024 * 1024;

/// Reads all rows of some column families with the checksums of their blocks. Answers false where `pace` did not want to go on.
///
/// # Errors
/// The first bad block, as RocksDB tells it: with the file.
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
            // What is read for its own sake is not what others need again.
            options.fill_cache(false);
            let mut rows = db.raw_iterator_cf_opt(family, options);
            let mut bytes = 0;
            rows.seek(&start);
            while let Some((key, value)) = rows.item() {
                bytes += key.len() + value.len();
                if bytes >= SLICE_BYTES {
                    // The next key there can be.
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
