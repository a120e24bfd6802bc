//! The API's documents as JSON types, made from rows. Conversions are total: whatever a row holds, it has
//! a document.

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
pub(super) mod task;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

/// Appends a document.
fn append(document: &impl Serialize, out: &mut Vec<u8>) {
    // The documents hold texts, numbers, lists and maps by text, and a vector takes every byte.
    serde_json::to_writer(out, document).expect("the API's documents are JSON by their types");
}

/// A map, or null where it is empty: Go writes a map that was never made so.
fn some_map<K, V>(map: &BTreeMap<K, V>) -> Option<&BTreeMap<K, V>> {
    Some(map).filter(|map| !map.is_empty())
}

/// A list, or null where it is empty.
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
