//! Allocations on this node: the set of them (`table`), a single one (`runner`), its tasks (`task`), their current
//! state (`board`) and its copy on disk (`store`).

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
