//! The transaction that `apply` writes through. Entries of a batch see each other's writes; a
//! refused entry leaves none.

use std::collections::BTreeMap;
use std::ops::Bound;

use prost::Message;

use super::reader::Visit;
use super::{Change, Corrupt, Direction, Reader, Rows, Table, TableIndexes};

/// A row to write or to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// The value; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

type Overlay = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;

/// The writes of a batch of entries, layered over a base without them.
pub struct Tx<'a> {
    base: &'a dyn Reader,
    /// Writes of the batch's completed entries.
    batch: Overlay,
    /// Writes of the entry being applied.
    entry: Overlay,
    entry_changes: Vec<Change>,
    indexes: TableIndexes,
    entry_indexes: TableIndexes,
}

impl<'a> Tx<'a> {
    /// Starts an empty batch over `base`; `indexes` are its tables' indexes of the last change.
    pub fn new(base: &'a dyn Reader, indexes: TableIndexes) -> Self {
        Self {
            base,
            batch: Overlay::new(),
            entry: Overlay::new(),
            entry_changes: Vec::new(),
            indexes,
            entry_indexes: indexes,
        }
    }

    /// Writes a row.
    pub fn put(&mut self, table: Table, key: Vec<u8>, row: &impl Message) {
        self.put_bytes(table, key, row.encode_to_vec());
    }

    /// Writes a row given as bytes.
    pub fn put_bytes(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.entry.insert((table, key), Some(value));
    }

    /// Removes a row.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.entry.insert((table, key), None);
    }

    /// Writes a row, which was `old` before, and updates its secondary rows.
    pub fn put_row<T: Rows>(&mut self, key: &[u8], old: Option<&T::Row>, new: &T::Row) {
        self.put(T::TABLE, key.to_vec(), new);
        self.replace_secondary::<T>(old, Some(new));
    }

    /// Removes a row and its secondary rows.
    pub fn delete_row<T: Rows>(&mut self, key: &[u8], old: &T::Row) {
        self.delete(T::TABLE, key.to_vec());
        self.replace_secondary::<T>(Some(old), None);
    }

    /// Writes the secondary rows that `new` adds or changes, and removes those that only `old` has.
    fn replace_secondary<T: Rows>(&mut self, old: Option<&T::Row>, new: Option<&T::Row>) {
        let of = |row: Option<&T::Row>| row.map(T::secondary).unwrap_or_default();
        let (before, now) = (of(old), of(new));
        for gone in &before {
            if !now.iter().any(|kept| kept.table == gone.table && kept.key() == gone.key()) {
                self.delete(gone.table, gone.key());
            }
        }
        for row in now {
            if !before.contains(&row) {
                self.put_bytes(row.table, row.key(), row.value);
            }
        }
    }

    /// Records a change for subscribers.
    pub fn note(&mut self, change: Change) {
        self.entry_changes.push(change);
    }

    /// Sets the log index of the last change of `table`.
    pub fn touch(&mut self, table: Table, index: u64) {
        self.entry_indexes.set(table, index);
    }

    /// Returns the tables' indexes, including the changes of the current entry.
    #[allow(clippy::misnamed_getters, reason = "the batch's own indexes are without the entry's")]
    pub fn indexes(&self) -> TableIndexes {
        self.entry_indexes
    }

    /// Returns the writes and removals of the current entry, in the order of tables and keys.
    pub(super) fn entry_rows(&self) -> impl Iterator<Item = (&(Table, Vec<u8>), &Option<Vec<u8>>)> {
        self.entry.iter()
    }

    /// Adds the current entry's writes to the batch and returns its changes.
    pub fn keep_entry(&mut self) -> Vec<Change> {
        // Insert one by one: `append` would rebuild the whole batch for every entry.
        self.batch.extend(std::mem::take(&mut self.entry));
        self.indexes = self.entry_indexes;
        std::mem::take(&mut self.entry_changes)
    }

    /// Discards the current entry's writes and changes.
    pub fn drop_entry(&mut self) {
        self.entry.clear();
        self.entry_changes.clear();
        self.entry_indexes = self.indexes;
    }

    /// Ends the batch and returns its writes, in the order of tables and keys, and the tables' indexes.
    pub fn finish(mut self) -> (Vec<Write>, TableIndexes) {
        self.drop_entry();
        let writes =
            self.batch.into_iter().map(|((table, key), value)| Write { table, key, value }).collect();
        (writes, self.indexes)
    }

    fn overlaid(&self, table: Table, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        let at = (table, key.to_vec());
        self.entry.get(&at).or_else(|| self.batch.get(&at))
    }

    /// Returns the writes and removals in a range, in scan order.
    fn written(&self, range: &Range<'_>, direction: Direction) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let (table, start) = (range.table, range.start);
        let from = Bound::Included((table, start.to_vec()));
        // `range` panics if the end is before the start; such a range is empty.
        let end = range.end.map(|end| Bound::Excluded((table, end.max(start).to_vec())));
        let to = end.unwrap_or(Bound::Unbounded);
        let mut written = Overlay::new();
        for layer in [&self.batch, &self.entry] {
            let rows = layer.range((from.clone(), to.clone())).take_while(|((at, _), _)| *at == table);
            written.extend(rows.map(|(at, value)| (at.clone(), value.clone())));
        }
        let mut written: Vec<_> = written.into_iter().map(|((_, key), value)| (key, value)).collect();
        if direction == Direction::Reverse {
            written.reverse();
        }
        written
    }

    fn scan_merged(
        &self,
        range: &Range<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), Corrupt> {
        let comes_before = |one: &[u8], other: &[u8]| match direction {
            Direction::Forward => one < other,
            Direction::Reverse => one > other,
        };
        let mut written = self.written(range, direction).into_iter().peekable();
        let mut wants_more = true;
        let mut merge = |key: &[u8], value: &[u8]| {
            // First visit the written rows that precede this row of the base.
            while let Some((at, row)) = written.next_if(|(at, _)| comes_before(at, key)) {
                if let Some(row) = row
                    && !visit(&at, &row)?
                {
                    wants_more = false;
                    return Ok(false);
                }
            }
            wants_more = match written.next_if(|(at, _)| at.as_slice() == key) {
                Some((at, Some(row))) => visit(&at, &row)?,
                Some((_, None)) => true,
                None => visit(key, value)?,
            };
            Ok(wants_more)
        };
        match direction {
            Direction::Forward => self.base.scan(range.table, range.start, range.end, &mut merge)?,
            Direction::Reverse => self.base.scan_reverse(range.table, range.start, range.end, &mut merge)?,
        }
        for (at, row) in written {
            if !wants_more {
                break;
            }
            if let Some(row) = row {
                wants_more = visit(&at, &row)?;
            }
        }
        Ok(())
    }
}

