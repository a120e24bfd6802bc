//! The tables: a commit is whole or not there, and a killed process loses the latest commits only.

use ordu_core::state::Reader;
use ordu_store::tables::{MemoryDb, RocksDb};

use super::*;

#[test]
fn a_killed_process_loses_nothing_but_the_latest_unflushed_commits() {
    const NAME: &str = "state_tables::a_killed_process_loses_nothing_but_the_latest_unflushed_commits";
    if let Some(directory) = child::directory() {
        let db = RocksDb::open(&directory).unwrap();
        register(&db, 1..=20);
        db.flush().unwrap();
        register(&db, 21..=40);
        child::die();
    }
    let directory = tempfile::tempdir().unwrap();
    child::run(NAME, directory.path());
    let db = RocksDb::open(directory.path()).unwrap();
    let last = applied(&db);
    assert!((20..=40).contains(&last), "what was flushed is there: {last}");
    assert_eq!((1..=last).collect::<Vec<_>>(), whole_registrations(&db));
    assert_eq!(last, tables::read(&db, |reader| state_read::indexes(reader).unwrap().get(Table::Jobs)));
    // The log replays from there, and leads where a server that never died is.
    register(&db, last + 1..=40);
    let other = MemoryDb::default();
    register(&other, 1..=40);
    assert_eq!(hash(&other), hash(&db));
}

#[test]
fn a_kill_amid_flushes_in_the_background_leaves_a_whole_prefix() {
    const NAME: &str = "state_tables::a_kill_amid_flushes_in_the_background_leaves_a_whole_prefix";
    if let Some(directory) = child::directory() {
        let db = std::sync::Arc::new(RocksDb::open(&directory).unwrap());
        let flushing = db.clone();
        std::thread::spawn(move || {
            loop {
                flushing.flush().unwrap();
            }
        });
        register(&*db, 1..=1500);
        child::die();
    }
    let directory = tempfile::tempdir().unwrap();
    child::run(NAME, directory.path());
    let db = RocksDb::open(directory.path()).unwrap();
    let last = applied(&db);
    assert!(last > 0, "some flush came through");
    assert_eq!((1..=last).collect::<Vec<_>>(), whole_registrations(&db));
}

#[test]
fn memory_falls_back_to_its_last_flush() {
    let db = MemoryDb::default();
    register(&db, 1..=5);
    db.flush().unwrap();
    let flushed = hash(&db);
    register(&db, 6..=9);
    db.lose_unflushed();
    assert_eq!((5, flushed), (applied(&db), hash(&db)));
}

#[test]
fn disk_and_memory_hold_the_same_rows() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, memory) = (RocksDb::open(directory.path()).unwrap(), MemoryDb::default());
    register(&disk, 1..=30);
    register(&memory, 1..=30);
    assert_eq!(hash(&memory), hash(&disk));
    let keys = |db: &dyn TablesDb, start: &[u8], end: Option<&[u8]>| {
        let mut keys = Vec::new();
        tables::read(db, |reader: &dyn Reader| {
            reader.scan(Table::Jobs, start, end, &mut |key, _| {
                keys.push(key.to_vec());
                Ok(keys.len() < 4)
            })
        })
        .unwrap();
        keys
    };
    let at = |index: u64| key::job("default", &format!("job-{index:06}"));
    for (start, end) in [(Vec::new(), None), (at(5), Some(at(8))), (at(28), None), (at(8), Some(at(5)))] {
        assert_eq!(keys(&memory, &start, end.as_deref()), keys(&disk, &start, end.as_deref()));
    }
}

#[test]
fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _db = RocksDb::open(directory.path()).unwrap();
    assert!(RocksDb::open(directory.path()).is_err());
}

#[test]
fn tables_that_are_named_and_missing_are_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    drop(RocksDb::open(directory.path()).unwrap());
    let name = std::fs::read_to_string(directory.path().join("state-current")).unwrap();
    std::fs::remove_dir_all(directory.path().join(&name)).unwrap();
    let error = RocksDb::open(directory.path()).err().unwrap().to_string();
    assert!(error.contains(&name) && error.contains("not there"), "{error}");
}
