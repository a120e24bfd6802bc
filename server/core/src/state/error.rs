//! The one way that reading state can fail: what is stored is not what was written.

/// Storage failed or holds bytes that no release of Ordu wrote. The server that meets it must stop.
#[derive(Debug, thiserror::Error)]
#[error("table {table}: {reason}")]
pub struct Corrupt {
    /// The table read, or "-" where it is not known.
    pub table: &'static str,
    /// What was found.
    pub reason: String,
}

impl Corrupt {
    /// A fault found in `table`.
    pub fn new(table: super::Table, reason: impl std::fmt::Display) -> Self {
        Self { table: table.name(), reason: reason.to_string() }
    }
}
