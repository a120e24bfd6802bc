//! The format numbers of a server's files: this release opens the formats that it knows, migrates older ones, and
//! refuses all others before anything is opened.
//!
//! The numbers of the raft log and of the state tables are in the identity, since that is read first, has a checksum,
//! and nothing is opened without it. A snapshot has the number of its tables in its header, on the disk and on its way
//! to another server. Releases from before these numbers ignore them; files without a number have format 1.
//!
//! A number rises when the release before cannot read the files. New column families, new rows and new fields of
//! messages do not raise it. A server can go back to the release before, so a new format takes two releases: the first
//! one reads it and still writes the former one, the next one has the migration.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::damage::WAY_OUT;
use crate::identity::{Identity, IdentityStore};
use crate::tables::RocksDb;

/// The format of files without a number.
pub const FIRST: u32 = 1;

/// Changes the database in a directory from one format to the next. One that is interrupted runs again.
pub type Migration = fn(&Path) -> io::Result<()>;

/// What this release knows of the format of some files.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The number that this release writes.
    pub number: u32,
    /// One for each older format that can still be read, from the oldest on. The last one leads to `number`.
    pub migrations: &'static [Migration],
}

/// Of the raft log with the record beside it.
pub const LOG: Format = Format { number: FIRST, migrations: &[] };
/// Of the state tables, and of snapshots, which are copies of them.
pub const TABLES: Format = Format { number: FIRST, migrations: &[] };

impl Format {
    /// Whether this release can read `what`, which has the format `found`.
    ///
    /// # Errors
    /// A sentence of the kind [`io::ErrorKind::Unsupported`], for a format that is newer or too old.
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

    /// Migrates the database in `directory`, if there is one, from the format `found`, which was checked. Calls `done`
    /// with each number that it has then.
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

/// Checks and migrates what the server of `identity` has in `data_dir`, before any of it is opened. Answers its
/// identity, which has this release's numbers then.
///
/// # Errors
/// A sentence of the kind [`io::ErrorKind::Unsupported`] where this release cannot read a format, and nothing is changed
/// then; errors of the disk.
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
    // Both before anything is changed.
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

/// As [`Format::check`], of what stands in a server's data directory.
fn check_in(format: &Format, found: u32, what: &str, path: &Path) -> io::Result<()> {
    let checked = format.check(found, format!("{what} in {}", path.display()));
    checked.map_err(|error| io::Error::new(error.kind(), format!("{error}. {WAY_OUT}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IdentityFile;

    /// Notes in a directory that it was called for it.
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

    /// A server's data directory whose files have these formats, as far as it is of interest here.
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
        // The next start goes on behind the step that was made.
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
