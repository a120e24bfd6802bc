//! Assigns a node's ports to an allocation: static ports must be free, dynamic ports are chosen.

use ordu_proto::api::job::{NetworkResource as Ask, Port as PortAsk};
use ordu_proto::state::{AllocatedResources, AllocatedTaskResources, NetworkResource, Port};

use crate::scheduler::job::{PortNeeds, ScheduledGroup};
use crate::scheduler::view::{ClusterView, NodeFacts, Slot, fold};

/// First dynamic port.
pub(crate) const DYNAMIC_PORT_MIN: u16 = 20_000;
/// Last dynamic port.
pub(crate) const DYNAMIC_PORT_MAX: u16 = 32_000;

const NO_NETWORKS: &str = "network: no networks available";
const SELECTION_FAILED: &str = "network: dynamic port selection failed";

/// Reason why a node cannot provide the ports, as shown in metrics.
pub(crate) type PortShortage = String;

/// Checks whether the node can provide the group's ports. Runs for every node, so it only counts and assigns nothing.
/// If it succeeds, `assign` succeeds too.
pub(crate) fn check(view: &ClusterView, slot: Slot, needs: &PortNeeds) -> Result<(), PortShortage> {
    let Some(node) = view.node_facts(slot).filter(|node| host_network(node).is_some()) else {
        return Err(NO_NETWORKS.to_owned());
    };
    let (used, reserved) = (view.ports_used(slot), node.reserved_ports.as_slice());
    let is_taken = |port: u16| used.binary_search(&port).is_ok() || reserved.binary_search(&port).is_ok();
    if let Some(port) = needs.fixed.iter().find(|port| port.number.is_none_or(is_taken)) {
        return Err(collision(&port.label, port.value));
    }
    // Counting all static ports as if they were in the dynamic range errs on the safe side.
    let wanted = needs.fixed.len() + needs.dynamic;
    let range = usize::from(DYNAMIC_PORT_MAX - DYNAMIC_PORT_MIN) + 1;
    if needs.dynamic > 0 && in_range(used) + in_range(reserved) + wanted > range {
        return Err(SELECTION_FAILED.to_owned());
    }
    Ok(())
}

/// Returns how many of these sorted ports are in the dynamic range.
fn in_range(ports: &[u16]) -> usize {
    let below = |bound: u16| ports.partition_point(|&port| port < bound);
    below(DYNAMIC_PORT_MAX + 1) - below(DYNAMIC_PORT_MIN)
}

/// Returns the resources of an allocation of the group on the node, including its ports.
///
/// The search for dynamic ports starts at a position derived from the seed (the allocation's id). So a port that was
/// just freed is seldom reused at once, and concurrent plans seldom choose the same port.
pub(crate) fn assign(
    view: &ClusterView,
    slot: Slot,
    group: &ScheduledGroup,
    seed: u64,
) -> Result<AllocatedResources, PortShortage> {
    let Some(node) = view.node_facts(slot) else { return Err(NO_NETWORKS.to_owned()) };
    let mut picker = Picker { node, used: view.ports_used(slot), taken: Vec::new(), seed };
    let task_networks = group.tasks.iter().flat_map(|task| &task.networks);
    for network in group.networks.iter().chain(task_networks) {
        picker.reserve(network)?;
    }
    let mut resources = AllocatedResources { disk_mb: group.ask.disk_mb, ..Default::default() };
    for ask in &group.networks {
        let network = picker.network(ask)?;
        resources.ports.extend(network.reserved_ports.iter().chain(&network.dynamic_ports).cloned());
        resources.networks.push(network);
    }
    for task in &group.tasks {
        let mut networks = Vec::with_capacity(task.networks.len());
        for ask in &task.networks {
            networks.push(picker.network(ask)?);
        }
        let taken = AllocatedTaskResources { cpu_mhz: task.cpu_mhz, memory_mb: task.memory_mb, networks };
        resources.tasks.insert(task.name.clone(), taken);
    }
    Ok(resources)
}

struct Picker<'v> {
    node: &'v NodeFacts,
    used: &'v [u16],
    taken: Vec<u16>,
    seed: u64,
}

impl Picker<'_> {
    fn is_free(&self, port: u16) -> bool {
        self.used.binary_search(&port).is_err()
            && self.node.reserved_ports.binary_search(&port).is_err()
            && !self.taken.contains(&port)
    }

    /// Takes a network's static ports. Runs for all networks first, so that no dynamic port takes a static one.
    fn reserve(&mut self, ask: &Ask) -> Result<(), PortShortage> {
        for port in &ask.reserved_ports {
            let free = u16::try_from(port.value).ok().filter(|&value| value != 0 && self.is_free(value));
            let value = free.ok_or_else(|| collision(&port.label, port.value))?;
            self.taken.push(value);
        }
        Ok(())
    }

    fn network(&mut self, ask: &Ask) -> Result<NetworkResource, PortShortage> {
        let given = host_network(self.node);
        if given.is_none() && !(ask.reserved_ports.is_empty() && ask.dynamic_ports.is_empty()) {
            return Err(NO_NETWORKS.to_owned());
        }
        let reserved_ports =
            ask.reserved_ports.iter().map(|port| self.port(port, port.value as i32)).collect();
        let mut dynamic_ports = Vec::with_capacity(ask.dynamic_ports.len());
        for port in &ask.dynamic_ports {
            let value = self.choose().ok_or_else(|| SELECTION_FAILED.to_owned())?;
            dynamic_ports.push(self.port(port, i32::from(value)));
        }
        Ok(NetworkResource {
            mode: ask.mode.clone(),
            device: given.map(|given| given.device.clone()).unwrap_or_default(),
            cidr: String::new(),
            ip: given.map(|given| given.ip.clone()).unwrap_or_default(),
            mbits: i32::try_from(ask.mbits()).unwrap_or(i32::MAX),
            reserved_ports,
            dynamic_ports,
        })
    }

    /// Builds a port. A `to` of -1 means the same port number inside as outside.
    fn port(&self, ask: &PortAsk, value: i32) -> Port {
        let to = if ask.to == -1 { value } else { i32::try_from(ask.to).unwrap_or_default() };
        Port { label: ask.label.clone(), value, to, host_network: ask.host_network.clone() }
    }

    fn choose(&mut self) -> Option<u16> {
        let range = DYNAMIC_PORT_MAX - DYNAMIC_PORT_MIN + 1;
        let start = fold(self.seed ^ 0xa076_1d64_78bd_642f, self.taken.len() as u64 + 1) % u64::from(range);
        let mut places = (0..range).map(|step| DYNAMIC_PORT_MIN + (start as u16 + step) % range);
        let port = places.find(|&port| self.is_free(port))?;
        self.taken.push(port);
        Some(port)
    }
}

/// Returns the network that ports are taken from, whatever the group's network mode: the first host network.
fn host_network(node: &NodeFacts) -> Option<&NetworkResource> {
    node.networks.iter().find(|network| matches!(network.mode.as_str(), "" | "host"))
}

fn collision(label: &str, value: i64) -> PortShortage {
    format!("network: reserved port collision {label}={value}")
}
