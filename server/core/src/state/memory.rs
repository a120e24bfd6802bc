//! Tables in memory: the twin of RocksDB for simulations and for tests of commands.

use std::collections::BTreeMap;
use std::ops::Bound;

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
        if end.is_some_and(|end| end <= start) {
            return Ok(());
        }
        let from = Bound::Included((table, start.to_vec()));
        let to = end.map_or(Bound::Unbounded, |end| Bound::Excluded((table, end.to_vec())));
        for ((at, key), value) in self.rows.range((from, to)) {
            if *at != table || !visit(key, value)? {
                break;
            }
        }
        Ok(())
    }
}
