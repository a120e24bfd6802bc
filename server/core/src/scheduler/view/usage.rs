//! Resources that an allocation takes from its node, and until when.

use ordu_proto::state::{AllocatedResources, Allocation, ClientStatus, DesiredStatus, NetworkResource, Port};

/// Maximum that one allocation counts for in each resource, so that sums over a million allocations cannot overflow,
/// whatever a job requests.
const QUANTITY_MAX: i64 = 1 << 40;

/// Resources that an allocation takes from its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// MHz of CPU.
    pub cpu_mhz: i64,
    /// MB of memory.
    pub memory_mb: i64,
    /// MB of ephemeral disk.
    pub disk_mb: i64,
    /// Ports of the node, sorted, without duplicates.
    pub ports: Vec<u16>,
}

impl Usage {
    /// Sums the resources of the tasks and the shared ones. Missing resources count as zero.
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
        // A group's port is listed both in its network and in `ports`.
        usage.ports.sort_unstable();
        usage.ports.dedup();
        usage
    }

    /// Returns the allocation's usage, or `None` if it is terminal.
    pub fn of_live(alloc: &Allocation) -> Option<Usage> {
        (!is_terminal(alloc)).then(|| Usage::of(alloc.resources.as_ref()))
    }
}

/// Returns whether the allocation no longer takes resources: the servers want it stopped or evicted, or it has ended
/// on its node. (As in Nomad, an allocation that is still being stopped counts as terminal.)
pub fn is_terminal(alloc: &Allocation) -> bool {
    is_server_terminal(alloc) || is_client_terminal(alloc)
}

/// Returns whether the servers want the allocation stopped or evicted.
pub fn is_server_terminal(alloc: &Allocation) -> bool {
    matches!(alloc.desired_status(), DesiredStatus::Stop | DesiredStatus::Evict)
}

/// Returns whether the allocation has ended on its node or was lost with it.
pub fn is_client_terminal(alloc: &Allocation) -> bool {
    is_last_word(alloc.client_status())
}

/// Returns whether the client status is a final one.
pub fn is_last_word(status: ClientStatus) -> bool {
    matches!(status, ClientStatus::Complete | ClientStatus::Failed | ClientStatus::Lost)
}

/// Clamps a quantity: never negative, and small enough that sums cannot overflow.
pub(crate) fn quantity(value: i64) -> i64 {
    value.clamp(0, QUANTITY_MAX)
}

/// Adds the reserved and dynamic ports of the networks.
pub(crate) fn add_network_ports(ports: &mut Vec<u16>, networks: &[NetworkResource]) {
    for network in networks {
        add_ports(ports, &network.reserved_ports);
        add_ports(ports, &network.dynamic_ports);
    }
}

fn add_ports(into: &mut Vec<u16>, ports: &[Port]) {
    into.extend(ports.iter().filter_map(|port| u16::try_from(port.value).ok()).filter(|&value| value != 0));
}
