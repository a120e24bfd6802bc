//! Tables in memory: replaces RocksDB in simulations and in tests of commands.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::reader::Visit;
use super::{Corrupt, Reader, Table, Write};

/// Ordered tables. A clone is a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryTables {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl MemoryTables {
    /// Applies the writes of a transaction.
    pub fn commit(&mut self, writes: impl IntoIterator<Item = Write>) {
        for write in writes {
            match write.value {
                Some(value) => self.rows.insert((write.table, write.key), value),
                None => self.rows.remove(&(write.table, write.key)),
            };
        }
    }

    /// Returns all rows, in the order of tables and keys.
    pub fn iter(&self) -> impl Iterator<Item = (Table, &[u8], &[u8])> {
        self.rows.iter().map(|((table, key), value)| (*table, key.as_slice(), value.as_slice()))
    }
}

impl MemoryTables {
    /// Returns the rows from `start` (included) to `end` (excluded) in key order.
    fn range(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        let first = (table, start.to_vec());
        let last = match end {
            // `range` panics if the end is before the start; such a range is empty.
            Some(end) => Bound::Excluded((table, end.max(start).to_vec())),
            None => table.next().map_or(Bound::Unbounded, |next| Bound::Excluded((next, Vec::new()))),
        };
        let rows = self.rows.range((Bound::Included(first), last));
        rows.map(|((_, key), value)| (key.as_slice(), value.as_slice()))
    }
}

fn visit_all<'a>(
    rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    visit: &mut Visit<'_>,
) -> Result<(), Corrupt> {
    for (key, value) in rows {
        if !visit(key, value)? {
            break;
        }
    }
    Ok(())
}

impl Reader for MemoryTables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
        Ok(self.rows.get(&(table, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        visit_all(self.range(table, start, end), visit)
    }

    fn scan_reverse(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        visit_all(self.range(table, start, end).rev(), visit)
    }
}
