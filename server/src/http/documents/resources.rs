//! Networks, ports, and the two forms in which documents report resources: the current one, and the flat legacy
//! one that clients still read.

use std::collections::BTreeMap;

use ordu_proto::state;
use schemars::JsonSchema;
use serde::Serialize;

use super::some_list;

/// A network of a node or of an allocation.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Network<'a> {
    mode: &'a str,
    device: &'a str,
    #[serde(rename = "CIDR")]
    cidr: &'a str,
    #[serde(rename = "IP")]
    ip: &'a str,
    #[serde(rename = "MBits")]
    mbits: i32,
    #[serde(rename = "DNS")]
    dns: (),
    reserved_ports: Option<Vec<Port<'a>>>,
    dynamic_ports: Option<Vec<Port<'a>>>,
}

#[derive(Clone, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(rename = "NetworkPort")]
struct Port<'a> {
    label: &'a str,
    value: i32,
    to: i32,
    host_network: &'a str,
}

impl<'a> Network<'a> {
    fn of(network: &'a state::NetworkResource) -> Self {
        let ports = |ports: &'a [state::Port]| {
            let port = |port: &'a state::Port| Port {
                label: &port.label,
                value: port.value,
                to: port.to,
                host_network: &port.host_network,
            };
            some_list(ports.iter().map(port).collect())
        };
        Self {
            mode: &network.mode,
            device: &network.device,
            cidr: &network.cidr,
            ip: &network.ip,
            mbits: network.mbits,
            dns: (),
            reserved_ports: ports(&network.reserved_ports),
            dynamic_ports: ports(&network.dynamic_ports),
        }
    }

    /// Returns the documents of a list; `None` if it is empty.
    pub(crate) fn all(networks: &'a [state::NetworkResource]) -> Option<Vec<Self>> {
        some_list(networks.iter().map(Network::of).collect())
    }
}

/// Resources in the flat legacy form.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FlatResources<'a> {
    #[serde(rename = "CPU")]
    pub(crate) cpu: i64,
    #[serde(rename = "MemoryMB")]
    pub(crate) memory_mb: i64,
    #[serde(rename = "DiskMB")]
    pub(crate) disk_mb: i64,
    #[serde(rename = "IOPS")]
    iops: u8,
    networks: Option<Vec<Network<'a>>>,
    devices: (),
}

impl<'a> FlatResources<'a> {
    pub(crate) fn new(cpu: i64, memory_mb: i64, disk_mb: i64, networks: Option<Vec<Network<'a>>>) -> Self {
        Self { cpu, memory_mb, disk_mb, iops: 0, networks, devices: () }
    }

    /// Returns a node's resources.
    pub(crate) fn of_node(resources: &'a state::NodeResources) -> Self {
        let state::NodeResources { cpu_mhz, memory_mb, disk_mb, networks } = resources;
        Self::new(*cpu_mhz, *memory_mb, *disk_mb, Network::all(networks))
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Cpu {
    #[serde(rename = "CpuShares")]
    pub(crate) mhz: i64,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Memory {
    #[serde(rename = "MemoryMB")]
    pub(crate) mb: i64,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Disk {
    #[serde(rename = "DiskMB")]
    pub(crate) mb: i64,
}

/// The resources given to an allocation, by task.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Allocated<'a> {
    tasks: BTreeMap<&'a str, AllocatedTask<'a>>,
    // The lifecycles of tasks are in the job.
    task_lifecycles: BTreeMap<&'a str, ()>,
    shared: Shared<'a>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct AllocatedTask<'a> {
    cpu: Cpu,
    memory: Memory,
    networks: Option<Vec<Network<'a>>>,
    devices: (),
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Shared<'a> {
    networks: Option<Vec<Network<'a>>>,
    #[serde(rename = "DiskMB")]
    disk_mb: i64,
    ports: Option<Vec<GivenPort<'a>>>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct GivenPort<'a> {
    label: &'a str,
    value: i32,
    to: i32,
    #[serde(rename = "HostIP")]
    host_ip: &'a str,
}

impl<'a> GivenPort<'a> {
    fn of(port: &'a state::Port, host_ip: &'a str) -> Self {
        Self { label: &port.label, value: port.value, to: port.to, host_ip }
    }
}

impl<'a> Allocated<'a> {
    pub(crate) fn of(resources: &'a state::AllocatedResources) -> Self {
        let task = |task: &'a state::AllocatedTaskResources| AllocatedTask {
            cpu: Cpu { mhz: task.cpu_mhz },
            memory: Memory { mb: task.memory_mb },
            networks: Network::all(&task.networks),
            devices: (),
        };
        Self {
            tasks: resources.tasks.iter().map(|(name, given)| (name.as_str(), task(given))).collect(),
            task_lifecycles: resources.tasks.keys().map(|name| (name.as_str(), ())).collect(),
            shared: Shared {
                networks: Network::all(&resources.networks),
                disk_mb: resources.disk_mb,
                ports: some_list(given_ports(resources)),
            },
        }
    }

    /// Returns the flat form: of the whole allocation, of what the tasks share, and of each task.
    pub(crate) fn flat(
        resources: &'a state::AllocatedResources,
    ) -> (FlatResources<'a>, FlatResources<'a>, BTreeMap<&'a str, FlatResources<'a>>) {
        let tasks = resources.tasks.values();
        let networks = networks_of(resources).map(Network::of).collect();
        let whole = FlatResources::new(
            tasks.clone().map(|task| task.cpu_mhz).sum(),
            tasks.map(|task| task.memory_mb).sum(),
            resources.disk_mb,
            some_list(networks),
        );
        let shared = FlatResources::new(0, 0, resources.disk_mb, Network::all(&resources.networks));
        let of_task = |task: &'a state::AllocatedTaskResources| {
            FlatResources::new(task.cpu_mhz, task.memory_mb, 0, Network::all(&task.networks))
        };
        let by_task = resources.tasks.iter().map(|(name, task)| (name.as_str(), of_task(task))).collect();
        (whole, shared, by_task)
    }
}

fn networks_of(resources: &state::AllocatedResources) -> impl Iterator<Item = &state::NetworkResource> {
    resources.networks.iter().chain(resources.tasks.values().flat_map(|task| &task.networks))
}

/// Returns every port that was given with its address; ports of no network have no address.
fn given_ports(resources: &state::AllocatedResources) -> Vec<GivenPort<'_>> {
    let mut ports: Vec<GivenPort<'_>> = networks_of(resources)
        .flat_map(|network| {
            let ports = network.reserved_ports.iter().chain(&network.dynamic_ports);
            ports.map(|port| GivenPort::of(port, &network.ip))
        })
        .collect();
    for port in &resources.ports {
        if !ports.iter().any(|known| known.label == port.label && known.value == port.value) {
            ports.push(GivenPort::of(port, ""));
        }
    }
    ports
}
