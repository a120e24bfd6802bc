//! Everything but jobs and nodes: status, the agent itself, the servers, metrics.

use crate::client::Client;
use crate::error::Error;
use crate::null;
use crate::query::{Answer, Query};
use reqwest::Method;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What an agent reports about itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AgentSelf {
    /// Its configuration.
    pub config: serde_json::Value,
    /// The agent as a member.
    pub member: Option<Member>,
    /// Statistics by subsystem.
    #[serde(deserialize_with = "null::default")]
    pub stats: BTreeMap<String, BTreeMap<String, String>>,
}

/// The servers that an agent knows.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentMembers {
    /// The agent's name.
    pub server_name: String,
    /// Its region.
    pub server_region: String,
    /// Its datacenter.
    #[serde(rename = "ServerDC")]
    pub server_dc: String,
    /// The servers.
    #[serde(deserialize_with = "null::default")]
    pub members: Vec<Member>,
}

/// A server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Member {
    /// The name.
    pub name: String,
    /// The address.
    pub addr: String,
    /// The port.
    pub port: u16,
    /// Tags that describe it: `region`, `dc`, `port`, `build`, …
    #[serde(deserialize_with = "null::default")]
    pub tags: BTreeMap<String, String>,
    /// alive, leaving, left or failed.
    pub status: String,
}

/// Identifies a server in raft's configuration.
#[derive(Debug, Clone, Copy)]
pub enum RaftPeer<'a> {
    /// Its raft id.
    Id(&'a str),
    /// Its address and RPC port.
    Address(&'a str),
}

impl RaftPeer<'_> {
    fn parameter(self) -> (&'static str, String) {
        match self {
            RaftPeer::Id(id) => ("id", id.to_owned()),
            RaftPeer::Address(address) => ("address", address.to_owned()),
        }
    }
}

/// Checks that the removal of a server from raft overrides.
#[derive(Debug, Clone, Copy, Default)]
pub struct ForcedRemoval {
    /// Remove the server although it is alive. Unless it is stopped, it joins again.
    pub living: bool,
    /// Remove it although no majority of the remaining voters is alive. Nothing is decided until enough of them
    /// are back.
    pub without_majority: bool,
}

/// The servers from and to which leadership moved.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LeadershipTransfer {
    /// The former leader.
    pub from: RaftAddress,
    /// The new leader.
    pub to: RaftAddress,
    /// Whether the chosen server already led.
    #[serde(default)]
    pub noop: bool,
}

/// A server's identity in raft.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RaftAddress {
    /// Its raft id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its address and RPC port.
    pub address: String,
}

/// Raft's configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftConfiguration {
    /// The servers.
    #[serde(deserialize_with = "null::default")]
    pub servers: Vec<RaftServer>,
    /// Index of the last change.
    pub index: u64,
}

/// A server in raft's configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftServer {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub node: String,
    /// Its address.
    pub address: String,
    /// Whether it is the leader.
    pub leader: bool,
    /// Whether it is a voter.
    pub voter: bool,
    /// The protocol's version.
    pub raft_protocol: serde_json::Value,
}

/// What resetting the cluster's time changed. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TimeReset {
    /// Index of the write.
    pub index: u64,
    /// The cluster's time before the reset.
    pub time_before: i64,
    /// The cluster's time after the reset.
    pub time: i64,
    /// Periodic jobs whose launches now continue from the current time.
    pub periodic_launches: u64,
    /// Evaluations that no longer wait.
    pub evaluations: u64,
}

impl Client {
    /// Returns the address of the leader; empty if there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn leader(&self) -> Result<String, Error> {
        Ok(self.get("/v1/status/leader", &Query::default()).await?.value)
    }

    /// Returns the addresses of the voters.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn peers(&self) -> Result<Vec<String>, Error> {
        Ok(self.get("/v1/status/peers", &Query::default()).await?.value)
    }

    /// Reads what the agent reports about itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_self(&self) -> Result<AgentSelf, Error> {
        Ok(self.get("/v1/agent/self", &Query::default()).await?.value)
    }

    /// Lists the servers that the agent knows.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_members(&self) -> Result<AgentMembers, Error> {
        Ok(self.get("/v1/agent/members", &Query::default()).await?.value)
    }

    /// Reads raft's configuration. With `stale` any server answers, even without a leader.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn raft_configuration(&self, query: &Query) -> Result<Answer<RaftConfiguration>, Error> {
        self.get("/v1/operator/raft/configuration", query).await
    }

    /// Removes a failed server from raft, or another one if that is forced.
    ///
    /// # Errors
    /// See [`Error`]. Unless forced, it is refused with status 409 while the server is alive, or if the
    /// remaining voters would have no living majority.
    pub async fn remove_raft_peer(&self, peer: RaftPeer<'_>, force: ForcedRemoval) -> Result<(), Error> {
        let forced = [("force_living", force.living), ("force_without_majority", force.without_majority)];
        let forced = forced.into_iter().filter(|(_, is_forced)| *is_forced);
        let mut parameters = vec![peer.parameter()];
        parameters.extend(forced.map(|(name, _)| (name, "true".to_owned())));
        self.act(Method::DELETE, "/v1/operator/raft/peer", &parameters).await
    }

    /// Transfers leadership to a voter: the given one, or the one that has most of the log.
    ///
    /// # Errors
    /// See [`Error`]; refused with status 409 if the server is not a voter or does not answer.
    pub async fn transfer_leadership(&self, to: Option<RaftPeer<'_>>) -> Result<LeadershipTransfer, Error> {
        let parameters: Vec<_> = to.map(RaftPeer::parameter).into_iter().collect();
        self.write::<(), _>(Method::PUT, "/v1/operator/raft/transfer-leadership", None, &parameters, None)
            .await
    }

    /// Repairs what a wrong clock wrote: the cluster's time and periodic launches continue from the current time.
    ///
    /// # Errors
    /// See [`Error`]; refused with status 409 while the servers' clocks differ.
    pub async fn reset_time(&self) -> Result<TimeReset, Error> {
        self.write::<(), _>(Method::PUT, "/v1/operator/ordu/time/reset", None, &[], None).await
    }

    /// Reads the agent's metrics.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn metrics(&self) -> Result<serde_json::Value, Error> {
        Ok(self.get("/v1/metrics", &Query::default()).await?.value)
    }

    /// Reads the agent's metrics in Prometheus's text format.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn metrics_for_prometheus(&self) -> Result<String, Error> {
        let parameters = [("format", "prometheus".to_owned())];
        let (bytes, _) = self.get_bytes("/v1/metrics", &Query::default(), &parameters).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
