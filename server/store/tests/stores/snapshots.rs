//! Snapshots: taken, sent, received and installed; and interruptions of each step.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use ordu_core::command::FEATURE_LEVEL;
use ordu_proto::raft::SnapshotHeader;
use ordu_proto::state::ClusterMeta;
use ordu_store::snapshot::SnapshotData;
use ordu_store::tables::{MemoryDb, RocksDb};

use super::*;

fn header(snapshot: &SnapshotData) -> SnapshotHeader {
    snapshot.header(snapshot.files().unwrap())
}

fn bytes(snapshot: &SnapshotData) -> Vec<u8> {
    let mut chunks = snapshot.chunks(&snapshot.files().unwrap());
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.read_next().unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// Sends a snapshot in pieces that do not match the boundaries of its files.
pub(crate) fn transfer(snapshot: &SnapshotData, to: &dyn TablesDb) -> SnapshotData {
    let mut receiver = to.receive(&header(snapshot)).unwrap();
    for piece in bytes(snapshot).chunks(777) {
        receiver.write(piece).unwrap();
    }
    receiver.finish().unwrap()
}

fn names(path: &Path) -> BTreeSet<String> {
    let kinds = std::fs::read_dir(path).unwrap().map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "state-current" { name } else { name.split('-').next().unwrap().to_owned() }
    });
    kinds.collect()
}

fn expected(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

pub(crate) fn rocks() -> (tempfile::TempDir, RocksDb) {
    let directory = tempfile::tempdir().unwrap();
    let db = RocksDb::open(directory.path(), true).unwrap();
    (directory, db)
}

#[test]
fn a_snapshot_that_was_sent_and_installed_is_the_same_state() {
    let (_from_directory, from) = rocks();
    register(&from, 1..=50);
    let snapshot = from.checkpoint().unwrap();
    let taken = hash(&from);
    register(&from, 51..=60);
    let (directory, to) = rocks();
    register(&to, 1000..=1005);
    let received = transfer(&snapshot, &to);
    assert_eq!(snapshot.meta, received.meta);
    to.install(&received).unwrap();
    drop(received);
    assert_eq!((50, taken), (applied(&to), hash(&to)));
    assert_eq!(Some(&snapshot.meta), to.current_snapshot().unwrap().as_ref().map(|current| &current.meta));
    assert_eq!(expected(&["state", "state-current", "snapshot"]), names(directory.path()));
    // Registrations continue from there, and the state is the same after a restart.
    register(&to, 51..=60);
    to.flush().unwrap();
    assert_eq!(hash(&from), hash(&to));
    drop(to);
    let to = RocksDb::open(directory.path(), true).unwrap();
    assert_eq!((60, hash(&from)), (applied(&to), hash(&to)));
    assert_eq!(Some(snapshot.meta), to.current_snapshot().unwrap().map(|current| current.meta));
}

#[test]
fn a_snapshot_in_memory_is_sent_and_installed_too() {
    let (from, to) = (MemoryDb::default(), MemoryDb::default());
    register(&from, 1..=9);
    let snapshot = from.checkpoint().unwrap();
    to.install(&transfer(&snapshot, &to)).unwrap();
    assert_eq!((9, hash(&from)), (applied(&to), hash(&to)));
}

#[test]
fn a_snapshot_of_a_cluster_at_a_level_that_is_not_known_is_refused_before_it_is_installed() {
    let at_level = |from: &dyn TablesDb, to: &dyn TablesDb, feature_level| {
        register(from, 1..=9);
        let cluster = ClusterMeta {
            feature_level,
            ..tables::read(from, |reader| state_read::cluster_meta(reader).unwrap())
        };
        let row = (key::meta::CLUSTER.to_vec(), Some(cluster.encode_to_vec()));
        from.commit(vec![Write { table: Table::Meta, key: row.0, value: row.1 }]).unwrap();
        to.check_received(&transfer(&from.checkpoint().unwrap(), to))
    };
    let ((_one, rocks_from), (_other, rocks_to)) = (rocks(), rocks());
    let (memory_from, memory_to) = (MemoryDb::default(), MemoryDb::default());
    let pairs: [(&dyn TablesDb, &dyn TablesDb); 2] = [(&rocks_from, &rocks_to), (&memory_from, &memory_to)];
    for (from, to) in pairs {
        at_level(from, to, FEATURE_LEVEL).unwrap();
        let error = at_level(from, to, FEATURE_LEVEL + 1).unwrap_err();
        let words = format!("at feature level {}", FEATURE_LEVEL + 1);
        assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains(&words), "{error}");
    }
}

