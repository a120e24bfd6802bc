//! Configuration files: finding and parsing them.

use super::ConfigError;
use ordu_core::hcl::{self, Body, Dialect, HCL_BYTES_MAX};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Replaces each directory by its `.hcl` and `.json` files in the order of their names.
pub(super) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable =
            |cause: std::io::Error| ConfigError::Unreadable { path: path.clone(), cause: cause.to_string() };
        if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if matches!(extension(&file), Some("hcl" | "json")) && file.is_file() {
                inside.push(file);
            }
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// Parses one file, as JSON or HCL by its extension, else by its first character.
pub(super) fn read(path: &Path) -> Result<Body, ConfigError> {
    let unreadable = |cause: String| ConfigError::Unreadable { path: path.to_owned(), cause };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    // One byte more than allowed, so that the parser reports a file that is too large.
    let bytes_max = HCL_BYTES_MAX as u64 + 1;
    file.take(bytes_max).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
    let json = match extension(path) {
        Some("json") => true,
        Some("hcl") => false,
        _ => text.trim_start().starts_with('{'),
    };
    let dialect = if json { Dialect::Json } else { Dialect::Configuration };
    hcl::parse(&text, dialect).map_err(|error| super::apply::place(path, error))
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}
