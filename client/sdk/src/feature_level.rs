//! The cluster's feature level, and what each server knows.

use crate::client::Client;
use crate::error::Error;
use crate::null;
use crate::query::Query;
use reqwest::Method;
use serde::{Deserialize, Serialize};

const FEATURE_LEVEL: &str = "/v1/operator/ordu/feature-level";

/// The cluster's feature level, and what each server knows. Spans of time are written as Go does: `10m0s`, `1.5s`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FeatureLevels {
    /// The cluster's. What belongs to a higher one is refused.
    pub level: u32,
    /// The highest that any server knows.
    pub highest: u32,
    /// The names of the servers that do not know that one.
    #[serde(deserialize_with = "null::default")]
    pub held_back_by: Vec<String>,
    /// For how long every server has known more than the cluster's level; none where some know no more.
    pub known_for: Option<String>,
    /// After how long of that the leader raises the level.
    pub raised_after: String,
    /// The servers.
    #[serde(deserialize_with = "null::default")]
    pub servers: Vec<ReleaseOfServer>,
}

/// What a server has told of its release last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReleaseOfServer {
    /// Its raft id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address and RPC port.
    pub address: String,
    /// The highest feature level that it knows; 0 where the leader has not heard of it.
    pub level: u32,
    /// Ordu's version.
    pub release: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RaisedLevel {
    level: u32,
}

impl Client {
    /// The cluster's feature level, and what each server knows, by the leader's word.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn feature_levels(&self) -> Result<FeatureLevels, Error> {
        Ok(self.get(FEATURE_LEVEL, &Query::default()).await?.value)
    }

    /// Raises the cluster's feature level to the highest that every server knows, and tells which that is.
    ///
    /// # Errors
    /// See [`Error`]; it is refused where a server does not know what another knows.
    pub async fn raise_feature_level(&self) -> Result<u32, Error> {
        let path = format!("{FEATURE_LEVEL}/raise");
        let raised: RaisedLevel = self.write(Method::PUT, &path, None, &[], None::<&()>).await?;
        Ok(raised.level)
    }
}