#[test]
fn a_checkpoint_makes_everything_before_it_durable() {
    const NAME: &str = "snapshots::a_checkpoint_makes_everything_before_it_durable";
    if let Some(directory) = child::directory() {
        let db = RocksDb::open(&directory, true).unwrap();
        register(&db, 1..=30);
        db.checkpoint().unwrap();
        child::die();
    }
    let directory = tempfile::tempdir().unwrap();
    child::run(NAME, directory.path());
    let db = RocksDb::open(directory.path(), true).unwrap();
    assert_eq!((30, (1..=30).collect::<Vec<_>>()), (applied(&db), whole_registrations(&db)));
    let current = db.current_snapshot().unwrap().unwrap();
    assert_eq!(Some(30), current.meta.last_log_id.map(|id| id.index));
}

#[test]
fn what_does_not_get_through_leaves_nothing() {
    let (_from_directory, from) = rocks();
    register(&from, 1..=10);
    let snapshot = from.checkpoint().unwrap();
    let (directory, to) = rocks();
    register(&to, 1..=2);
    let before = hash(&to);
    let (header, bytes) = (header(&snapshot), bytes(&snapshot));

    // Interrupted at several places.
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let mut receiver = to.receive(&header).unwrap();
        receiver.write(&bytes[..length]).unwrap();
        if length % 2 == 0 {
            drop(receiver);
        } else {
            assert!(receiver.finish().is_err(), "{length} of {} bytes", bytes.len());
        }
        assert_eq!(expected(&["state", "state-current"]), names(directory.path()), "{length}");
    }
    // One flipped bit in any file.
    let mut start = 0;
    for file in &header.files {
        let size = usize::try_from(file.size_bytes).unwrap();
        if size > 0 {
            let mut damaged = bytes.clone();
            damaged[start + size / 2] ^= 1;
            let mut receiver = to.receive(&header).unwrap();
            let error = receiver.write(&damaged).unwrap_err().to_string();
            assert!(error.contains(&file.name) && error.contains("damaged"), "{error}");
        }
        start += size;
    }
    // More bytes than the header says, and a header that says more than there are.
    let mut receiver = to.receive(&header).unwrap();
    receiver.write(&bytes).unwrap();
    assert!(receiver.write(&[0]).is_err());
    drop(receiver);
    let mut greedy = header;
    greedy.files.last_mut().unwrap().size_bytes += 1;
    let mut receiver = to.receive(&greedy).unwrap();
    assert!(receiver.write(&bytes).is_err() || receiver.finish().is_err());
    // Received completely but not installed.
    drop(transfer(&snapshot, &to));
    assert_eq!(expected(&["state", "state-current"]), names(directory.path()));
    assert_eq!((2, before), (applied(&to), hash(&to)));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let (directory, to) = rocks();
    let hostile =
        ["", ".", "..", "../x", "/etc/x", "a/b", "a\\b", ".hidden", "a\0b", "a b", "ä", "ordu-snapshot"];
    for name in hostile {
        let file = pb::SnapshotFile { name: name.to_owned(), size_bytes: 1, crc32: 0 };
        let header = SnapshotHeader { files: vec![file], ..SnapshotHeader::default() };
        assert!(to.receive(&header).is_err(), "{name:?}");
    }
    let twice = pb::SnapshotFile { name: "a".into(), size_bytes: 0, crc32: 0 };
    let header = SnapshotHeader { files: vec![twice.clone(), twice], ..SnapshotHeader::default() };
    assert!(to.receive(&header).is_err());
    assert_eq!(expected(&["state", "state-current"]), names(directory.path()));
}

#[test]
fn a_header_that_says_another_log_id_is_refused_before_the_switch() {
    let (_from_directory, from) = rocks();
    register(&from, 1..=10);
    let snapshot = from.checkpoint().unwrap();
    let (directory, to) = rocks();
    register(&to, 1..=2);
    let mut header = header(&snapshot);
    header.last_log_id = Some(pb::LogId { term: 9, index: 99 });
    let mut receiver = to.receive(&header).unwrap();
    receiver.write(&bytes(&snapshot)).unwrap();
    let received = receiver.finish().unwrap();
    assert!(to.install(&received).is_err());
    assert_eq!(2, applied(&to));
    assert_eq!(expected(&["state", "state-current"]), names(directory.path()));
}

