//! Allocations on this node: which there are (`table`), one of them (`runner`), its tasks (`task`), where
//! they stand (`board`) and what is written down of that (`store`).

pub(crate) mod board;
pub(crate) mod directory;
pub(crate) mod events;
mod payload;
mod program;
pub(crate) mod restart;
pub(crate) mod runner;
pub(crate) mod store;
pub(crate) mod table;
mod task;
