//! What stands around the jobs: status, the agent itself, the servers, metrics.

use crate::client::Client;
use crate::error::Error;
use crate::null;
use crate::query::{Answer, Query};
use reqwest::Method;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What an agent says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AgentSelf {
    /// Its configuration.
    pub config: serde_json::Value,
    /// Itself as a member.
    pub member: Option<Member>,
    /// Figures by subsystem.
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
    /// What it says of itself: `region`, `dc`, `port`, `build`, …
    #[serde(deserialize_with = "null::default")]
    pub tags: BTreeMap<String, String>,
    /// alive, leaving, left or failed.
    pub status: String,
}

/// How a server is named to raft.
#[derive(Debug, Clone, Copy)]
pub enum RaftPeer<'a> {
    /// By its raft id.
    Id(&'a str),
    /// By its address and RPC port.
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

/// What the removal of a server from raft is forced against.
#[derive(Debug, Clone, Copy, Default)]
pub struct ForcedRemoval {
    /// That it lives; unless it is stopped, it joins again.
    pub living: bool,
    /// That no majority of the voters that are left lives; nothing is decided then before some are back.
    pub without_majority: bool,
}

/// From whom to whom leadership went.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LeadershipTransfer {
    /// Who led.
    pub from: RaftAddress,
    /// Who leads now.
    pub to: RaftAddress,
    /// The chosen server led already.
    #[serde(default)]
    pub noop: bool,
}

/// A server's place in raft.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RaftAddress {
    /// Its raft id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its address and RPC port.
    pub address: String,
}

/// Who has a voice in raft.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RaftConfiguration {
    /// The servers.
    #[serde(deserialize_with = "null::default")]
    pub servers: Vec<RaftServer>,
    /// Index of the last change.
    pub index: u64,
}

/// A server in raft.
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
    /// It leads.
    pub leader: bool,
    /// It has a vote.
    pub voter: bool,
    /// The protocol's version.
    pub raft_protocol: serde_json::Value,
}

/// What a reset of the cluster's time has mended; the times are nanoseconds since 1970.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TimeReset {
    /// Index of the write.
    pub index: u64,
    /// The cluster's time before.
    pub time_before: i64,
    /// The cluster's time now.
    pub time: i64,
    /// Periodic jobs whose launches go on from now.
    pub periodic_launches: u64,
    /// Evaluations that do not wait any more.
    pub evaluations: u64,
}

impl Client {
    /// The address of the leader; empty if there is none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn leader(&self) -> Result<String, Error> {
        Ok(self.get("/v1/status/leader", &Query::default()).await?.value)
    }

    /// The addresses of the servers that vote.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn peers(&self) -> Result<Vec<String>, Error> {
        Ok(self.get("/v1/status/peers", &Query::default()).await?.value)
    }

    /// What the asked agent says of itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_self(&self) -> Result<AgentSelf, Error> {
        Ok(self.get("/v1/agent/self", &Query::default()).await?.value)
    }

    /// The servers that the asked agent knows.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agent_members(&self) -> Result<AgentMembers, Error> {
        Ok(self.get("/v1/agent/members", &Query::default()).await?.value)
    }

    /// Who has a voice in raft. With `stale` any server answers, also one without a leader.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn raft_configuration(&self, query: &Query) -> Result<Answer<RaftConfiguration>, Error> {
        self.get("/v1/operator/raft/configuration", query).await
    }

    /// Removes a server that has failed from raft, or another one by force.
    ///
    /// # Errors
    /// See [`Error`]; refused with status 409 while the server lives, or where the rest would have no majority of living
    /// voters, unless that is forced.
    pub async fn remove_raft_peer(&self, peer: RaftPeer<'_>, force: ForcedRemoval) -> Result<(), Error> {
        let forced = [("force_living", force.living), ("force_without_majority", force.without_majority)];
        let forced = forced.into_iter().filter(|(_, is_forced)| *is_forced);
        let mut parameters = vec![peer.parameter()];
        parameters.extend(forced.map(|(name, _)| (name, "true".to_owned())));
        self.act(Method::DELETE, "/v1/operator/raft/peer", &parameters).await
    }

    /// Hands leadership to a voter: that one, or whoever has most of the log.
    ///
    /// # Errors
    /// See [`Error`]; refused with status 409 where the server does not vote or does not answer.
    pub async fn transfer_leadership(&self, to: Option<RaftPeer<'_>>) -> Result<LeadershipTransfer, Error> {
        let parameters: Vec<_> = to.map(RaftPeer::parameter).into_iter().collect();
        self.write::<(), _>(Method::PUT, "/v1/operator/raft/transfer-leadership", None, &parameters, None)
            .await
    }

    /// Mends what a wrong clock wrote: the cluster's time and periodic launches go on from now.
    ///
    /// # Errors
    /// See [`Error`]; refused with status 409 while the clocks of the servers differ.
    pub async fn reset_time(&self) -> Result<TimeReset, Error> {
        self.write::<(), _>(Method::PUT, "/v1/operator/ordu/time/reset", None, &[], None).await
    }

    /// The asked agent's metrics.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn metrics(&self) -> Result<serde_json::Value, Error> {
        Ok(self.get("/v1/metrics", &Query::default()).await?.value)
    }

    /// The asked agent's metrics as Prometheus reads them.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn metrics_for_prometheus(&self) -> Result<String, Error> {
        let parameters = [("format", "prometheus".to_owned())];
        let (bytes, _) = self.get_bytes("/v1/metrics", &Query::default(), &parameters).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
