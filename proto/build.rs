//! Compiles the `.proto` files without a system protoc: protox parses them, prost and tonic write
//! the Rust.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

const FILES: [&str; 5] =
    ["ordu/state.proto", "ordu/command.proto", "ordu/node.proto", "ordu/raft.proto", "ordu/server.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let next_level = std::env::var_os("CARGO_FEATURE_NEXT_LEVEL").is_some();
    let folder = if next_level { with_the_next_level()? } else { PathBuf::from("proto") };
    let descriptors = protox::compile(FILES, [folder])?;
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    let mut config = prost_build::Config::new();
    // Ordered maps: what is encoded must not depend on the order of a hash table.
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

/// What stands behind this in the files belongs to a feature level that no release has.
const NEXT_LEVEL: &str = "// next-level: ";

/// A copy of the files with the messages of the next feature level.
fn with_the_next_level() -> Result<PathBuf, Box<dyn Error>> {
    let folder = Path::new(&std::env::var("OUT_DIR")?).join("proto");
    for file in FILES {
        let copy = folder.join(file);
        fs::create_dir_all(copy.parent().unwrap_or(&folder))?;
        fs::write(copy, fs::read_to_string(Path::new("proto").join(file))?.replace(NEXT_LEVEL, ""))?;
    }
    Ok(folder)
}
