//! The error of reading the state: the storage fails, or its content is not what was written.

use super::Table;

/// The extent of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk or the database: nothing read from it can be trusted, and the server must stop.
    Storage,
    /// A single row: its stored bytes cannot be decoded, or it refers to a missing row. Operations that need the row
    /// fail; all others continue without it.
    Row,
}

/// The storage failed, or it holds bytes that no release of Ordu wrote.
#[derive(Debug, thiserror::Error)]
#[error("table {table}: {reason}")]
pub struct Corrupt {
    /// Extent of the fault.
    pub fault: Fault,
    /// Name of the table being read.
    pub table: &'static str,
    /// Description of the fault.
    pub reason: String,
}

impl Corrupt {
    /// Builds the error for a failed read of `table`.
    pub fn storage(table: Table, reason: impl std::fmt::Display) -> Self {
        Self { fault: Fault::Storage, table: table.name(), reason: reason.to_string() }
    }

    /// Builds the error for a malformed row of `table`. In [`Table::Meta`] this is a fault of the storage, because all
    /// other tables depend on its rows.
    pub fn row(table: Table, reason: impl std::fmt::Display) -> Self {
        let fault = if table == Table::Meta { Fault::Storage } else { Fault::Row };
        Self { fault, table: table.name(), reason: reason.to_string() }
    }

    /// Returns whether operations that do not need the row may continue.
    pub fn is_row(&self) -> bool {
        self.fault == Fault::Row
    }
}

/// Turns the error for an unreadable row into `None`, for callers that continue without the row.
///
/// # Errors
/// Fails if the storage failed.
pub fn readable<T>(read: Result<T, Corrupt>) -> Result<Option<T>, Corrupt> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(corrupt) if corrupt.is_row() => Ok(None),
        Err(corrupt) => Err(corrupt),
    }
}
