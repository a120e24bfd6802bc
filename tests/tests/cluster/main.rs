//! Clusters of real processes. One program, since each would be linked with all of RocksDB.

mod agent;
mod bad_input;
mod children;
mod cli;
mod clocks;
mod configuration;
mod conformance;
mod connections;
mod consistency;
mod copies;
mod damage;
mod disks;
mod divergence;
mod durability;
mod heavy;
mod hostile_peers;
mod lists;
mod membership;
mod openapi;
mod partition;
mod periodic;
mod plans;
mod quorum;
mod reconcile;
mod unreadable;
mod versions;
