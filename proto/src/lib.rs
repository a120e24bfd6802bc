//! What crosses a process boundary: protobuf messages (log entries, table rows, the servers' and the
//! nodes' gRPC), and the HTTP API's JSON types. With the feature `grpc` also the tonic services.

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

/// The session of a node agent with a server (`proto/ordu/node.proto`).
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod node {
    include!(concat!(env!("OUT_DIR"), "/ordu.node.rs"));
}

/// Raft between servers (`proto/ordu/raft.proto`).
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod raft {
    include!(concat!(env!("OUT_DIR"), "/ordu.raft.rs"));
}

/// What servers ask of each other beside raft (`proto/ordu/server.proto`).
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod server {
    include!(concat!(env!("OUT_DIR"), "/ordu.server.rs"));
}

pub mod api;
