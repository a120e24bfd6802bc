//! Clusters of real processes. One program, since each would be linked with all of RocksDB.

mod agent;
mod bad_input;
mod cli;
mod configuration;
mod conformance;
mod consistency;
mod durability;
mod membership;
mod partition;
