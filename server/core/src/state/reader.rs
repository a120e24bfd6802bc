//! Reading tables: one trait for RocksDB, for memory, and for a transaction over either.

use prost::Message;

use super::{Corrupt, Table};

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Takes a key and its value and answers whether it wants more; for functions that are no trait's.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt> + 'a;

/// A consistent view of the tables.
pub trait Reader {
    /// The value of `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt>;

    /// Calls `visit` with the rows from `start` (included) to `end` (excluded; `None`: to the end of the
    /// table) in the order of their keys, until it answers false.
    #[allow(
        clippy::type_complexity,
        reason = "named, the visitor would need a lifetime at every implementor"
    )]
    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt>;

    /// Calls `visit` with the rows of the same range as [`Reader::scan`], the last one first, until it
    /// answers false.
    ///
    /// What is given here reads the whole range before it visits anything. It is right for every reader
    /// and too slow for a long table: a reader that can walk backwards does.
    #[allow(clippy::type_complexity, reason = "as for `scan`")]
    fn scan_reverse(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        let mut rows: Vec<Row> = Vec::new();
        self.scan(table, start, end, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(true)
        })?;
        for (key, value) in rows.iter().rev() {
            if !visit(key, value)? {
                break;
            }
        }
        Ok(())
    }

    /// Notes that the row of `key` cannot be decoded and is left out of what is read. A reader of a server's
    /// own tables tells the operator; others need not.
    fn set_aside(&self, _table: Table, _key: &[u8], _reason: &str) {}
}

/// What is built on [`Reader`]: rows as messages, prefixes.
pub trait ReaderExt: Reader {
    /// A row that was read, as a message; `None`, and set aside, where it cannot be decoded.
    fn decoded<M: Message + Default>(&self, table: Table, key: &[u8], bytes: &[u8]) -> Option<M> {
        self.decode_row(table, key, bytes).ok()
    }

    /// As [`ReaderExt::decoded`], for whoever cannot go on without the row.
    fn decode_row<M: Message + Default>(&self, table: Table, key: &[u8], bytes: &[u8]) -> Result<M, Corrupt> {
        decode(table, bytes).inspect_err(|corrupt| self.set_aside(table, key, &corrupt.reason))
    }

    /// Sets aside the row of `key` and gives the error of whoever cannot go on without it.
    fn corrupt_row(&self, table: Table, key: &[u8], reason: impl std::fmt::Display) -> Corrupt {
        let corrupt = Corrupt::row(table, reason);
        self.set_aside(table, key, &corrupt.reason);
        corrupt
    }

    /// The row of `key` as a message.
    fn row<M: Message + Default>(&self, table: Table, key: &[u8]) -> Result<Option<M>, Corrupt> {
        match self.get(table, key)? {
            Some(bytes) => self.decode_row(table, key, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Calls `visit` with the rows whose keys begin with `prefix`, until it answers false.
    #[allow(clippy::type_complexity, reason = "as for `scan`")]
    fn scan_prefix(
        &self,
        table: Table,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        let end = super::key::end_of(prefix);
        self.scan(table, prefix, end.as_deref(), visit)
    }

    /// Whether any key begins with `prefix`.
    fn any_with_prefix(&self, table: Table, prefix: &[u8]) -> Result<bool, Corrupt> {
        let mut any = false;
        self.scan_prefix(table, prefix, &mut |_, _| {
            any = true;
            Ok(false)
        })?;
        Ok(any)
    }

    /// The messages whose keys begin with `prefix`, but for those that cannot be decoded.
    fn rows<M: Message + Default>(&self, table: Table, prefix: &[u8]) -> Result<Vec<M>, Corrupt> {
        let mut rows = Vec::new();
        self.scan_prefix(table, prefix, &mut |key, bytes| {
            rows.extend(self.decoded::<M>(table, key, bytes));
            Ok(true)
        })?;
        Ok(rows)
    }

    /// The ids that end the keys of a secondary table that begin with `prefix`; keys that end with none are
    /// passed over.
    fn ids(&self, table: Table, prefix: &[u8]) -> Result<Vec<super::Id>, Corrupt> {
        let mut ids = Vec::new();
        self.scan_prefix(table, prefix, &mut |key, _| {
            ids.extend(self.trailing_id(table, key));
            Ok(true)
        })?;
        Ok(ids)
    }

    /// The id that ends a key; `None`, and set aside, where the key is too short to have one.
    fn trailing_id(&self, table: Table, key: &[u8]) -> Option<super::Id> {
        let id = super::key::trailing_id(key);
        if id.is_none() {
            self.set_aside(table, key, "a key that ends with no id");
        }
        id
    }
}

impl<R: Reader + ?Sized> ReaderExt for R {}

/// Decodes stored bytes; of a row that was read, [`ReaderExt::decode_row`] also tells the operator.
pub fn decode<M: Message + Default>(table: Table, bytes: &[u8]) -> Result<M, Corrupt> {
    M::decode(bytes).map_err(|error| Corrupt::row(table, format!("a row that cannot be decoded: {error}")))
}
