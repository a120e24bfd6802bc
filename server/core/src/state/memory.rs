//! Tables in memory: the twin of RocksDB for simulations and for tests of commands.

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
    /// Takes in what a transaction wrote.
    pub fn commit(&mut self, writes: impl IntoIterator<Item = Write>) {
        for write in writes {
            match write.value {
                Some(value) => self.rows.insert((write.table, write.key), value),
                None => self.rows.remove(&(write.table, write.key)),
            };
        }
    }

    /// All rows, in the order of tables and keys.
    pub fn iter(&self) -> impl Iterator<Item = (Table, &[u8], &[u8])> {
        self.rows.iter().map(|((table, key), value)| (*table, key.as_slice(), value.as_slice()))
    }
}

impl MemoryTables {
    /// The rows from `start` (included) to `end` (excluded) in the order of their keys.
    fn range(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        let first = (table, start.to_vec());
        let last = match end {
            // A range that ends before it begins would be a panic; it is an empty one.
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
