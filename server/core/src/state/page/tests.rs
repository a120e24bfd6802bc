//! Compares spans and pages over tables in memory and over a transaction with a plain ordered map.

use std::cell::Cell;
use std::collections::BTreeMap;

use ordu_proto::state::Job;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::state::token::JobToken;
use crate::state::{MemoryTables, TableIndexes, Tx, Write};

type Seen = Vec<(Vec<u8>, Vec<u8>)>;

/// A reader with only the required methods, which counts skipped rows.
struct Plain<'a>(&'a dyn Reader, Cell<usize>);

impl Reader for Plain<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
        self.0.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        self.0.scan(table, start, end, visit)
    }

    fn set_aside(&self, _: Table, _: &[u8], _: &str) {
        self.1.set(self.1.get() + 1);
    }
}

fn write(table: Table, key: impl Into<Vec<u8>>, value: Option<&[u8]>) -> Write {
    Write { table, key: key.into(), value: value.map(<[u8]>::to_vec) }
}

fn seen(reader: &dyn Reader, span: &Span<'_>, rows_max: usize) -> Seen {
    let mut rows = Seen::new();
    scan_span(reader, span, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        Ok(rows.len() < rows_max)
    })
    .unwrap();
    rows
}

fn keys(reader: &dyn Reader, prefix: &str, from: Option<&str>, direction: Direction) -> Vec<String> {
    let from = from.map(str::as_bytes);
    let span = Span { table: Table::Jobs, prefix: prefix.as_bytes(), from, direction };
    let rows = seen(reader, &span, usize::MAX);
    rows.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

fn tables(keys: &[&str]) -> MemoryTables {
    let mut tables = MemoryTables::default();
    tables.commit(keys.iter().map(|key| write(Table::Jobs, *key, Some(b"base"))));
    // Rows in the neighbouring tables, which no scan of this table may see.
    tables.commit([Table::Meta, Table::JobVersions].map(|table| write(table, "b", Some(b"other"))));
    tables
}

#[test]
fn a_span_begins_at_its_token_and_stays_in_its_prefix() {
    use Direction::{Forward, Reverse};
    let tables = tables(&["a", "b", "b1", "b2", "b4", "c"]);
    for (prefix, from, direction, expected) in [
        ("", None, Forward, "a b b1 b2 b4 c"),
        ("", None, Reverse, "c b4 b2 b1 b a"),
        ("b", None, Forward, "b b1 b2 b4"),
        ("b", None, Reverse, "b4 b2 b1 b"),
        ("b", Some("b2"), Forward, "b2 b4"),
        ("b", Some("b2"), Reverse, "b2 b1 b"),
        // A removed row: the page begins with the row that follows it.
        ("b", Some("b3"), Forward, "b4"),
        ("b", Some("b3"), Reverse, "b2 b1 b"),
        // Before and after the prefix.
        ("b", Some("a"), Forward, "b b1 b2 b4"),
        ("b", Some("a"), Reverse, ""),
        ("b", Some("c"), Forward, ""),
        ("b", Some("c"), Reverse, "b4 b2 b1 b"),
        ("z", None, Forward, ""),
        ("z", None, Reverse, ""),
    ] {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(expected, keys(&tables, prefix, from, direction), "{prefix} {from:?} {direction:?}");
    }
}

#[test]
fn the_last_table_is_walked_backwards_too() {
    let mut tables = MemoryTables::default();
    let last = Table::ALL[Table::ALL.len() - 1];
    tables.commit(["1", "2"].map(|key| write(last, key, Some(b""))));
    let span = Span { table: last, prefix: b"", from: None, direction: Direction::Reverse };
    assert_eq!(vec![(b"2".to_vec(), Vec::new())], seen(&tables, &span, 1));
    assert_eq!(2, seen(&tables, &span, 9).len());
}

#[test]
fn writes_and_removals_of_a_transaction_are_seen_in_both_directions() {
    let base = tables(&["b", "d", "f", "h"]);
    let mut tx = Tx::new(&base, TableIndexes::default());
    let jobs = |tx: &mut Tx<'_>, key: &str| tx.put_bytes(Table::Jobs, key.into(), b"new".to_vec());
    jobs(&mut tx, "a");
    jobs(&mut tx, "e");
    tx.delete(Table::Jobs, b"d".to_vec());
    tx.keep_entry();
    jobs(&mut tx, "d");
    jobs(&mut tx, "g");
    jobs(&mut tx, "z");
    tx.delete(Table::Jobs, b"e".to_vec());
    tx.delete(Table::Jobs, b"h".to_vec());
    assert_eq!(["a", "b", "d", "f", "g", "z"], *keys(&tx, "", None, Direction::Forward));
    assert_eq!(["z", "g", "f", "d", "b", "a"], *keys(&tx, "", None, Direction::Reverse));
    assert_eq!(["f", "d", "b", "a"], *keys(&tx, "", Some("fa"), Direction::Reverse));
    tx.drop_entry();
    assert_eq!(["h", "f", "e", "b", "a"], *keys(&tx, "", None, Direction::Reverse));
}

#[derive(Debug)]
struct Failed(String);

impl From<Corrupt> for Failed {
    fn from(corrupt: Corrupt) -> Self {
        Self(corrupt.to_string())
    }
}

fn jobs(reader_of: &[(&str, &str)]) -> MemoryTables {
    let mut tables = MemoryTables::default();
    tables.commit(reader_of.iter().map(|(namespace, id)| {
        let row = Job { namespace: namespace.to_string(), id: id.to_string(), ..Job::default() };
        write(Table::Jobs, key::job(namespace, id), Some(&row.encode_to_vec()))
    }));
    tables
}

/// Reads a list page by page and returns the pages.
fn walk(tables: &MemoryTables, rows_max: usize, direction: Direction, only: &str) -> Vec<String> {
    let mut pages = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let from = token.take().map(|token| JobToken::parse(&token).unwrap().key());
        let span = Span { table: Table::Jobs, prefix: b"", from: from.as_deref(), direction };
        let mut ids = Vec::new();
        page(tables, &span, NonZeroUsize::new(rows_max), &mut |job: Job, place| -> Result<bool, Failed> {
            if !job.id.contains(only) {
                return Ok(false);
            }
            match place {
                Place::OnPage => ids.push(job.id),
                Place::NextPage => {
                    token = Some(JobToken { namespace: job.namespace, id: job.id }.to_string());
                }
            }
            Ok(true)
        })
        .unwrap();
        pages.push(ids.join(" "));
        if token.is_none() {
            return pages;
        }
    }
}

