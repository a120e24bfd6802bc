//! How the leader looks after the servers, and how they are by its word.

use crate::client::Client;
use crate::error::Error;
use crate::null;
use crate::query::Query;
use reqwest::Method;
use serde::{Deserialize, Serialize};

const CONFIGURATION: &str = "/v1/operator/autopilot/configuration";
const HEALTH: &str = "/v1/operator/autopilot/health";
/// The status of the health of servers that are not all healthy.
const UNHEALTHY: u16 = 429;

/// How the leader looks after the servers. Spans of time are written as Go does: `10s`, `200ms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotConfiguration {
    /// A voter that has failed goes when another server votes in its place.
    pub cleanup_dead_servers: bool,
    /// A server that has not answered the leader for longer is not healthy.
    pub last_contact_threshold: String,
    /// Entries that a healthy server may be behind.
    pub max_trailing_logs: u64,
    /// No voter goes by itself where fewer than these would be left.
    pub min_quorum: u64,
    /// For how long a server has to be well without a break before it votes.
    pub server_stabilization_time: String,
    /// Without effect in Ordu.
    pub enable_redundancy_zones: bool,
    /// Without effect in Ordu.
    pub disable_upgrade_migration: bool,
    /// Without effect in Ordu.
    pub enable_custom_upgrades: bool,
    /// Index of the first change.
    pub create_index: u64,
    /// Index of the last change.
    pub modify_index: u64,
}

/// How the servers are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AutopilotHealth {
    /// All of them are healthy.
    pub healthy: bool,
    /// Healthy voters that can be lost while a majority is left.
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

/// How a server is.
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
    /// The version that it tells.
    pub version: String,
    /// It leads.
    pub leader: bool,
    /// How long ago it was in touch with the leader, as Go writes it; negative where it never was.
    pub last_contact: String,
    /// The term of the last entry that it is known to have.
    pub last_term: u64,
    /// The index of that entry.
    pub last_index: u64,
    /// It is in touch and has the log.
    pub healthy: bool,
    /// It has a vote.
    pub voter: bool,
    /// Since when it is healthy, or is not, as the leader has seen it.
    pub stable_since: String,
}

impl Client {
    /// How the leader looks after the servers.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn autopilot_configuration(&self) -> Result<AutopilotConfiguration, Error> {
        Ok(self.get(CONFIGURATION, &Query::default()).await?.value)
    }

    /// Sets how the leader looks after the servers; with `modify_index` only if it was changed last at that index. False
    /// where that is another one, and nothing was done.
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

    /// How the servers are, by the leader's word.
    ///
    /// # Errors
    /// See [`Error`]; that servers are not healthy is none.
    pub async fn autopilot_health(&self) -> Result<AutopilotHealth, Error> {
        match self.get(HEALTH, &Query::default()).await {
            Err(Error::Refused { status: UNHEALTHY, body }) => serde_json::from_str(&body)
                .map_err(|source| Error::Decode { path: HEALTH.to_owned(), source }),
            answer => Ok(answer?.value),
        }
    }
}