/// Rows from `start` (included) to `end` (excluded; `None`: end of the table).
struct Range<'a> {
    table: Table,
    start: &'a [u8],
    end: Option<&'a [u8]>,
}

impl Reader for Tx<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
        match self.overlaid(table, key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        self.scan_merged(&Range { table, start, end }, Direction::Forward, visit)
    }

    fn scan_reverse(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        self.scan_merged(&Range { table, start, end }, Direction::Reverse, visit)
    }

    fn set_aside(&self, table: Table, key: &[u8], reason: &str) {
        self.base.set_aside(table, key, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryTables;
    use super::*;

    fn write(key: &str, value: Option<&str>) -> Write {
        Write { table: Table::Jobs, key: key.into(), value: value.map(Into::into) }
    }

    fn seen(tx: &Tx<'_>, start: &str, end: Option<&str>, limit: usize) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        tx.scan(Table::Jobs, start.as_bytes(), end.map(str::as_bytes), &mut |key, value| {
            rows.push((text(key), text(value)));
            Ok(rows.len() < limit)
        })
        .unwrap();
        rows
    }

    fn rows(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    #[test]
    fn a_scan_sees_base_batch_and_entry_as_one() {
        let mut base = MemoryTables::default();
        base.commit(["b", "d", "f"].map(|key| write(key, Some("base"))));
        let mut tx = Tx::new(&base, TableIndexes::default());
        tx.put_bytes(Table::Jobs, b"a".to_vec(), b"batch".to_vec());
        tx.put_bytes(Table::Jobs, b"e".to_vec(), b"batch".to_vec());
        tx.delete(Table::Jobs, b"d".to_vec());
        tx.keep_entry();
        tx.put_bytes(Table::Jobs, b"b".to_vec(), b"entry".to_vec());
        tx.put_bytes(Table::Jobs, b"g".to_vec(), b"entry".to_vec());
        tx.delete(Table::Jobs, b"e".to_vec());

        let all = rows(&[("a", "batch"), ("b", "entry"), ("f", "base"), ("g", "entry")]);
        assert_eq!(all, seen(&tx, "", None, 9));
        assert_eq!(all[..1], seen(&tx, "", None, 1));
        assert_eq!(all[..2], seen(&tx, "", None, 2));
        assert_eq!(all[1..3], seen(&tx, "b", Some("g"), 9));
        assert_eq!(rows(&[]), seen(&tx, "b", Some("a"), 9));

        tx.drop_entry();
        assert_eq!(
            rows(&[("a", "batch"), ("b", "base"), ("e", "batch"), ("f", "base")]),
            seen(&tx, "", None, 9)
        );
    }

    #[test]
    fn a_dropped_entry_leaves_no_trace() {
        let base = MemoryTables::default();
        let mut tx = Tx::new(&base, TableIndexes::default());
        tx.put_bytes(Table::Jobs, b"a".to_vec(), b"1".to_vec());
        tx.touch(Table::Jobs, 5);
        tx.drop_entry();
        assert!(tx.keep_entry().is_empty());
        assert_eq!((Vec::new(), TableIndexes::default()), tx.finish());
    }
}
