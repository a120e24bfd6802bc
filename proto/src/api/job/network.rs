//! Networks and ports that a group or a task asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// A network that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkResource {
    /// `host`, `bridge`, `none`, or empty.
    pub mode: String,
    /// The device; the servers choose it.
    pub device: String,
    /// The address range; the servers choose it.
    #[serde(rename = "CIDR")]
    pub cidr: String,
    /// The address; the servers choose it.
    #[serde(rename = "IP")]
    pub ip: String,
    /// Name resolution inside the network.
    #[serde(rename = "DNS")]
    pub dns: Option<DnsConfig>,
    /// Bandwidth.
    #[serde(rename = "MBits")]
    pub mbits: Option<i64>,
    /// Ports with a number of the user's choice.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Port>>")]
    pub reserved_ports: Vec<Port>,
    /// Ports with a number of the servers' choice.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Port>>")]
    pub dynamic_ports: Vec<Port>,
    /// The name of the machine inside the network; of a later API, told only where it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

impl NetworkResource {
    /// Bandwidth in megabits a second, 0 where nothing is said.
    pub fn mbits(&self) -> i64 {
        self.mbits.unwrap_or(0)
    }
}

/// Name resolution inside a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct DnsConfig {
    /// Addresses of the resolvers.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub servers: Vec<String>,
    /// Search domains.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub searches: Vec<String>,
    /// Options of the resolver.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<String>>")]
    pub options: Vec<String>,
}

/// A port by its label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    /// The name that services and tasks call it by.
    pub label: String,
    /// The number on the node; 0 where the servers choose it.
    pub value: i64,
    /// The number inside the network namespace; 0 for the same one.
    pub to: i64,
    /// The node's network that the port is taken from.
    pub host_network: String,
}
