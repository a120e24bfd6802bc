//! Networks and ports that a group or a task requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::empty_as_null;

/// A network that is requested.
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
    /// Bandwidth in megabits per second.
    #[serde(rename = "MBits")]
    pub mbits: Option<i64>,
    /// Ports with a number that the user chose.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Port>>")]
    pub reserved_ports: Vec<Port>,
    /// Ports with a number that the servers choose.
    #[serde(with = "empty_as_null")]
    #[schemars(with = "Option<Vec<Port>>")]
    pub dynamic_ports: Vec<Port>,
    /// The host name inside the network; from a later Nomad API, omitted if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

impl NetworkResource {
    /// Bandwidth in megabits per second; 0 if not set.
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

/// A port with a label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    /// The name by which services and tasks refer to the port.
    pub label: String,
    /// The number on the node; 0 if the servers choose it.
    pub value: i64,
    /// The number inside the network namespace; 0 for the same one.
    pub to: i64,
    /// The node's network to which the port belongs.
    pub host_network: String,
}
