//! Remembers: the raft log and the state tables in RocksDB, checkpoints, and an in-memory twin of both
//! for simulation.
//!
//! Two databases. The log syncs (group commit through one flusher); the tables do not need to, since
//! the log replays onto the applied id they were flushed with.

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
