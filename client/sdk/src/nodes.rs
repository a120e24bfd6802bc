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
    /// Whether its allocations are being drained.
    pub drain: bool,
    /// eligible or ineligible.
    pub scheduling_eligibility: String,
    /// initializing, ready or down.
    pub status: String,
    /// Reason for the status.
    pub status_description: String,
    /// State of each driver, by driver.
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
    /// Address at which its agent serves HTTP.
    #[serde(rename = "HTTPAddr")]
    pub http_addr: String,
    /// Attributes that the agent detected.
    #[serde(deserialize_with = "null::default")]
    pub attributes: BTreeMap<String, String>,
    /// Metadata that its operator configured.
    #[serde(deserialize_with = "null::default")]
    pub meta: BTreeMap<String, String>,
    /// Its capacity.
    pub node_resources: Option<NodeResources>,
    /// State of each driver, by driver.
    #[serde(deserialize_with = "null::default")]
    pub drivers: BTreeMap<String, DriverInfo>,
    /// Whether its allocations are being drained.
    pub drain: bool,
    /// eligible or ineligible.
    pub scheduling_eligibility: String,
    /// initializing, ready or down.
    pub status: String,
    /// Reason for the status.
    pub status_description: String,
    /// When the status changed last, seconds since 1970.
    pub status_updated_at: i64,
    /// The latest events, oldest first.
    #[serde(deserialize_with = "null::default")]
    pub events: Vec<NodeEvent>,
    /// Index of its creation.
    pub create_index: u64,
    /// Index of its last change.
    pub modify_index: u64,
}

/// Capacity of a node, nested as in the API.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeResources {
    /// `CpuShares`, in MHz.
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
    /// Returns the CPU capacity, MHz.
    pub fn cpu_mhz(&self) -> i64 {
        number(&self.cpu, "CpuShares")
    }

    /// Returns the memory, MB.
    pub fn memory_mb(&self) -> i64 {
        number(&self.memory, "MemoryMB")
    }

    /// Returns the disk space, MB.
    pub fn disk_mb(&self) -> i64 {
        number(&self.disk, "DiskMB")
    }
}

fn number(members: &BTreeMap<String, serde_json::Value>, key: &str) -> i64 {
    members.get(key).and_then(serde_json::Value::as_i64).unwrap_or(0)
}

/// State of a driver on a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverInfo {
    /// Whether the driver is present.
    pub detected: bool,
    /// Whether the driver works.
    pub healthy: bool,
    /// Reason for its health.
    pub health_description: String,
}

/// Something that happened to a node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeEvent {
    /// Text for people.
    pub message: String,
    /// Subsystem that reported it.
    pub subsystem: String,
    /// Time of the event, RFC 3339.
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

    /// Reads a node; `id` must be complete.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node(&self, id: &str, query: &Query) -> Result<Answer<Node>, Error> {
        self.get(&format!("/v1/node/{}", segment(id)), query).await
    }
}
