//! Storage of a server: the raft log and the state tables in RocksDB, snapshots, and in-memory versions of both
//! for simulations.
//!
//! The log and the tables are two databases. The log is synced, with group commit in one flusher. The tables
//! need no sync: after a crash, raft replays the log from the applied id that was last flushed with them.

pub mod background;
mod chains;
pub mod codec;
pub mod damage;
mod directory;
mod families;
pub mod faults;
pub mod format;
pub mod identity;
pub mod log;
pub mod runtime;
pub mod snapshot;
pub mod state_machine;
pub mod tables;
pub mod timings;
pub mod types;
pub mod urgency;
