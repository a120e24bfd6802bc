//! The state tables: commits are atomic, and a killed process loses only the latest ones.

use std::sync::atomic::{AtomicU64, Ordering};

use ordu_core::state::Reader;
use ordu_store::tables::{MemoryDb, RocksDb};

use super::*;

#[test]
fn a_killed_process_loses_nothing_but_the_latest_unflushed_commits() {
    const NAME: &str = "state_tables::a_killed_process_loses_nothing_but_the_latest_unflushed_commits";
    if let Some(directory) = child::directory() {
        let db = RocksDb::open(&directory, true).unwrap();
        register(&db, 1..=20);
        db.flush().unwrap();
        register(&db, 21..=40);
        child::die();
    }
    let directory = tempfile::tempdir().unwrap();
    child::run(NAME, directory.path());
    let db = RocksDb::open(directory.path(), true).unwrap();
    let last = applied(&db);
    assert!((20..=40).contains(&last), "what was flushed is there: {last}");
    assert_eq!((1..=last).collect::<Vec<_>>(), whole_registrations(&db));
    assert_eq!(last, tables::read(&db, |reader| state_read::indexes(reader).unwrap().get(Table::Jobs)));
    // Replaying the log from there leads to the same state as on a server that never crashed.
    register(&db, last + 1..=40);
    let other = MemoryDb::default();
    register(&other, 1..=40);
    assert_eq!(hash(&other), hash(&db));
}

#[test]
fn a_kill_amid_flushes_in_the_background_leaves_a_whole_prefix() {
    const NAME: &str = "state_tables::a_kill_amid_flushes_in_the_background_leaves_a_whole_prefix";
    if let Some(directory) = child::directory() {
        let db = std::sync::Arc::new(RocksDb::open(&directory, true).unwrap());
        let flushes = std::sync::Arc::new(AtomicU64::new(0));
        let (flushing, counting) = (db.clone(), flushes.clone());
        std::thread::spawn(move || {
            loop {
                flushing.flush().unwrap();
                counting.fetch_add(1, Ordering::Relaxed);
            }
        });
        register(&*db, 1..=10);
        // The second flush from here on begins after these registrations.
        let before = flushes.load(Ordering::Relaxed);
        while flushes.load(Ordering::Relaxed) < before + 2 {
            std::thread::yield_now();
        }
        register(&*db, 11..=1500);
        child::die();
    }
    let directory = tempfile::tempdir().unwrap();
    child::run(NAME, directory.path());
    let db = RocksDb::open(directory.path(), true).unwrap();
    let last = applied(&db);
    assert!(last >= 10, "some flush came through: {last}");
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
    let (disk, memory) = (RocksDb::open(directory.path(), true).unwrap(), MemoryDb::default());
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
    let _db = RocksDb::open(directory.path(), true).unwrap();
    assert!(RocksDb::open(directory.path(), true).is_err());
}

#[test]
fn tables_that_are_named_and_missing_are_not_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    drop(RocksDb::open(directory.path(), true).unwrap());
    let name = std::fs::read_to_string(directory.path().join("state-current")).unwrap();
    std::fs::remove_dir_all(directory.path().join(&name)).unwrap();
    let error = RocksDb::open(directory.path(), true).err().unwrap().to_string();
    assert!(error.contains(&name) && error.contains("not there"), "{error}");
}

#[test]
fn both_stores_scan_the_same_ranges_in_both_directions() {
    use ordu_core::state::{Write, key};
    use ordu_store::tables::TablesDb;

    let directory = tempfile::tempdir().unwrap();
    let rocks = RocksDb::open(directory.path(), true).unwrap();
    let memory = MemoryDb::default();
    let keys = ["", "a", "a\0", "ab", "b", "b\u{7f}", "c"].map(|key| key.as_bytes().to_vec());
    for db in [&rocks as &dyn TablesDb, &memory] {
        // Fill adjacent tables as well, to detect a scan that leaves its table.
        let writes = [Table::Evals, Table::EvalsByJob, Table::Allocs].into_iter().flat_map(|table| {
            keys.iter().map(move |key| Write { table, key: key.clone(), value: Some(vec![table as u8]) })
        });
        db.commit(writes.collect()).unwrap();
        // Some rows are in files, some are in memory, and some are deleted.
        db.flush().unwrap();
        let more = [("aa", Some(vec![9])), ("b", None)];
        db.commit(more.map(|(key, value)| Write { table: Table::EvalsByJob, key: key.into(), value }).into())
            .unwrap();
    }
    let seen = |db: &dyn TablesDb, start: &[u8], end: Option<&[u8]>, reverse: bool| {
        tables::read(db, |reader| {
            let mut seen = Vec::new();
            let mut visit = |key: &[u8], value: &[u8]| {
                seen.push((key.to_vec(), value.to_vec()));
                Ok(key != b"aa")
            };
            match reverse {
                true => reader.scan_reverse(Table::EvalsByJob, start, end, &mut visit).unwrap(),
                false => reader.scan(Table::EvalsByJob, start, end, &mut visit).unwrap(),
            }
            seen
        })
    };
    let mut rows = 0;
    for start in &keys {
        for end in keys.iter().map(Some).chain([key::end_of(start).as_ref(), None]) {
            for reverse in [false, true] {
                let end = end.map(Vec::as_slice);
                let of_rocks = seen(&rocks, start, end, reverse);
                assert_eq!(of_rocks, seen(&memory, start, end, reverse), "{start:?} to {end:?}, {reverse}");
                rows += of_rocks.len();
            }
        }
    }
    assert!(rows > 100, "{rows}");
}