#[test]
fn pages_hold_every_row_once() {
    let tables =
        jobs(&[("team", "a1"), ("team", "b1"), ("team-a", "a2"), ("team-a", "b2"), ("team-a", "a3")]);
    for (rows_max, direction, only, expected) in [
        (2, Direction::Forward, "", "a1 b1, a2 a3, b2"),
        (2, Direction::Reverse, "", "b2 a3, a2 b1, a1"),
        (5, Direction::Forward, "", "a1 b1 a2 a3 b2"),
        (0, Direction::Forward, "", "a1 b1 a2 a3 b2"),
        (1, Direction::Forward, "a", "a1, a2, a3"),
        (2, Direction::Reverse, "b", "b2 b1"),
        (2, Direction::Forward, "c", ""),
    ] {
        assert_eq!(expected, walk(&tables, rows_max, direction, only).join(", "), "{rows_max} {direction:?}");
    }
}

#[test]
fn a_page_reads_no_row_behind_the_one_that_the_next_begins_with() {
    let mut tables = jobs(&[("a", "1"), ("a", "2")]);
    tables.commit([write(Table::Jobs, key::job("a", "3"), Some(b"not a row"))]);
    let read = |rows_max| {
        let span = Span { table: Table::Jobs, prefix: b"", from: None, direction: Direction::Forward };
        let mut rows = 0;
        let visit = &mut |_: Job, place| -> Result<bool, Failed> {
            rows += usize::from(place == Place::OnPage);
            Ok(true)
        };
        let reader = Plain(&tables, Cell::default());
        let paged = page(&reader, &span, NonZeroUsize::new(rows_max), visit);
        paged.map(|()| (rows, reader.1.get())).map_err(|failed| failed.0)
    };
    assert_eq!(Ok((1, 0)), read(1), "the row that cannot be decoded is not read");
    assert_eq!(Ok((2, 1)), read(2));
}

