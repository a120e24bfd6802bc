//! Unreadable data in the tables: single rows are left out and reported; a damaged disk ends the server.

use std::os::unix::fs::FileExt;

use ordu_core::state::reader::ReaderExt;
use ordu_core::state::{Corrupt, Reader};
use ordu_proto::state::{Allocation, Deployment, Evaluation, Node};
use ordu_store::tables::{MemoryDb, RocksDb};

use super::*;

/// No protobuf message begins with this byte.
const GARBAGE: [u8; 7] = [0xff; 7];

fn spoil(db: &dyn TablesDb, table: Table, key: &[u8]) {
    db.commit(vec![Write { table, key: key.to_vec(), value: Some(GARBAGE.to_vec()) }]).unwrap();
}

/// Reads the rows of a table as lists do, and returns their number.
fn count<M: Message + Default>(reader: &dyn Reader, table: Table) -> usize {
    reader.rows::<M>(table, &[]).unwrap().len()
}

fn counts(reader: &dyn Reader) -> Vec<(Table, usize)> {
    use ordu_proto::state::{JobSpec, JobSummary, NodeAlloc, PeriodicLaunchRecord};
    let ids = |table| (table, reader.ids(table, &[]).unwrap().len());
    vec![
        (Table::Jobs, count::<Job>(reader, Table::Jobs)),
        (Table::JobVersions, count::<Job>(reader, Table::JobVersions)),
        (Table::JobSpecs, count::<JobSpec>(reader, Table::JobSpecs)),
        (Table::JobSummaries, count::<JobSummary>(reader, Table::JobSummaries)),
        (Table::Evals, count::<Evaluation>(reader, Table::Evals)),
        (Table::Allocs, count::<Allocation>(reader, Table::Allocs)),
        (Table::AllocsByNode, count::<NodeAlloc>(reader, Table::AllocsByNode)),
        (Table::Nodes, count::<Node>(reader, Table::Nodes)),
        (Table::PeriodicLaunches, count::<PeriodicLaunchRecord>(reader, Table::PeriodicLaunches)),
        (Table::Deployments, count::<Deployment>(reader, Table::Deployments)),
        ids(Table::EvalsByJob),
        ids(Table::AllocsByJob),
        ids(Table::AllocsByEval),
        ids(Table::DeploymentsByJob),
    ]
}

#[test]
fn rows_that_cannot_be_decoded_are_left_out_and_told_until_they_are_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (rocks, memory) = (RocksDb::open(directory.path(), true).unwrap(), MemoryDb::default());
    for db in [&rocks as &dyn TablesDb, &memory] {
        register(db, 1..=5);
        let mut changes = db.set_aside().watch();
        let before = tables::read(db, |reader| counts(reader));
        // All tables that are read as rows or as ids, and the requests, which the machine reads.
        let spoilt = before.iter().map(|(table, _)| *table).chain([Table::Requests]);
        let spoilt: Vec<Table> = spoilt.collect();
        for table in &spoilt {
            spoil(db, *table, b"short");
        }
        assert_eq!((0, None), (db.set_aside().count(), db.set_aside().describe()), "nobody has read any");
        let after = tables::read(db, |reader| {
            Machine::load(reader).unwrap();
            counts(reader)
        });
        assert_eq!(before, after, "the others are read");
        assert_eq!(spoilt.len(), db.set_aside().count());
        let told = db.set_aside().describe().unwrap();
        assert!(
            told.starts_with("15 rows ") && told.contains("the first is short in the table jobs"),
            "{told}"
        );
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();

        // Reading a single bad row fails, and the row is reported only once, however often it is read.
        let single = tables::read(db, |reader| reader.row::<Job>(Table::Jobs, b"short").unwrap_err());
        assert!(single.is_row(), "{single}");
        assert_eq!(spoilt.len(), db.set_aside().count());
        assert!(!changes.has_changed().unwrap());

        let written = |table: &Table| Write { table: *table, key: b"short".to_vec(), value: None };
        db.commit(spoilt[1..].iter().map(written).collect()).unwrap();
        assert_eq!(1, db.set_aside().count());
        assert!(changes.has_changed().unwrap());
        let mended = Write { value: Some(Job::default().encode_to_vec()), ..written(&Table::Jobs) };
        db.commit(vec![mended]).unwrap();
        assert_eq!((0, None), (db.set_aside().count(), db.set_aside().describe()));
        assert_eq!(None, db.faults().reported(), "a row is no reason to end");
    }
}

#[test]
fn a_row_that_names_one_which_is_not_there_is_passed_over_and_told() {
    let db = MemoryDb::default();
    register(&db, 1..=2);
    let [first, second] = [1, 2].map(|index: u128| index.to_be_bytes().to_vec());
    db.commit(vec![Write { table: Table::Evals, key: first, value: None }]).unwrap();
    let evals = |job: &str| {
        tables::read(&db, |reader| state_read::evals_of_job(reader, "default", job).unwrap())
            .into_iter()
            .map(|eval| eval.id)
            .collect::<Vec<_>>()
    };
    assert_eq!((vec![], vec![second]), (evals("job-000001"), evals("job-000002")));
    let told = db.set_aside().describe().unwrap();
    assert!(
        told.contains("00000000-0000-0000-0000-000000000001 in the table evals: evals_by_job names"),
        "{told}"
    );
}

