//! The column families of a database on disk: those that this release knows, and those that a newer release
//! created before the server went back to this release. RocksDB opens a database for writing only with all of
//! its families.

use std::path::Path;

use rocksdb::{DB, DEFAULT_COLUMN_FAMILY_NAME, Error, Options};

/// Returns the families of the database in `path`, without RocksDB's default one; none if there is no database.
pub(crate) fn present(path: &Path) -> Result<Vec<String>, Error> {
    if !path.join("CURRENT").exists() {
        return Ok(Vec::new());
    }
    let mut names = DB::list_cf(&Options::default(), path)?;
    names.retain(|name| name != DEFAULT_COLUMN_FAMILY_NAME);
    Ok(names)
}

/// Returns the families in `known`, followed by unknown ones that a newer release created in the database in
/// `path`.
pub(crate) fn known_and_unknown(known: &[&str], path: &Path) -> Result<Vec<String>, Error> {
    let mut unknown = present(path)?;
    unknown.retain(|name| !known.contains(&name.as_str()));
    if !unknown.is_empty() {
        let (path, names) = (path.display(), unknown.join(", "));
        tracing::info!("{path} has column families of a newer release, which are kept: {names}");
    }
    Ok(known.iter().map(|name| (*name).to_owned()).chain(unknown).collect())
}
