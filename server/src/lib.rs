//! Acts: the raft node, gRPC, HTTP, watches, a leader's duties.

pub mod addresses;
pub mod alarms;
pub mod candidacy;
pub mod clock;
pub mod cluster;
pub mod contact;
pub mod contain;
pub mod context;
pub mod counts;
pub mod disk_space;
mod distances;
mod divergence;
pub mod error;
pub mod feed;
mod guards;
pub mod http;
pub mod leader;
mod leadership;
pub mod limits;
mod low_priority;
pub mod membership;
pub mod net;
mod node_label;
pub mod options;
pub mod peers;
pub mod raft;
pub mod read_index;
pub mod recovery;
pub mod retention;
pub mod rpc;
pub mod server;
pub mod storage;
#[cfg(test)]
mod testing;
pub mod trust;
pub mod watch;
pub mod writer;
