//! Nodes: the whole document and the list entry. Neither contains the node's secret.

use std::collections::BTreeMap;

use ordu_core::job::rfc3339;
use ordu_proto::state;
use ordu_proto::state::NodeStatus;
use schemars::JsonSchema;
use serde::Serialize;

use super::resources::{Cpu, Disk, FlatResources, Memory, Network};
use super::some_map;
use crate::http::ids::IdText;

pub(crate) fn status_word(status: NodeStatus) -> &'static str {
    match status {
        NodeStatus::Unspecified | NodeStatus::Initializing => "initializing",
        NodeStatus::Ready => "ready",
        NodeStatus::Down => "down",
    }
}

fn eligibility(node: &state::Node) -> &'static str {
    if node.ineligible { "ineligible" } else { "eligible" }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "NodeDriver")]
struct Driver<'a> {
    attributes: Option<&'a BTreeMap<String, String>>,
    detected: bool,
    healthy: bool,
    health_description: &'a str,
    update_time: String,
}

type Drivers<'a> = BTreeMap<&'a str, Driver<'a>>;

fn drivers(node: &state::Node) -> Drivers<'_> {
    let of = |(name, driver)| {
        let driver: &state::DriverInfo = driver;
        let document = Driver {
            attributes: some_map(&driver.attributes),
            detected: driver.detected,
            healthy: driver.healthy,
            health_description: &driver.health_description,
            update_time: rfc3339(driver.update_time_ns),
        };
        (String::as_str(name), document)
    };
    node.drivers.iter().map(of).collect()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "NodeResources")]
struct Resources<'a> {
    cpu: Cpu,
    memory: Memory,
    disk: Disk,
    networks: Option<Vec<Network<'a>>>,
    devices: (),
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Reserved {
    cpu: Cpu,
    memory: Memory,
    disk: Disk,
    networks: ReservedNetworks,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct ReservedNetworks {
    reserved_host_ports: String,
}

impl<'a> Resources<'a> {
    fn of(resources: &'a state::NodeResources) -> Self {
        Self {
            cpu: Cpu { mhz: resources.cpu_mhz },
            memory: Memory { mb: resources.memory_mb },
            disk: Disk { mb: resources.disk_mb },
            networks: Network::all(&resources.networks),
            devices: (),
        }
    }
}

impl Reserved {
    fn of(reserved: &state::NodeResources) -> Self {
        let ports = reserved.networks.iter().flat_map(|network| &network.reserved_ports);
        let ports: Vec<String> = ports.map(|port| port.value.to_string()).collect();
        Self {
            cpu: Cpu { mhz: reserved.cpu_mhz },
            memory: Memory { mb: reserved.memory_mb },
            disk: Disk { mb: reserved.disk_mb },
            networks: ReservedNetworks { reserved_host_ports: ports.join(",") },
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "NodeEvent")]
struct Event<'a> {
    message: &'a str,
    subsystem: &'a str,
    details: Option<&'a BTreeMap<String, String>>,
    timestamp: String,
    create_index: u64,
}

/// An entry of the list of nodes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NodeStub<'a> {
    address: &'a str,
    #[serde(rename = "ID")]
    id: IdText<'a>,
    datacenter: &'a str,
    name: &'a str,
    node_class: &'a str,
    version: &'a str,
    drain: bool,
    scheduling_eligibility: &'static str,
    status: &'static str,
    status_description: &'a str,
    drivers: Drivers<'a>,
    host_volumes: (),
    #[serde(skip_serializing_if = "Option::is_none")]
    node_resources: Option<Resources<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_resources: Option<Reserved>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> NodeStub<'a> {
    /// Builds the entry of this node, with its resources if requested.
    pub(crate) fn of(node: &'a state::Node, resources: bool) -> Self {
        let host = node.http_addr.rsplit_once(':').map_or(node.http_addr.as_str(), |(host, _)| host);
        Self {
            address: host.trim_start_matches('[').trim_end_matches(']'),
            id: IdText(&node.id),
            datacenter: &node.datacenter,
            name: &node.name,
            node_class: &node.node_class,
            version: node.attributes.get("nomad.version").map(String::as_str).unwrap_or_default(),
            drain: node.drain,
            scheduling_eligibility: eligibility(node),
            status: status_word(node.status()),
            status_description: &node.status_description,
            drivers: drivers(node),
            host_volumes: (),
            node_resources: node.resources.as_ref().filter(|_| resources).map(Resources::of),
            reserved_resources: node.reserved.as_ref().filter(|_| resources).map(Reserved::of),
            create_index: node.create_index,
            modify_index: node.modify_index,
        }
    }
}

/// A node.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NodeDocument<'a> {
    #[serde(rename = "ID")]
    id: IdText<'a>,
    #[serde(rename = "SecretID")]
    secret_id: &'static str,
    datacenter: &'a str,
    name: &'a str,
    #[serde(rename = "HTTPAddr")]
    http_addr: &'a str,
    #[serde(rename = "TLSEnabled")]
    tls_enabled: bool,
    attributes: &'a BTreeMap<String, String>,
    node_resources: Option<Resources<'a>>,
    reserved_resources: Option<Reserved>,
    resources: Option<FlatResources<'a>>,
    reserved: Option<FlatResources<'a>>,
    links: Option<&'a BTreeMap<String, String>>,
    meta: Option<&'a BTreeMap<String, String>>,
    node_class: &'a str,
    computed_class: &'a str,
    drain: bool,
    drain_strategy: (),
    scheduling_eligibility: &'static str,
    status: &'static str,
    status_description: &'a str,
    status_updated_at: i64,
    events: Vec<Event<'a>>,
    drivers: Drivers<'a>,
    host_networks: (),
    host_volumes: (),
    #[serde(rename = "CSIControllerPlugins")]
    csi_controller_plugins: (),
    #[serde(rename = "CSINodePlugins")]
    csi_node_plugins: (),
    create_index: u64,
    modify_index: u64,
}

impl<'a> NodeDocument<'a> {
    /// Builds the document of this row.
    pub(crate) fn of(node: &'a state::Node) -> Self {
        let event = |event: &'a state::NodeEvent| Event {
            message: &event.message,
            subsystem: &event.subsystem,
            details: some_map(&event.details),
            timestamp: rfc3339(event.time_ns),
            create_index: event.create_index,
        };
        Self {
            id: IdText(&node.id),
            secret_id: "",
            datacenter: &node.datacenter,
            name: &node.name,
            http_addr: &node.http_addr,
            tls_enabled: node.tls_enabled,
            attributes: &node.attributes,
            node_resources: node.resources.as_ref().map(Resources::of),
            reserved_resources: node.reserved.as_ref().map(Reserved::of),
            resources: node.resources.as_ref().map(FlatResources::of_node),
            reserved: node.reserved.as_ref().map(FlatResources::of_node),
            links: some_map(&node.links),
            meta: some_map(&node.meta),
            node_class: &node.node_class,
            computed_class: &node.computed_class,
            drain: node.drain,
            drain_strategy: (),
            scheduling_eligibility: eligibility(node),
            status: status_word(node.status()),
            status_description: &node.status_description,
            status_updated_at: node.status_updated_at_ns / 1_000_000_000,
            events: node.events.iter().map(event).collect(),
            drivers: drivers(node),
            host_networks: (),
            host_volumes: (),
            csi_controller_plugins: (),
            csi_node_plugins: (),
            create_index: node.create_index,
            modify_index: node.modify_index,
        }
    }
}
