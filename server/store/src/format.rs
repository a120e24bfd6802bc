//! Format numbers of a server's files. A release opens the formats that it knows, migrates older ones, and
//! refuses all others before it opens any file.
//!
//! The numbers of the raft log and of the state tables are in the identity file, because it is read first, has
//! a checksum, and nothing is opened without it. The number of a snapshot's tables is in its header, on disk
//! and on the wire. Releases without format numbers ignore them; files without a number have format 1.
//!
//! A number is raised when the previous release cannot read the new files. New column families, rows and
//! message fields do not raise it. Because a server must be able to go back to the previous release, a new
//! format takes two releases: the first can read it but still writes the old one; the second has the migration.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::damage::WAY_OUT;
use crate::identity::{Identity, IdentityStore};
use crate::tables::RocksDb;

/// The format of files without a number.
pub const FIRST: u32 = 1;

/// Migrates the database in a directory from one format to the next. It runs again if it was interrupted.
pub type Migration = fn(&Path) -> io::Result<()>;

/// The formats of one kind of files that this release knows.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The format that this release writes.
    pub number: u32,
    /// One migration for each older format that can still be read, oldest first. The last one results in format
    /// `number`.
    pub migrations: &'static [Migration],
}

/// The format of the raft log and of the record file beside it.
pub const LOG: Format = Format { number: FIRST, migrations: &[] };
/// The format of the state tables and of snapshots, which are copies of them.
pub const TABLES: Format = Format { number: FIRST, migrations: &[] };

impl Format {
    /// Checks whether this release can read `what`, whose format is `found`.
    ///
    /// # Errors
    /// An error of the kind [`io::ErrorKind::Unsupported`] if the format is newer or too old.
    pub fn check(&self, found: u32, what: impl Display) -> io::Result<()> {
        let unsupported = |text| Err(io::Error::new(io::ErrorKind::Unsupported, text));
        let oldest = self.number - self.migrations.len() as u32;
        if found > self.number {
            return unsupported(format!(
                "{what} has format {found}, and this release knows no format after {}: run the release that wrote it, \
                 or a later one",
                self.number
            ));
        }
        if found < oldest {
            return unsupported(format!(
                "{what} has format {found}, and this release reads no format before {oldest}: run a release between \
                 the two first, which migrates it"
            ));
        }
        Ok(())
    }

    /// Migrates the database in `directory`, if there is one, from the format `found`, which must have passed
    /// [`Format::check`]. Calls `done` with the new format number after each step.
    ///
    /// # Errors
    /// Those of the migrations and of `done`.
    pub fn migrate(
        &self,
        found: u32,
        directory: Option<&Path>,
        mut done: impl FnMut(u32) -> io::Result<()>,
    ) -> io::Result<()> {
        let behind = self.number.saturating_sub(found) as usize;
        let first = self.migrations.len().saturating_sub(behind);
        for (number, migration) in (found + 1..).zip(&self.migrations[first..]) {
            if let Some(directory) = directory {
                tracing::info!("migrating {} to format {number}", directory.display());
                migration(directory)?;
            }
            done(number)?;
        }
        Ok(())
    }
}

/// Checks and migrates the databases of the server with this `identity` in `data_dir`, before any of them is
/// opened. Returns its identity with this release's format numbers.
///
/// # Errors
/// An error of the kind [`io::ErrorKind::Unsupported`] if this release cannot read a format; then nothing is
/// changed. Errors of the disk.
pub fn bring_up_to_date(
    data_dir: &Path,
    identities: &dyn IdentityStore,
    identity: Identity,
) -> io::Result<Identity> {
    bring_up(data_dir, identities, identity, (&LOG, &TABLES))
}

fn bring_up(
    data_dir: &Path,
    identities: &dyn IdentityStore,
    mut identity: Identity,
    (log, tables): (&Format, &Format),
) -> io::Result<Identity> {
    let (log_path, tables_path) = (data_dir.join("raft-log"), data_dir.join("tables"));
    // Check both before either is changed.
    check_in(log, identity.log_format, "the raft log", &log_path)?;
    check_in(tables, identity.tables_format, "the database of the state tables", &tables_path)?;
    let log_directory = log_path.is_dir().then_some(log_path.as_path());
    log.migrate(identity.log_format, log_directory, |number| {
        identity.log_format = number;
        identities.save(&identity)
    })?;
    if identity.tables_format < tables.number {
        let in_use = RocksDb::in_use(&tables_path)?;
        tables.migrate(identity.tables_format, in_use.as_deref(), |number| {
            identity.tables_format = number;
            identities.save(&identity)
        })?;
    }
    Ok(identity)
}

