//! Types that cross a process boundary: protobuf messages (log entries, table rows, gRPC between servers and
//! nodes) and the JSON types of the HTTP API. The feature `grpc` adds the tonic services.

#[allow(missing_docs, clippy::all, unreachable_pub)]
/// Rows of the state tables (`proto/ordu/state.proto`).
pub mod state {
    include!(concat!(env!("OUT_DIR"), "/ordu.state.rs"));
}

/// Log entries and their outcomes (`proto/ordu/command.proto`).
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod command {
    include!(concat!(env!("OUT_DIR"), "/ordu.command.rs"));
}

/// The session between a node agent and a server (`proto/ordu/node.proto`).
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod node {
    include!(concat!(env!("OUT_DIR"), "/ordu.node.rs"));
}

/// The Raft protocol between servers (`proto/ordu/raft.proto`).
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod raft {
    include!(concat!(env!("OUT_DIR"), "/ordu.raft.rs"));
}

/// Requests between servers, other than Raft (`proto/ordu/server.proto`).
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod server {
    include!(concat!(env!("OUT_DIR"), "/ordu.server.rs"));
}

pub mod api;
