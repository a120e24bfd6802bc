//! Compiles the `.proto` files without a system protoc: protox parses them, prost and tonic generate the Rust
//! code.

use std::error::Error;

const FILES: [&str; 5] =
    ["ordu/state.proto", "ordu/command.proto", "ordu/node.proto", "ordu/raft.proto", "ordu/server.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    let mut config = prost_build::Config::new();
    // Ordered maps, so that the encoding does not depend on the order of a hash table.
    config.btree_map(["."]).bytes([
        "ordu.raft.Entry.command",
        "ordu.raft.SnapshotChunk.data",
        "ordu.server.ProposeRequest.commands",
    ]);
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .build_transport(grpc)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
