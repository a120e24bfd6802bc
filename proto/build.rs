//! Compiles the `.proto` files without a system protoc: protox parses them, prost and tonic generate the Rust
//! code.

use std::error::Error;

/// Where the files are.
const FOLDER: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(files()?, [FOLDER])?;
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

/// All files, in the order of their names, so that a new one is compiled without being listed.
fn files() -> Result<Vec<String>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(format!("{FOLDER}/ordu"))? {
        let name = entry?.file_name().into_string().map_err(|name| format!("{name:?} is no text"))?;
        if name.ends_with(".proto") {
            files.push(format!("ordu/{name}"));
        }
    }
    files.sort();
    Ok(files)
}