#[test]
fn the_visitor_s_own_failure_ends_the_page() {
    let tables = jobs(&[("a", "1"), ("a", "2")]);
    let span = Span { table: Table::Jobs, prefix: b"", from: None, direction: Direction::Reverse };
    let mut visited = 0;
    let failed = page(&tables, &span, None, &mut |job: Job, _| -> Result<bool, Failed> {
        visited += 1;
        Err(Failed(job.id))
    });
    assert_eq!(("2".to_owned(), 1), (failed.unwrap_err().0, visited));
}

/// Short keys over few bytes, so that keys collide; 255 because no key follows a prefix of 255s.
fn a_key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0_u8), Just(1), Just(254), Just(255)], 0..4)
}

fn some_writes() -> impl Strategy<Value = BTreeMap<Vec<u8>, Option<Vec<u8>>>> {
    btree_map(a_key(), option::of(vec(any::<u8>(), 0..3)), 0..12)
}

#[test]
fn rows_that_cannot_be_decoded_are_on_no_page_and_begin_none() {
    let row = |id: &str| Job { id: id.to_owned(), ..Job::default() }.encode_to_vec();
    let mut tables = MemoryTables::default();
    tables.commit(["a", "c", "e"].map(|id| write(Table::Jobs, id, Some(&row(id)))));
    tables.commit(["b", "d"].map(|id| write(Table::Jobs, id, Some(&[0xff]))));
    for (direction, expected) in [
        (Direction::Forward, [("a", Place::OnPage), ("c", Place::OnPage), ("e", Place::NextPage)]),
        (Direction::Reverse, [("e", Place::OnPage), ("c", Place::OnPage), ("a", Place::NextPage)]),
    ] {
        let span = Span { table: Table::Jobs, prefix: b"", from: None, direction };
        let mut shown = Vec::new();
        page::<Job, Corrupt>(&tables, &span, NonZeroUsize::new(2), &mut |job, place| {
            shown.push((job.id, place));
            Ok(true)
        })
        .unwrap();
        assert_eq!(expected.map(|(id, place)| (id.to_owned(), place)), *shown);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_span_is_what_an_ordered_map_says(
        base in some_writes(),
        batch in some_writes(),
        entry in some_writes(),
        prefix in a_key(),
        from in option::of(a_key()),
        reverse in any::<bool>(),
        rows_max in 1..8_usize,
    ) {
        let mut tables = tables(&[]);
        let of_table = |rows: &BTreeMap<Vec<u8>, Option<Vec<u8>>>| -> Vec<Write> {
            let write = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
                write(Table::Jobs, key.clone(), value.as_deref())
            };
            rows.iter().map(write).collect()
        };
        tables.commit(of_table(&base));
        let mut tx = Tx::new(&tables, TableIndexes::default());
        for layer in [&batch, &entry] {
            tx.keep_entry();
            for Write { table, key, value } in of_table(layer) {
                match value {
                    Some(value) => tx.put_bytes(table, key, value),
                    None => tx.delete(table, key),
                }
            }
        }

        let mut model: BTreeMap<Vec<u8>, Option<Vec<u8>>> = base;
        model.extend(batch);
        model.extend(entry);
        let ahead = |key: &Vec<u8>| match &from {
            None => true,
            Some(from) if reverse => key <= from,
            Some(from) => key >= from,
        };
        let mut expected: Seen = model
            .into_iter()
            .filter(|(key, _)| key.starts_with(&prefix) && ahead(key))
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        if reverse {
            expected.reverse();
        }
        expected.truncate(rows_max);

        let direction = if reverse { Direction::Reverse } else { Direction::Forward };
        let span = Span { table: Table::Jobs, prefix: &prefix, from: from.as_deref(), direction };
        prop_assert_eq!(&expected, &seen(&tx, &span, rows_max));
        prop_assert_eq!(&expected, &seen(&Plain(&tx, Cell::default()), &span, rows_max));
        let mut committed = tables.clone();
        let (writes, _) = {
            tx.keep_entry();
            tx.finish()
        };
        committed.commit(writes);
        prop_assert_eq!(&expected, &seen(&committed, &span, rows_max));
    }
}
