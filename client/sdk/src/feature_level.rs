//! The cluster's feature level, and the level that each server supports.

use crate::client::Client;
use crate::error::Error;
use crate::null;
use crate::query::Query;
use reqwest::Method;
use serde::{Deserialize, Serialize};

const FEATURE_LEVEL: &str = "/v1/operator/ordu/feature-level";

/// The cluster's feature level, and the level that each server supports. Durations are in Go's notation:
/// `10m0s`, `1.5s`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FeatureLevels {
    /// The cluster's level. Features of a higher level are refused.
    pub level: u32,
    /// The highest level that any server supports.
    pub highest: u32,
    /// Names of the servers that do not support that level.
    #[serde(deserialize_with = "null::default")]
    pub held_back_by: Vec<String>,
    /// How long every server has supported more than the cluster's level; `None` if some do not.
    pub known_for: Option<String>,
    /// How long that must last before the leader raises the level.
    pub raised_after: String,
    /// The servers.
    #[serde(deserialize_with = "null::default")]
    pub servers: Vec<ReleaseOfServer>,
}

/// A server's release, as the server reported it last.
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
    /// The highest feature level that it supports; 0 if the leader has not heard from it.
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
    /// Reads the leader's report of the cluster's feature level and of each server's.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn feature_levels(&self) -> Result<FeatureLevels, Error> {
        Ok(self.get(FEATURE_LEVEL, &Query::default()).await?.value)
    }

    /// Raises the cluster's feature level to the highest that every server supports, and returns it.
    ///
    /// # Errors
    /// See [`Error`]; refused if some server does not support a level that another supports.
    pub async fn raise_feature_level(&self) -> Result<u32, Error> {
        let path = format!("{FEATURE_LEVEL}/raise");
        let raised: RaisedLevel = self.write(Method::PUT, &path, None, &[], None::<&()>).await?;
        Ok(raised.level)
    }
}