/// Runs [`Format::check`] for a database in a server's data directory.
fn check_in(format: &Format, found: u32, what: &str, path: &Path) -> io::Result<()> {
    let checked = format.check(found, format!("{what} in {}", path.display()));
    checked.map_err(|error| io::Error::new(error.kind(), format!("{error}. {WAY_OUT}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityFile;

    /// Creates a file in the directory as evidence of the call.
    fn second(directory: &Path) -> io::Result<()> {
        std::fs::write(directory.join("second"), "")
    }

    fn third(directory: &Path) -> io::Result<()> {
        assert!(directory.join("second").exists(), "one after the other");
        std::fs::write(directory.join("third"), "")
    }

    fn fails(_: &Path) -> io::Result<()> {
        Err(io::Error::other("no room"))
    }

    const AT_THREE: Format = Format { number: 3, migrations: &[second, third] };

    /// Returns a data directory whose identity has these formats, with empty database directories.
    fn prepared(log_format: u32, tables_format: u32) -> (tempfile::TempDir, IdentityFile) {
        let directory = tempfile::tempdir().unwrap();
        let identities = IdentityFile::new(directory.path());
        let drawn = identities.load().unwrap();
        identities.save(&Identity { log_format, tables_format, is_prepared: true, ..drawn }).unwrap();
        for database in ["raft-log", "tables/state-1"] {
            std::fs::create_dir_all(directory.path().join(database)).unwrap();
        }
        std::fs::write(directory.path().join("tables/state-current"), "state-1").unwrap();
        (directory, identities)
    }

    fn opened(
        directory: &tempfile::TempDir,
        identities: &IdentityFile,
        formats: (&Format, &Format),
    ) -> io::Result<Identity> {
        bring_up(directory.path(), identities, identities.load()?, formats)
    }

    fn exists(directory: &tempfile::TempDir, names: [&str; 2]) -> [bool; 2] {
        names.map(|name| directory.path().join(name).exists())
    }

    #[test]
    fn older_formats_are_migrated_step_by_step_and_each_step_is_noted() {
        let (directory, identities) = prepared(1, 2);
        std::fs::write(directory.path().join("tables/state-1/second"), "").unwrap();
        let identity = opened(&directory, &identities, (&AT_THREE, &AT_THREE)).unwrap();
        assert_eq!((3, 3), (identity.log_format, identity.tables_format));
        assert_eq!(identity, identities.load().unwrap());
        assert_eq!([true, true], exists(&directory, ["raft-log/third", "tables/state-1/third"]));

        let (directory, identities) = prepared(1, 1);
        let stops = Format { number: 3, migrations: &[second, fails] };
        let error = opened(&directory, &identities, (&stops, &TABLES)).unwrap_err();
        assert_eq!("no room", error.to_string());
        assert_eq!((2, 1), {
            let noted = identities.load().unwrap();
            (noted.log_format, noted.tables_format)
        });
        // The next start continues after the completed step.
        std::fs::remove_file(directory.path().join("raft-log/second")).unwrap();
        let goes_on = Format { number: 3, migrations: &[fails, second] };
        let identity = opened(&directory, &identities, (&goes_on, &TABLES)).unwrap();
        assert_eq!((3, 1), (identity.log_format, identity.tables_format));
    }

    #[test]
    fn a_server_without_databases_has_the_formats_of_the_release_that_makes_them() {
        let directory = tempfile::tempdir().unwrap();
        let identities = IdentityFile::new(directory.path());
        let identity = opened(&directory, &identities, (&AT_THREE, &AT_THREE)).unwrap();
        assert_eq!((3, 3), (identity.log_format, identity.tables_format));
    }

    #[test]
    fn formats_that_cannot_be_read_are_refused_in_words_and_nothing_is_changed() {
        let reads_two_and_three = Format { number: 3, migrations: &[second] };
        for (log_format, tables_format, words) in [
            (4, 2, "has format 4, and this release knows no format after 3: run the release that wrote it"),
            (2, 4, "has format 4, and this release knows no format after 3: run the release that wrote it"),
            (1, 2, "has format 1, and this release reads no format before 2: run a release between the two"),
            (2, 1, "has format 1, and this release reads no format before 2: run a release between the two"),
        ] {
            let (directory, identities) = prepared(log_format, tables_format);
            let formats = (&reads_two_and_three, &reads_two_and_three);
            let error = opened(&directory, &identities, formats).unwrap_err();
            assert_eq!(io::ErrorKind::Unsupported, error.kind());
            let (text, database) = (error.to_string(), if log_format == 2 { "tables" } else { "raft-log" });
            let place = directory.path().join(database).display().to_string();
            assert!([words, &place, WAY_OUT].iter().all(|words| text.contains(words)), "{text}");
            assert_eq!([false, false], exists(&directory, ["raft-log/second", "tables/state-1/second"]));
        }
    }
}