#[test]
fn what_crashes_left_is_cleared_away_at_the_next_start() {
    let (directory, db) = rocks();
    register(&db, 1..=10);
    db.checkpoint().unwrap();
    register(&db, 11..=12);
    db.flush().unwrap();
    drop(db);
    let root = directory.path();
    for left in ["incoming-1", "state-2", "snapshot-3"] {
        std::fs::create_dir(root.join(left)).unwrap();
        std::fs::write(root.join(left).join("CURRENT"), "x").unwrap();
    }
    std::fs::write(root.join("state-next"), "state-2").unwrap();
    let db = RocksDb::open(root, true).unwrap();
    assert_eq!(12, applied(&db));
    assert_eq!(
        Some(10),
        db.current_snapshot().unwrap().and_then(|current| current.meta.last_log_id).map(|id| id.index)
    );
    for left in ["incoming-1", "state-2", "snapshot-3"] {
        assert!(!root.join(left).exists(), "{left}");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        std::fs::copy(entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name())).unwrap();
    }
}

#[test]
fn a_crash_in_the_middle_of_an_install_leaves_the_old_tables_or_the_new_ones() {
    let (_from_directory, from) = rocks();
    register(&from, 1..=50);
    let snapshot = from.checkpoint().unwrap();
    for is_after_the_switch in [false, true] {
        let (directory, to) = rocks();
        register(&to, 1..=3);
        to.checkpoint().unwrap();
        let received = transfer(&snapshot, &to);
        let root = directory.path();
        // Do the first steps of an install by hand.
        copy(received.directory().unwrap(), &root.join("state-new"));
        if is_after_the_switch {
            std::fs::write(root.join("state-current"), "state-new").unwrap();
        }
        std::mem::forget(received);
        drop(to);
        let to = RocksDb::open(root, true).unwrap();
        let expected_applied = if is_after_the_switch { 50 } else { 3 };
        assert_eq!(expected_applied, applied(&to));
        let current = to.current_snapshot().unwrap().and_then(|current| current.meta.last_log_id);
        assert_eq!(Some(expected_applied), current.map(|id| id.index), "the current snapshot serves the log");
        assert_eq!(expected(&["state", "state-current", "snapshot"]), names(root));
        if is_after_the_switch {
            assert_eq!(hash(&from), hash(&to));
        }
    }
}

#[test]
fn a_reader_keeps_its_view_while_the_tables_are_replaced() {
    let (_from_directory, from) = rocks();
    register(&from, 1..=50);
    let snapshot = from.checkpoint().unwrap();
    let (directory, to) = rocks();
    register(&to, 100..=400);
    to.flush().unwrap();
    drop(to);
    // In the reopened database, none of the files has been read yet.
    let to = RocksDb::open(directory.path(), true).unwrap();
    let received = transfer(&snapshot, &to);
    let before = {
        let again = MemoryDb::default();
        register(&again, 100..=400);
        hash(&again)
    };
    to.with_snapshot(&mut |reader| {
        to.install(&received).unwrap();
        assert_eq!(before, state_hash(reader).unwrap(), "the view of before the install");
    });
    assert_eq!((50, hash(&from)), (applied(&to), hash(&to)));
    drop(received);
    assert_eq!(expected(&["state", "state-current", "snapshot"]), names(directory.path()));
    let tables =
        std::fs::read_dir(directory.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(2, tables.count(), "the former tables went with their last reader");
}

#[test]
fn a_transfer_goes_on_from_a_snapshot_that_a_newer_one_has_replaced() {
    let (directory, from) = rocks();
    register(&from, 1..=20);
    from.checkpoint().unwrap();
    let old = from.current_snapshot().unwrap().unwrap();
    let taken = hash(&from);
    let header = header(&old);
    let mut chunks = old.chunks(&header.files);
    let (_to_directory, to) = rocks();
    let mut receiver = to.receive(&header).unwrap();
    receiver.write(&chunks.read_next().unwrap().unwrap()).unwrap();
    register(&from, 21..=25);
    from.checkpoint().unwrap();
    drop(old);
    while let Some(chunk) = chunks.read_next().unwrap() {
        receiver.write(&chunk).unwrap();
    }
    drop(chunks);
    to.install(&receiver.finish().unwrap()).unwrap();
    assert_eq!(taken, hash(&to));
    let directories =
        std::fs::read_dir(directory.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(2, directories.count(), "the replaced snapshot went with the transfer");
}
