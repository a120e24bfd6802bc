//! What an allocation takes from its node, and when it stops taking it.

use ordu_proto::state::{AllocatedResources, Allocation, ClientStatus, DesiredStatus, NetworkResource, Port};

/// No single allocation counts for more than this in a dimension, so that sums over a million of them
/// stay far from overflow whatever a job asks for.
const QUANTITY_MAX: i64 = 1 << 40;

/// What an allocation takes from its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// MHz of CPU.
    pub cpu_mhz: i64,
    /// MB of memory.
    pub memory_mb: i64,
    /// MB of ephemeral disk.
    pub disk_mb: i64,
    /// Ports of the node, ascending, each once.
    pub ports: Vec<u16>,
}

impl Usage {
    /// Sums the tasks and what they share. Missing resources take nothing.
    pub fn of(resources: Option<&AllocatedResources>) -> Usage {
        let Some(resources) = resources else { return Usage::default() };
        let mut usage = Usage { disk_mb: quantity(resources.disk_mb), ..Usage::default() };
        add_ports(&mut usage.ports, &resources.ports);
        add_network_ports(&mut usage.ports, &resources.networks);
        for task in resources.tasks.values() {
            usage.cpu_mhz = quantity(usage.cpu_mhz + quantity(task.cpu_mhz));
            usage.memory_mb = quantity(usage.memory_mb + quantity(task.memory_mb));
            add_network_ports(&mut usage.ports, &task.networks);
        }
        // A group's port is named twice, among its networks and among its ports.
        usage.ports.sort_unstable();
        usage.ports.dedup();
        usage
    }

    /// What the allocation takes now: nothing (`None`) once it is terminal.
    pub fn of_live(alloc: &Allocation) -> Option<Usage> {
        (!is_terminal(alloc)).then(|| Usage::of(alloc.resources.as_ref()))
    }
}

/// Whether the allocation takes nothing from its node any more: the servers want it stopped or evicted,
/// or the node says that it is over. (Nomad's rule: one that is still being stopped counts as over.)
pub fn is_terminal(alloc: &Allocation) -> bool {
    is_server_terminal(alloc) || is_client_terminal(alloc)
}

/// Whether the servers want the allocation stopped or evicted.
pub fn is_server_terminal(alloc: &Allocation) -> bool {
    matches!(alloc.desired_status(), DesiredStatus::Stop | DesiredStatus::Evict)
}

/// Whether the allocation has ended on its node, or is lost with it.
pub fn is_client_terminal(alloc: &Allocation) -> bool {
    is_last_word(alloc.client_status())
}

/// Whether a status is the last that a node says of an allocation.
pub fn is_last_word(status: ClientStatus) -> bool {
    matches!(status, ClientStatus::Complete | ClientStatus::Failed | ClientStatus::Lost)
}

/// A quantity as the view counts it: never negative, never so large that sums overflow.
pub(crate) fn quantity(value: i64) -> i64 {
    value.clamp(0, QUANTITY_MAX)
}

/// Adds the ports that the networks hold, reserved and dynamic.
pub(crate) fn add_network_ports(ports: &mut Vec<u16>, networks: &[NetworkResource]) {
    for network in networks {
        add_ports(ports, &network.reserved_ports);
        add_ports(ports, &network.dynamic_ports);
    }
}

fn add_ports(into: &mut Vec<u16>, ports: &[Port]) {
    into.extend(ports.iter().filter_map(|port| u16::try_from(port.value).ok()).filter(|&value| value != 0));
}
