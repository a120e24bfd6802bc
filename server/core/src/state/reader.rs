//! Read access to tables: one trait for RocksDB, for tables in memory, and for a transaction over either.

use prost::Message;

use super::{Corrupt, Table};

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Takes a key and its value and returns whether to continue. For functions outside of traits.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt> + 'a;

/// A consistent view of the tables.
pub trait Reader {
    /// Returns the value of `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt>;

    /// Calls `visit` with the rows from `start` (included) to `end` (excluded; `None`: end of
    /// the table) in key order, until it returns false.
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

    /// Calls `visit` with the rows of the same range in reverse key order, until it returns false.
    ///
    /// This default implementation reads the whole range before it visits the first row, which is too slow for long
    /// tables. Readers that can iterate backwards override it.
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

    /// Records that the row of `key` cannot be decoded and is skipped. A reader of a server's own tables reports it to
    /// the operator; others may ignore it.
    fn set_aside(&self, _table: Table, _key: &[u8], _reason: &str) {}
}

/// Extensions of [`Reader`]: decoding rows, scanning prefixes.
pub trait ReaderExt: Reader {
    /// Decodes a row. If it cannot be decoded, reports it with [`Reader::set_aside`] and returns `None`.
    fn decoded<M: Message + Default>(&self, table: Table, key: &[u8], bytes: &[u8]) -> Option<M> {
        self.decode_row(table, key, bytes).ok()
    }

    /// Like [`ReaderExt::decoded`], for callers that cannot continue without the row.
    fn decode_row<M: Message + Default>(&self, table: Table, key: &[u8], bytes: &[u8]) -> Result<M, Corrupt> {
        decode(table, bytes).inspect_err(|corrupt| self.set_aside(table, key, &corrupt.reason))
    }

    /// Reports the row of `key` with [`Reader::set_aside`] and returns the error for callers that need the row.
    fn corrupt_row(&self, table: Table, key: &[u8], reason: impl std::fmt::Display) -> Corrupt {
        let corrupt = Corrupt::row(table, reason);
        self.set_aside(table, key, &corrupt.reason);
        corrupt
    }

    /// Returns the decoded row of `key`.
    fn row<M: Message + Default>(&self, table: Table, key: &[u8]) -> Result<Option<M>, Corrupt> {
        match self.get(table, key)? {
            Some(bytes) => self.decode_row(table, key, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Calls `visit` with the rows whose keys begin with `prefix`, until it returns false.
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

    /// Returns whether any key begins with `prefix`.
    fn any_with_prefix(&self, table: Table, prefix: &[u8]) -> Result<bool, Corrupt> {
        let mut any = false;
        self.scan_prefix(table, prefix, &mut |_, _| {
            any = true;
            Ok(false)
        })?;
        Ok(any)
    }

    /// Returns the decodable rows whose keys begin with `prefix`.
    fn rows<M: Message + Default>(&self, table: Table, prefix: &[u8]) -> Result<Vec<M>, Corrupt> {
        let mut rows = Vec::new();
        self.scan_prefix(table, prefix, &mut |key, bytes| {
            rows.extend(self.decoded::<M>(table, key, bytes));
            Ok(true)
        })?;
        Ok(rows)
    }

    /// Returns the ids at the end of the keys that begin with `prefix` in a secondary table. Skips keys without one.
    fn ids(&self, table: Table, prefix: &[u8]) -> Result<Vec<super::Id>, Corrupt> {
        let mut ids = Vec::new();
        self.scan_prefix(table, prefix, &mut |key, _| {
            ids.extend(self.trailing_id(table, key));
            Ok(true)
        })?;
        Ok(ids)
    }

    /// Returns the id at the end of a key. If the key is too short, reports it with
    /// [`Reader::set_aside`] and returns `None`.
    fn trailing_id(&self, table: Table, key: &[u8]) -> Option<super::Id> {
        let id = super::key::trailing_id(key);
        if id.is_none() {
            self.set_aside(table, key, "a key that ends with no id");
        }
        id
    }
}

impl<R: Reader + ?Sized> ReaderExt for R {}

/// Decodes stored bytes. To report an undecodable row to the operator, use [`ReaderExt::decode_row`].
pub fn decode<M: Message + Default>(table: Table, bytes: &[u8]) -> Result<M, Corrupt> {
    M::decode(bytes).map_err(|error| Corrupt::row(table, format!("a row that cannot be decoded: {error}")))
}
