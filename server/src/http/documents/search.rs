//! The answer to a search.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::some_list;
use crate::http::answer::Freshness;

/// What a search found, by context.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SearchResult {
    matches: BTreeMap<&'static str, Option<Vec<String>>>,
    truncations: BTreeMap<&'static str, bool>,
    index: u64,
    known_leader: bool,
    last_contact: u64,
}

/// What a search found in one context.
#[derive(Default)]
pub(crate) struct Matches {
    /// The first ids, in their order.
    pub(crate) ids: Vec<String>,
    /// Whether there are more.
    pub(crate) truncated: bool,
}

impl SearchResult {
    pub(crate) fn of(found: Vec<(&'static str, Matches)>, index: u64, freshness: Freshness) -> Self {
        Self {
            truncations: found.iter().map(|(context, matches)| (*context, matches.truncated)).collect(),
            matches: found.into_iter().map(|(context, matches)| (context, some_list(matches.ids))).collect(),
            index,
            known_leader: freshness.known_leader,
            last_contact: freshness.last_contact_ns(),
        }
    }
}