#[test]
fn more_rows_than_are_remembered_are_told_as_more() {
    let db = MemoryDb::default();
    let read = || tables::read(&db, |reader| assert_eq!(0, count::<Job>(reader, Table::Jobs)));
    for number in 0..1_001 {
        spoil(&db, Table::Jobs, format!("{number:04}").as_bytes());
    }
    read();
    assert_eq!(1_000, db.set_aside().count());
    assert!(db.set_aside().describe().unwrap().starts_with("1000 or more rows "));
    let written = |number: u32| Write { table: Table::Jobs, key: format!("{number:04}").into(), value: None };
    db.commit(vec![written(0), written(1)]).unwrap();
    read();
    assert!(db.set_aside().describe().unwrap().starts_with("999 rows "));
}

#[test]
fn what_is_written_anew_while_someone_reads_what_it_was_is_not_told() {
    let directory = tempfile::tempdir().unwrap();
    let db = RocksDb::open(directory.path(), true).unwrap();
    spoil(&db, Table::Jobs, b"key");
    db.with_snapshot(&mut |reader| {
        db.commit(vec![Write { table: Table::Jobs, key: b"key".to_vec(), value: None }]).unwrap();
        assert!(reader.row::<Job>(Table::Jobs, b"key").unwrap_err().is_row(), "it reads what was");
    });
    assert_eq!(0, db.set_aside().count());
}

#[test]
fn rows_of_tables_that_a_snapshot_has_replaced_are_forgotten() {
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (to, from) = (RocksDb::open(here.path(), true).unwrap(), RocksDb::open(there.path(), true).unwrap());
    register(&from, 1..=3);
    register(&to, 1..=1);
    spoil(&to, Table::Jobs, b"key");
    let read = |db: &RocksDb| tables::read(db, |reader| count::<Job>(reader, Table::Jobs));
    assert_eq!((1, 1), (read(&to), to.set_aside().count()));
    let mut late = None;
    to.with_snapshot(&mut |reader| {
        to.install(&snapshots::transfer(&from.checkpoint().unwrap(), &to)).unwrap();
        // This reader still sees the former tables.
        late = Some(count::<Job>(reader, Table::Jobs));
    });
    assert_eq!((Some(1), 3, 0), (late, read(&to), to.set_aside().count()));
}

#[test]
fn a_row_that_says_how_the_others_are_read_is_the_server_s_end() {
    let directory = tempfile::tempdir().unwrap();
    let db = RocksDb::open(directory.path(), true).unwrap();
    spoil(&db, Table::Meta, key::meta::INDEXES);
    let corrupt = tables::read(&db, |reader| state_read::indexes(reader).unwrap_err());
    assert!(!corrupt.is_row());
    let told = db.faults().reported().unwrap();
    assert!(told.contains("table meta: indexes: table indexes of 7 bytes"), "{told}");
    assert_eq!(0, db.set_aside().count());
}

/// A way to read a database.
type Reading = fn(&dyn Reader) -> Result<(), Corrupt>;

#[test]
fn a_damaged_block_ends_the_server_with_the_file_and_the_way_out_however_it_is_read() {
    let readings: [(&str, Reading); 4] = [
        ("a row", |reader| state_read::job(reader, "default", "job-000001").map(drop)),
        ("rows", |reader| reader.rows::<Job>(Table::Jobs, &[]).map(drop)),
        ("all of a list", |reader| state_read::each(reader, Table::Jobs, &[], &mut |_: Job| Ok(()))),
        ("backwards", |reader| reader.scan_reverse(Table::Jobs, &[], None, &mut |_, _| Ok(true))),
    ];
    for (what, read) in readings {
        let directory = tempfile::tempdir().unwrap();
        let db = RocksDb::open(directory.path(), true).unwrap();
        register(&db, 1..=20);
        db.flush().unwrap();
        drop(db);
        assert!(damage(directory.path(), "jobs") > 0);
        let db = RocksDb::open(directory.path(), true).unwrap();
        assert_eq!(None, db.faults().reported(), "{what}: nobody has read it");
        let corrupt = tables::read(&db, read).unwrap_err();
        assert!(!corrupt.is_row(), "{what}: {corrupt}");
        let told = db.faults().reported().unwrap();
        for words in ["checksum mismatch", ".sst", "data directory aside", "joins under another id"] {
            assert!(told.contains(words), "{what}: {told}");
        }
        let data_dir = directory.path().parent().unwrap().display().to_string();
        assert!(told.contains(&data_dir), "{what}: {told}");
        assert_eq!(0, db.set_aside().count(), "{what}");
    }
}

/// Flips bits in the first block of each file with rows of a table; returns the number of these files.
fn damage(root: &std::path::Path, table: &str) -> usize {
    let name = std::fs::read_to_string(root.join("state-current")).unwrap();
    // The file's properties contain the name of its column family: the length of the key's remainder, the length of
    // the value, then both ("rocksdb.column.family." is shared with the key before).
    let mut mark = vec![4, u8::try_from(table.len()).unwrap()];
    mark.extend_from_slice(format!("name{table}").as_bytes());
    let mut damaged = 0;
    for entry in std::fs::read_dir(root.join(name.trim())).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|kind| kind == "sst")
            && bytes.windows(mark.len()).any(|window| window == mark)
        {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.write_all_at(&bytes[20..24].iter().map(|byte| !byte).collect::<Vec<_>>(), 20).unwrap();
            damaged += 1;
        }
    }
    damaged
}
