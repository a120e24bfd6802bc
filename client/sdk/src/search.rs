//! Search by prefix.

use crate::client::Client;
use crate::error::Error;
use crate::null;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// What a search found, by context: `jobs`, `allocs`, `evals`, `nodes`, `deployment`, …
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SearchResult {
    /// The first ids that begin with the prefix; null where there is none.
    #[serde(deserialize_with = "null::default")]
    pub matches: BTreeMap<String, Option<Vec<String>>>,
    /// Whether there are more.
    #[serde(deserialize_with = "null::default")]
    pub truncations: BTreeMap<String, bool>,
    /// Index of the answer.
    pub index: u64,
}

impl Client {
    /// Returns the ids that begin with a prefix, in one context or in `all`. UUIDs may be given in any length.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn search(
        &self,
        prefix: &str,
        context: &str,
        namespace: Option<&str>,
    ) -> Result<SearchResult, Error> {
        let body = json!({"Prefix": prefix, "Context": context});
        self.write(Method::POST, "/v1/search", namespace, &[], Some(&body)).await
    }
}
