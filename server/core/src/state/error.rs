//! The one way that reading state can fail: what is stored is not what was written.

use super::Table;

/// What of the storage is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk or the database on it: nothing that is read here can be relied on, and the server must stop.
    Storage,
    /// One row: its bytes are the ones that were stored and cannot be decoded, or it names a row that is not
    /// there. Whoever needs that row fails; all others go on without it.
    Row,
}

/// Storage failed or holds bytes that no release of Ordu wrote.
#[derive(Debug, thiserror::Error)]
#[error("table {table}: {reason}")]
pub struct Corrupt {
    /// How much is at fault.
    pub fault: Fault,
    /// The table read.
    pub table: &'static str,
    /// What was found.
    pub reason: String,
}

impl Corrupt {
    /// The storage failed while `table` was read.
    pub fn storage(table: Table, reason: impl std::fmt::Display) -> Self {
        Self { fault: Fault::Storage, table: table.name(), reason: reason.to_string() }
    }

    /// A row of `table` cannot be what was written. All others are read by what the rows of [`Table::Meta`]
    /// say, so a fault in one of those is one of the storage.
    pub fn row(table: Table, reason: impl std::fmt::Display) -> Self {
        let fault = if table == Table::Meta { Fault::Storage } else { Fault::Row };
        Self { fault, table: table.name(), reason: reason.to_string() }
    }

    /// Whether others may go on without what was to be read.
    pub fn is_row(&self) -> bool {
        self.fault == Fault::Row
    }
}

/// What a read gives, or nothing where a row cannot be decoded: for whoever goes on without that row.
///
/// # Errors
/// A fault of the storage.
pub fn readable<T>(read: Result<T, Corrupt>) -> Result<Option<T>, Corrupt> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(corrupt) if corrupt.is_row() => Ok(None),
        Err(corrupt) => Err(corrupt),
    }
}
