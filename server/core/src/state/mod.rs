//! Tables, keys, rows, and the transaction that `apply` writes through.

pub mod error;
pub mod hash;
pub mod key;
pub mod memory;
pub mod read;
pub mod reader;
pub mod table;
pub mod tx;

pub use error::Corrupt;
pub use memory::MemoryTables;
pub use reader::{Reader, Row};
pub use table::{Table, TableIndexes};
pub use tx::{Change, Tx, Write};

/// A UUID's sixteen bytes, as rows and keys hold it.
pub type Id = [u8; 16];
