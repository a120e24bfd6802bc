//! The format number of the agent's files below `client`. The agent reads the formats it knows, migrates older
//! ones, and refuses all others before it reads any other file.
//!
//! The number is in its own file, which earlier releases ignore; files without a number have format 1. The number
//! rises only when the previous release cannot read the files, never for new message fields. An agent can be downgraded
//! by one release, so a new format takes two releases: the first can read it but still writes the former format, the
//! second has the migration. A supervisor of the former release may keep running during a migration, so it must still
//! be able to read the files that it writes (`client/supervisor`).

use std::fs;
use std::io;
use std::path::Path;

use crate::error::Error;
use crate::files;

/// The name of the file with the number.
const FILE: &str = "format";
/// The format of files without a number.
const FIRST: u32 = 1;

/// Migrates the files in the directory `client` to the next format. Must be idempotent, as it reruns after an
/// interruption.
type Migration = fn(&Path) -> io::Result<()>;

/// The formats supported by this release.
struct Format {
    /// The number of the format that this release writes.
    number: u32,
    /// One migration for each older format, oldest first. The last one leads to `number`.
    migrations: &'static [Migration],
}

const FORMAT: Format = Format { number: FIRST, migrations: &[] };

/// Checks and migrates the files in the directory `client`, and records this release's format number.
///
/// # Errors
/// [`Error::Format`] if this release cannot read the format, in which case nothing is changed; I/O errors.
pub(crate) fn bring_up_to_date(client: &Path) -> Result<(), Error> {
    bring_up(client, &FORMAT)
}

fn bring_up(client: &Path, format: &Format) -> Result<(), Error> {
    let path = client.join(FILE);
    let noted = noted(&path)?;
    let has_files = client.join("client-id").exists();
    let found = noted.unwrap_or(if has_files { FIRST } else { format.number });
    format.check(found, client)?;
    if noted.is_none() {
        note(&path, found)?;
    }
    let behind = (format.number - found) as usize;
    let first = format.migrations.len() - behind;
    for (number, migration) in (found + 1..).zip(&format.migrations[first..]) {
        tracing::info!("migrating {} to format {number}", client.display());
        migration(client).map_err(Error::io("migrate", client))?;
        note(&path, number)?;
    }
    Ok(())
}

impl Format {
    fn check(&self, found: u32, client: &Path) -> Result<(), Error> {
        let refused = |text: String| {
            Err(Error::Format(format!(
                "the node's files in {} have format {found}, and this release {text}, or start this node with an empty \
                 data_dir: it joins as a new node then",
                client.display()
            )))
        };
        let oldest = self.number - self.migrations.len() as u32;
        if found > self.number {
            let number = self.number;
            return refused(format!("knows no format after {number}: run the release that wrote them"));
        }
        if found < oldest {
            let way_out = "run a release between the two first, which migrates them";
            return refused(format!("reads no format before {oldest}: {way_out}"));
        }
        Ok(())
    }
}

fn noted(path: &Path) -> Result<Option<u32>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    text.trim().parse().map(Some).map_err(|_| {
        Error::Format(format!(
            "{} holds no format number but {:?}: write the number into it that another node of the release has there \
             which ran here last",
            path.display(),
            text.trim()
        ))
    })
}

fn note(path: &Path, number: u32) -> Result<(), Error> {
    let text = format!("{number}\n");
    files::write_whole(path, text.as_bytes(), 0o600).map_err(Error::io("write", path))?;
    path.parent().map_or(Ok(()), files::sync_directory).map_err(Error::io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(client: &Path) -> io::Result<()> {
        fs::write(client.join("second"), "")
    }

    fn third(client: &Path) -> io::Result<()> {
        assert!(client.join("second").exists(), "one after the other");
        fs::write(client.join("third"), "")
    }

    fn fails(_: &Path) -> io::Result<()> {
        Err(io::Error::other("no room"))
    }

    const AT_THREE: Format = Format { number: 3, migrations: &[second, third] };

    /// Creates a node's files, with a format number if given.
    fn client(number: Option<&str>) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("client-id"), "").unwrap();
        if let Some(number) = number {
            fs::write(directory.path().join(FILE), number).unwrap();
        }
        directory
    }

    fn number_in(directory: &tempfile::TempDir) -> Option<u32> {
        noted(&directory.path().join(FILE)).unwrap()
    }

    #[test]
    fn a_new_node_has_this_release_s_number_and_files_without_one_have_the_first() {
        let fresh = tempfile::tempdir().unwrap();
        bring_up(fresh.path(), &AT_THREE).unwrap();
        assert_eq!((Some(3), false), (number_in(&fresh), fresh.path().join("second").exists()));
        let former = client(None);
        bring_up(former.path(), &FORMAT).unwrap();
        assert_eq!(Some(1), number_in(&former));
    }

    #[test]
    fn older_formats_are_migrated_step_by_step_and_each_step_is_noted() {
        for number in [None, Some("1\n")] {
            let directory = client(number);
            let stops = Format { number: 3, migrations: &[second, fails] };
            let error = bring_up(directory.path(), &stops).unwrap_err().to_string();
            assert!(error.contains("no room"), "{error}");
            assert_eq!(Some(2), number_in(&directory));
            bring_up(directory.path(), &AT_THREE).unwrap();
            assert_eq!((Some(3), true), (number_in(&directory), directory.path().join("third").exists()));
        }
    }

    #[test]
    fn formats_that_cannot_be_read_are_refused_in_words_and_nothing_is_changed() {
        let reads_two_and_three = Format { number: 3, migrations: &[third] };
        for (number, words) in [
            (
                Some("4\n"),
                "have format 4, and this release knows no format after 3: run the release that wrote",
            ),
            (Some("1\n"), "have format 1, and this release reads no format before 2: run a release between"),
            (None, "have format 1, and this release reads no format before 2: run a release between"),
            (Some(""), "holds no format number but \"\""),
            (Some("two"), "holds no format number but \"two\""),
        ] {
            let directory = client(number);
            let text = bring_up(directory.path(), &reads_two_and_three).unwrap_err().to_string();
            assert!(text.contains(words) && text.contains(&directory.path().display().to_string()), "{text}");
            assert_eq!(number.is_some(), directory.path().join(FILE).exists());
            assert!(!directory.path().join("third").exists());
        }
    }
}
