//! Files of other releases: unreadable formats are refused, unknown column families are kept, and missing ones
//! are created.

use std::io;
use std::path::{Path, PathBuf};

use ordu_proto::raft::SnapshotHeader;
use ordu_store::damage::WAY_OUT;
use ordu_store::format;
use ordu_store::identity::{Identity, IdentityFile, IdentityStore};
use ordu_store::log::{LogBatch, LogDb, Marker, RocksLog};
use ordu_store::tables::{MemoryDb, RocksDb};
use rocksdb::{DB, Options};

use super::snapshots::{rocks, transfer};
use super::*;

/// A column family of a future release, and the size of its row.
const LATER: &str = "later";
const LATER_BYTES: usize = 50_000;

/// Changes a database as another release would.
fn by_another_release(path: &Path, change: impl FnOnce(&mut DB)) {
    let families = DB::list_cf(&Options::default(), path).unwrap();
    let mut db = DB::open_cf(&Options::default(), path, families).unwrap();
    change(&mut db);
}

fn add_later(path: &Path) {
    by_another_release(path, |db| {
        db.create_cf(LATER, &Options::default()).unwrap();
        db.put_cf(db.cf_handle(LATER).unwrap(), b"key", vec![7; LATER_BYTES]).unwrap();
    });
}

fn has_later(path: &Path) -> bool {
    let db = DB::open_cf_for_read_only(&Options::default(), path, [LATER], false).unwrap();
    let row = db.get_cf(db.cf_handle(LATER).unwrap(), b"key").unwrap();
    row == Some(vec![7; LATER_BYTES])
}

fn in_use(root: &Path) -> PathBuf {
    RocksDb::in_use(root).unwrap().unwrap()
}

/// Returns the hash of the tables after the registrations 1 to `last`.
fn hash_after(last: u64) -> [u8; 32] {
    let db = MemoryDb::default();
    register(&db, 1..=last);
    hash(&db)
}

#[test]
fn column_families_of_a_newer_release_are_kept_wherever_the_tables_go() {
    let (directory, db) = rocks();
    register(&db, 1..=10);
    db.flush().unwrap();
    drop(db);
    add_later(&in_use(directory.path()));

    let db = RocksDb::open(directory.path(), false).unwrap();
    assert_eq!(hash_after(10), hash(&db), "they are no part of the state");
    register(&db, 11..=20);
    db.flush().unwrap();
    let mut scrubbed_bytes = 0;
    db.scrub(&mut |bytes| {
        scrubbed_bytes += bytes;
        true
    })
    .unwrap();
    assert!(scrubbed_bytes > LATER_BYTES, "{scrubbed_bytes}");
    let snapshot = db.checkpoint().unwrap();
    assert!(has_later(snapshot.directory().unwrap()));

    let (other, to) = rocks();
    let received = transfer(&snapshot, &to);
    to.check_received(&received).unwrap();
    to.install(&received).unwrap();
    drop(received);
    register(&to, 21..=25);
    let passed_on = to.checkpoint().unwrap();
    assert!(has_later(passed_on.directory().unwrap()));
    assert_eq!(hash_after(25), hash(&to));
    drop((db, to));
    for (root, last) in [(&directory, 20), (&other, 25)] {
        assert!(has_later(&in_use(root.path())));
        assert_eq!(hash_after(last), hash(&RocksDb::open(root.path(), false).unwrap()));
    }
}

#[test]
fn a_column_family_of_a_newer_release_in_the_log_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("raft-log");
    let write = |log: &RocksLog, bytes: &[u8]| {
        log.write(LogBatch { marker: Some((Marker::Vote, bytes.to_vec())), ..LogBatch::default() }).unwrap();
        log.sync().unwrap();
    };
    let log = RocksLog::open(&path, true).unwrap();
    log.write_record(b"record").unwrap();
    write(&log, b"first");
    drop(log);
    add_later(&path);
    let log = RocksLog::open(&path, false).unwrap();
    assert_eq!(Some(b"first".to_vec()), log.marker(Marker::Vote).unwrap());
    write(&log, b"second");
    drop(log);
    assert!(has_later(&path));
    assert_eq!(Some(b"second".to_vec()), RocksLog::open(&path, false).unwrap().marker(Marker::Vote).unwrap());
}

