//! Nodes.

use crate::client::{Client, segment};
use crate::error::Error;
use crate::null;
use crate::query::{Answer, Query};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A node in a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeStub {
    /// The id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The datacenter.
    pub datacenter: String,
    /// The name.
    pub name: String,
    /// The class.
    pub node_class: String,
    /// The agent's version.
    pub version: String,
    /// It is being emptied.
    pub drain: bool,
    /// eligible or ineligible.
    pub scheduling_eligibility: String,
    /// initializing, ready or down.
    pub status: String,
    /// Why.
    pub status_description: String,
    /// By driver.
    #[serde(deserialize_with = "null::default")]
    pub drivers: BTreeMap<String, DriverInfo>,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// A node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    /// The id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The datacenter.
    pub datacenter: String,
    /// The name.
    pub name: String,
    /// The class.
    pub node_class: String,
    /// Where its agent answers HTTP.
    #[serde(rename = "HTTPAddr")]
    pub http_addr: String,
    /// What the agent found out.
    #[serde(deserialize_with = "null::default")]
    pub attributes: BTreeMap<String, String>,
    /// What its operator said.
    #[serde(deserialize_with = "null::default")]
    pub meta: BTreeMap<String, String>,
    /// What it has.
    pub node_resources: Option<NodeResources>,
    /// By driver.
    #[serde(deserialize_with = "null::default")]
    pub drivers: BTreeMap<String, DriverInfo>,
    /// It is being emptied.
    pub drain: bool,
    /// eligible or ineligible.
    pub scheduling_eligibility: String,
    /// initializing, ready or down.
    pub status: String,
    /// Why.
    pub status_description: String,
    /// Seconds since 1970.
    pub status_updated_at: i64,
    /// The latest ones, oldest first.
    #[serde(deserialize_with = "null::default")]
    pub events: Vec<NodeEvent>,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// What a node has. The numbers stand where the API nests them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeResources {
    /// `CpuShares`: MHz.
    #[serde(deserialize_with = "null::default")]
    pub cpu: BTreeMap<String, serde_json::Value>,
    /// `MemoryMB`.
    #[serde(deserialize_with = "null::default")]
    pub memory: BTreeMap<String, serde_json::Value>,
    /// `DiskMB`.
    #[serde(deserialize_with = "null::default")]
    pub disk: BTreeMap<String, serde_json::Value>,
}

impl NodeResources {
    /// CPU, MHz.
    pub fn cpu_mhz(&self) -> i64 {
        number(&self.cpu, "CpuShares")
    }

    /// Memory, MB.
    pub fn memory_mb(&self) -> i64 {
        number(&self.memory, "MemoryMB")
    }

    /// Disk, MB.
    pub fn disk_mb(&self) -> i64 {
        number(&self.disk, "DiskMB")
    }
}

fn number(members: &BTreeMap<String, serde_json::Value>, key: &str) -> i64 {
    members.get(key).and_then(serde_json::Value::as_i64).unwrap_or(0)
}

/// How a driver is on a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverInfo {
    /// It is there.
    pub detected: bool,
    /// It works.
    pub healthy: bool,
    /// Why.
    pub health_description: String,
}

/// Something that happened to a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeEvent {
    /// For people.
    pub message: String,
    /// Where it comes from.
    pub subsystem: String,
    /// RFC 3339.
    pub timestamp: String,
}

impl Client {
    /// Lists nodes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn nodes(&self, query: &Query) -> Result<Answer<Vec<NodeStub>>, Error> {
        self.get("/v1/nodes", query).await
    }

    /// Reads a node; the id in full.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node(&self, id: &str, query: &Query) -> Result<Answer<Node>, Error> {
        self.get(&format!("/v1/node/{}", segment(id)), query).await
    }
}
