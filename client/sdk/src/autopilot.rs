//! Autopilot: its configuration, and the leader's view of the servers' health.

use crate::client::Client;
use crate::error::Error;
use crate::null;
use crate::query::Query;
use reqwest::Method;
use serde::{Deserialize, Serialize};

const CONFIGURATION: &str = "/v1/operator/autopilot/configuration";
const HEALTH: &str = "/v1/operator/autopilot/health";
/// HTTP status of the health answer if a server is unhealthy.
const UNHEALTHY: u16 = 429;

/// Autopilot's configuration. Durations are in Go's notation: `10s`, `200ms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotConfiguration {
    /// Whether a failed voter is removed once another server votes in its place.
    pub cleanup_dead_servers: bool,
    /// A server that has not answered the leader for longer is unhealthy.
    pub last_contact_threshold: String,
    /// Log entries that a healthy server may be behind.
    pub max_trailing_logs: u64,
    /// No voter is removed automatically if fewer than this many would be left.
    pub min_quorum: u64,
    /// How long a server must have been healthy without a break before it becomes a voter.
    pub server_stabilization_time: String,
    /// Has no effect in Ordu.
    pub enable_redundancy_zones: bool,
    /// Has no effect in Ordu.
    pub disable_upgrade_migration: bool,
    /// Has no effect in Ordu.
    pub enable_custom_upgrades: bool,
    /// Index of the first change.
    pub create_index: u64,
    /// Index of the last change.
    pub modify_index: u64,
}

/// The servers' health.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotHealth {
    /// Whether all servers are healthy.
    pub healthy: bool,
    /// How many healthy voters can be lost while a majority is left.
    pub failure_tolerance: u64,
    /// The leader's raft id.
    pub leader: String,
    /// The raft ids of the servers that vote.
    #[serde(deserialize_with = "null::default")]
    pub voters: Vec<String>,
    /// The servers.
    #[serde(deserialize_with = "null::default")]
    pub servers: Vec<ServerHealth>,
}

/// A server's health.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServerHealth {
    /// Its raft id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address and RPC port.
    pub address: String,
    /// alive, leaving, left or failed.
    pub serf_status: String,
    /// The version that it reports.
    pub version: String,
    /// Whether it is the leader.
    pub leader: bool,
    /// Time since its last contact with the leader, in Go's notation; negative if there was none.
    pub last_contact: String,
    /// Term of the last log entry that it is known to have.
    pub last_term: u64,
    /// Index of that entry.
    pub last_index: u64,
    /// Whether it is in contact with the leader and its log is up to date.
    pub healthy: bool,
    /// Whether it is a voter.
    pub voter: bool,
    /// Since when the server has been healthy or unhealthy, as far as the leader has seen.
    pub stable_since: String,
}

impl Client {
    /// Reads autopilot's configuration.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn autopilot_configuration(&self) -> Result<AutopilotConfiguration, Error> {
        Ok(self.get(CONFIGURATION, &Query::default()).await?.value)
    }

    /// Sets autopilot's configuration. With `modify_index` it does so only if the configuration was last
    /// changed at that index; otherwise it returns false and changes nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_autopilot_configuration(
        &self,
        configuration: &AutopilotConfiguration,
        modify_index: Option<u64>,
    ) -> Result<bool, Error> {
        let parameters: Vec<_> = modify_index.map(|index| ("cas", index.to_string())).into_iter().collect();
        self.write(Method::PUT, CONFIGURATION, None, &parameters, Some(configuration)).await
    }

    /// Reads the leader's view of the servers' health.
    ///
    /// # Errors
    /// See [`Error`]. Unhealthy servers are not an error.
    pub async fn autopilot_health(&self) -> Result<AutopilotHealth, Error> {
        match self.get(HEALTH, &Query::default()).await {
            Err(Error::Refused { status: UNHEALTHY, body }) => serde_json::from_str(&body)
                .map_err(|source| Error::Decode { path: HEALTH.to_owned(), source }),
            answer => Ok(answer?.value),
        }
    }
}
