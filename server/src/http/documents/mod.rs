//! The API's JSON documents, built from rows. Conversions are total: every row has a document.

pub(super) mod agent;
pub(super) mod alloc;
pub(super) mod autopilot;
pub(super) mod eval;
pub(super) mod feature_level;
pub(super) mod job;
pub(super) mod metric;
pub(super) mod metrics;
pub(super) mod node;
pub(super) mod plan;
pub(super) mod resources;
pub(super) mod search;
mod stats;
pub(super) mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

/// Appends a document as JSON.
fn append(document: &impl Serialize, out: &mut Vec<u8>) {
    // Documents hold only strings, numbers, lists and maps by string, and a vector accepts every byte.
    serde_json::to_writer(out, document).expect("the API's documents are JSON by their types");
}

/// Returns the map, or null if it is empty: Go encodes a nil map as null.
fn some_map<K, V>(map: &BTreeMap<K, V>) -> Option<&BTreeMap<K, V>> {
    Some(map).filter(|map| !map.is_empty())
}

/// Returns the list, or null if it is empty.
fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_zero_ns(number: &i64) -> bool {
    *number == 0
}

fn is_empty(text: &str) -> bool {
    text.is_empty()
}
