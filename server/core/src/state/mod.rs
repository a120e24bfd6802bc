//! The replicated state: tables, keys, rows, and the transaction that `apply` writes through.

pub mod census;
pub mod error;
pub mod hash;
pub mod id;
mod job_key;
pub mod key;
pub mod memory;
pub mod page;
pub mod read;
pub mod reader;
pub mod rows;
pub mod table;
pub mod token;
pub mod tx;

pub use census::Census;
pub use error::{Corrupt, Fault, readable};
pub use job_key::JobKey;
pub use memory::MemoryTables;
pub use page::{Direction, Place, Span, page, scan_span};
pub use reader::{Reader, Row, Visit};
pub use rows::{Change, RowChange, Rows};
pub use table::{Table, TableIndexes};
pub use token::{IdToken, InvalidToken, JobToken};
pub use tx::{Tx, Write};

/// The sixteen bytes of a UUID, as stored in rows and keys.
pub type Id = [u8; 16];