#[test]
fn tables_that_an_older_release_did_not_have_come_into_being_on_open_and_after_its_snapshot() {
    const ADDED: Table = Table::SpecUses;
    let drop_added = |path: &Path| by_another_release(path, |db| db.drop_cf(ADDED.name()).unwrap());
    let write = |db: &dyn TablesDb| {
        db.commit(vec![Write { table: ADDED, key: b"key".to_vec(), value: Some(b"row".to_vec()) }]).unwrap();
        db.flush().unwrap();
        let row = tables::read(db, |reader| reader.get(ADDED, b"key").unwrap());
        assert_eq!(Some(b"row".to_vec()), row);
    };
    let (directory, db) = rocks();
    register(&db, 1..=10);
    let snapshot = db.checkpoint().unwrap();
    drop(db);
    drop_added(&in_use(directory.path()));
    drop_added(snapshot.directory().unwrap());

    let (other, to) = rocks();
    let received = transfer(&snapshot, &to);
    to.check_received(&received).unwrap();
    to.install(&received).unwrap();
    let opened = RocksDb::open(directory.path(), false).unwrap();
    opened.scrub(&mut |_| true).unwrap();
    for (db, root) in [(to, other), (opened, directory)] {
        assert_eq!((10, hash_after(10)), (applied(&db), hash(&db)));
        write(&db);
        drop(db);
        write(&RocksDb::open(root.path(), false).unwrap());
    }
}

/// Changes the header in a snapshot's directory.
fn set_header(path: &Path, change: impl FnOnce(&mut SnapshotHeader)) {
    let file = path.join("ordu-snapshot");
    let bytes = std::fs::read(&file).unwrap();
    let mut header = SnapshotHeader::decode(&bytes[..bytes.len() - 4]).unwrap();
    change(&mut header);
    let mut bytes = header.encode_to_vec();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn log_and_tables_of_a_newer_format_are_refused_before_they_are_opened() {
    for newer in ["raft-log", "tables"] {
        let directory = tempfile::tempdir().unwrap();
        let identities = IdentityFile::new(directory.path());
        let drawn = identities.load().unwrap();
        let found = match newer {
            "raft-log" => Identity { log_format: format::LOG.number + 1, ..drawn },
            _ => Identity { tables_format: format::TABLES.number + 1, ..drawn },
        };
        let error = format::bring_up_to_date(directory.path(), &identities, found).unwrap_err();
        assert_eq!(io::ErrorKind::Unsupported, error.kind());
        let (text, place) = (error.to_string(), directory.path().join(newer).display().to_string());
        for words in [
            &place,
            "has format 2",
            "no format after 1",
            "run the release that wrote it, or a later one",
            WAY_OUT,
        ] {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
    }
}

#[test]
fn a_snapshot_of_a_newer_format_is_refused_on_the_disk_and_on_its_way() {
    let (directory, db) = rocks();
    register(&db, 1..=10);
    let snapshot = db.checkpoint().unwrap();
    let place = snapshot.directory().unwrap().to_owned();
    let mut header = snapshot.header(snapshot.files().unwrap());
    assert_eq!(format::TABLES.number, header.format);
    header.format += 1;
    let (other, to) = rocks();
    for to in [&to as &dyn TablesDb, &MemoryDb::default()] {
        let error = to.receive(&header).err().unwrap();
        assert_eq!(io::ErrorKind::Unsupported, error.kind());
        let words =
            "the snapshot that another server sends has format 2, and this release knows no format after 1";
        assert!(error.to_string().contains(words), "{error}");
    }
    let left = std::fs::read_dir(other.path()).unwrap().count();
    assert_eq!(2, left, "nothing but the tables in use and their name");

    drop(db);
    set_header(&place, |header| header.format += 1);
    let error = RocksDb::open(directory.path(), false).err().unwrap();
    let text = error.to_string();
    let words = format!("the snapshot in {} has format 2", place.display());
    assert!(text.contains(&words) && text.contains(WAY_OUT), "{text}");
    assert!(place.is_dir(), "it is left alone");
}

#[test]
fn a_snapshot_without_a_format_is_one_of_the_first_releases_and_is_taken() {
    let (directory, db) = rocks();
    register(&db, 1..=10);
    let snapshot = db.checkpoint().unwrap();
    let place = snapshot.directory().unwrap().to_owned();
    drop(db);
    set_header(&place, |header| header.format = 0);
    let db = RocksDb::open(directory.path(), false).unwrap();
    assert_eq!(Some(snapshot.meta), db.current_snapshot().unwrap().map(|current| current.meta));

    let current = db.current_snapshot().unwrap().unwrap();
    let files = current.files().unwrap();
    let header = SnapshotHeader { format: 0, ..current.header(files.clone()) };
    let (_other, to) = rocks();
    let mut receiver = to.receive(&header).unwrap();
    let mut chunks = current.chunks(&files);
    while let Some(chunk) = chunks.read_next().unwrap() {
        receiver.write(&chunk).unwrap();
    }
    let received = receiver.finish().unwrap();
    to.check_received(&received).unwrap();
    to.install(&received).unwrap();
    assert_eq!((10, hash_after(10)), (applied(&to), hash(&to)));
}
