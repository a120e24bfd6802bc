//! The scheduler's view of the cluster: capacity and usage of every node, stored in columns. `apply` keeps it up to
//! date, and it is rebuilt from the tables at start.
//!
//! It stores nothing per allocation except two bytes per port, so a million allocations cost no more than their nodes.
//! Removing an allocation therefore needs its row.

mod facts;
mod page;
#[cfg(test)]
mod tests;
mod usage;

use std::sync::Arc;

use ordu_proto::state::{Allocation, Node, NodeStatus};
use rustc_hash::FxHashMap;

pub use facts::Capacity;
#[cfg(test)]
pub(crate) use facts::ClassFacts;
use facts::Classes;
pub(crate) use facts::NodeFacts;
use page::{DOWN, ELIGIBLE, FactsPage, PRESENT, PortsPage, READY, UsagePage};
pub(crate) use page::{PAGE, PLACEABLE};
pub(crate) use usage::quantity;
pub use usage::{Usage, is_client_terminal, is_last_word, is_server_terminal, is_terminal};

/// A node's position in the columns. Slots are unordered and reused, so outputs identify nodes by id.
pub(crate) type Slot = u32;

/// A view of one state. It is cheap to take and does not change with the cluster; its owner may
/// add planned allocations to it.
pub type ViewSnapshot = ClusterView;

/// Capacity, usage and facts of every node.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    facts: Vec<Arc<FactsPage>>,
    usage: Vec<Arc<UsagePage>>,
    ports: Vec<Arc<PortsPage>>,
    slots: Arc<FxHashMap<[u8; 16], Slot>>,
    /// Unused slots below the highest one.
    free: Arc<Vec<Slot>>,
    classes: Arc<Classes>,
    nodes: usize,
}

/// Condition of a node, which decides what happens to its allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeCondition {
    /// The node does not exist.
    Unknown,
    /// The node is down: its allocations are lost.
    Down,
    /// The node is up but accepts no new allocations (initializing, ineligible, draining).
    Closed,
    /// The node accepts new allocations.
    Open,
}

impl ClusterView {
    /// Builds a view of a cluster without nodes.
    pub fn new() -> ClusterView {
        ClusterView::default()
    }

    /// Returns a snapshot for a scheduler worker. Costs a few reference counts per 256 nodes.
    pub fn snapshot(&self) -> ViewSnapshot {
        self.clone()
    }

    /// Applies a node's new row. Its allocations may have been added before. Ignores nodes
    /// whose id is not sixteen bytes long.
    pub fn node_upserted(&mut self, node: &Node) {
        let Some(id) = node_key(&node.id) else { return };
        let slot = self.slot_or_new(id);
        let (page, row) = split(slot);
        let facts = Arc::make_mut(&mut self.facts[page]);
        let classes = Arc::make_mut(&mut self.classes);
        let was_there = facts.flags[row] & PRESENT != 0;
        let old_class = facts.class[row];
        // Join before leaving, so that a class keeps its facts when its only node changes status.
        let (number, class) = classes.join(node);
        if was_there {
            classes.leave(old_class);
        } else {
            self.nodes += 1;
        }
        let capacity = Capacity::of(node);
        facts.flags[row] = flags_of(node);
        facts.class[row] = number;
        facts.cpu_mhz[row] = capacity.cpu_mhz;
        facts.memory_mb[row] = capacity.memory_mb;
        facts.disk_mb[row] = capacity.disk_mb;
        facts.id_hash[row] = mix(&id);
        facts.node[row] = Some(Arc::new(NodeFacts::of(node, id, class)));
    }

    /// Removes the node. The usage of its allocations is kept until they are removed too.
    pub fn node_removed(&mut self, node_id: &[u8]) {
        let Some(slot) = self.slot(node_id) else { return };
        let (page, row) = split(slot);
        if self.facts[page].flags[row] & PRESENT == 0 {
            return;
        }
        let facts = Arc::make_mut(&mut self.facts[page]);
        Arc::make_mut(&mut self.classes).leave(facts.class[row]);
        facts.flags[row] = 0;
        facts.class[row] = 0;
        (facts.cpu_mhz[row], facts.memory_mb[row], facts.disk_mb[row]) = (0, 0, 0);
        facts.node[row] = None;
        self.nodes -= 1;
        self.free_if_unused(node_id, slot);
    }

    /// Applies a change of an allocation's row from `old` to `new` (`None`: no row).
    pub fn alloc_changed(&mut self, old: Option<&Allocation>, new: Option<&Allocation>) {
        let before = old.and_then(|alloc| Usage::of_live(alloc).map(|usage| (&alloc.node_id, usage)));
        let after = new.and_then(|alloc| Usage::of_live(alloc).map(|usage| (&alloc.node_id, usage)));
        if before == after {
            return;
        }
        // Add the new usage first, so that a removed node keeps its slot while its last allocation changes.
        if let Some((node_id, usage)) = after {
            self.alloc_added(node_id, &usage);
        }
        if let Some((node_id, usage)) = before
            && let Some(slot) = self.slot(node_id)
        {
            self.give_back(slot, &usage);
            self.free_if_unused(node_id, slot);
        }
    }

    /// Adds a new allocation's usage to the node.
    pub fn alloc_added(&mut self, node_id: &[u8], usage: &Usage) {
        if let Some(id) = node_key(node_id) {
            let slot = self.slot_or_new(id);
            self.take(slot, usage);
        }
    }

    /// Returns the number of nodes.
    pub fn node_count(&self) -> usize {
        self.nodes
    }

    /// Whether there are nodes, but none with this driver detected and healthy.
    pub fn lacks_driver(&self, driver: &str) -> bool {
        self.nodes > 0 && !self.classes.have_driver(driver)
    }

    /// Returns the node's condition.
    pub fn condition(&self, node_id: &[u8]) -> NodeCondition {
        let flags = self.slot(node_id).map_or(0, |slot| self.flags(slot));
        match flags {
            _ if flags & PRESENT == 0 => NodeCondition::Unknown,
            _ if flags & DOWN != 0 => NodeCondition::Down,
            _ if flags & PLACEABLE == PLACEABLE => NodeCondition::Open,
            _ => NodeCondition::Closed,
        }
    }

    /// Returns the node's computed class and datacenter, if it exists, for waking blocked evaluations.
    pub fn class_and_datacenter(&self, node_id: &[u8]) -> Option<(&str, &str)> {
        let class = &self.node_facts(self.slot(node_id)?)?.class;
        Some((&class.computed_class, &class.datacenter))
    }

    /// Returns the computed classes of all nodes, each with its datacenter.
    pub fn class_names(&self) -> impl Iterator<Item = (&str, &str)> {
        let numbers = 0..self.classes.table_len() as u32;
        let facts = numbers.filter_map(|number| self.classes.facts(number));
        facts.map(|facts| (facts.computed_class.as_str(), facts.datacenter.as_str()))
    }

    /// Returns the node's total capacity for allocations, if it exists.
    pub fn capacity(&self, node_id: &[u8]) -> Option<Capacity> {
        let slot = self.slot(node_id)?;
        (self.flags(slot) & PRESENT != 0).then(|| self.capacity_at(slot))
    }

    /// Returns the usage and the number of the node's live allocations.
    pub fn used(&self, node_id: &[u8]) -> Option<(Usage, u32)> {
        let slot = self.slot(node_id)?;
        let (page, row) = split(slot);
        let usage = &self.usage[page];
        let used = Usage {
            cpu_mhz: usage.cpu_mhz[row],
            memory_mb: usage.memory_mb[row],
            disk_mb: usage.disk_mb[row],
            ports: self.ports_used(slot).to_vec(),
        };
        Some((used, usage.live_allocs[row]))
    }

    pub(crate) fn slot(&self, node_id: &[u8]) -> Option<Slot> {
        self.slots.get(&node_key(node_id)?).copied()
    }

    pub(crate) fn pages(&self) -> impl Iterator<Item = (&FactsPage, &UsagePage)> {
        self.facts.iter().map(Arc::as_ref).zip(self.usage.iter().map(Arc::as_ref))
    }

    pub(crate) fn classes(&self) -> &Classes {
        &self.classes
    }

    pub(crate) fn flags(&self, slot: Slot) -> u8 {
        let (page, row) = split(slot);
        self.facts[page].flags[row]
    }

    pub(crate) fn class_number(&self, slot: Slot) -> u32 {
        let (page, row) = split(slot);
        self.facts[page].class[row]
    }

    pub(crate) fn id_hash(&self, slot: Slot) -> u64 {
        let (page, row) = split(slot);
        self.facts[page].id_hash[row]
    }

    pub(crate) fn node_facts(&self, slot: Slot) -> Option<&Arc<NodeFacts>> {
        let (page, row) = split(slot);
        self.facts[page].node[row].as_ref()
    }

    pub(crate) fn capacity_at(&self, slot: Slot) -> Capacity {
        let (page, row) = split(slot);
        let facts = &self.facts[page];
        Capacity { cpu_mhz: facts.cpu_mhz[row], memory_mb: facts.memory_mb[row], disk_mb: facts.disk_mb[row] }
    }

    /// Returns the node's CPU, memory and disk usage.
    pub(crate) fn used_at(&self, slot: Slot) -> Capacity {
        let (page, row) = split(slot);
        let usage = &self.usage[page];
        Capacity { cpu_mhz: usage.cpu_mhz[row], memory_mb: usage.memory_mb[row], disk_mb: usage.disk_mb[row] }
    }

    /// Returns the ports in use by the node's allocations, sorted, without the node's own reserved ports.
    pub(crate) fn ports_used(&self, slot: Slot) -> &[u16] {
        let (page, row) = split(slot);
        self.ports[page].used[row].as_ref().map_or(&[], |ports| ports.as_slice())
    }

    /// Adds an allocation's usage.
    pub(crate) fn take(&mut self, slot: Slot, usage: &Usage) {
        let (page, row) = split(slot);
        let columns = Arc::make_mut(&mut self.usage[page]);
        columns.cpu_mhz[row] += usage.cpu_mhz;
        columns.memory_mb[row] += usage.memory_mb;
        columns.disk_mb[row] += usage.disk_mb;
        columns.live_allocs[row] += 1;
        if usage.ports.is_empty() {
            return;
        }
        let held = Arc::make_mut(&mut self.ports[page]).used[row].get_or_insert_default();
        let held = Arc::make_mut(held);
        held.extend_from_slice(&usage.ports);
        held.sort_unstable();
    }

    /// Removes usage that `take` added.
    pub(crate) fn give_back(&mut self, slot: Slot, usage: &Usage) {
        let (page, row) = split(slot);
        let columns = Arc::make_mut(&mut self.usage[page]);
        columns.cpu_mhz[row] -= usage.cpu_mhz;
        columns.memory_mb[row] -= usage.memory_mb;
        columns.disk_mb[row] -= usage.disk_mb;
        columns.live_allocs[row] = columns.live_allocs[row].saturating_sub(1);
        if usage.ports.is_empty() {
            return;
        }
        let cell = &mut Arc::make_mut(&mut self.ports[page]).used[row];
        let Some(held) = cell else { return };
        let ports = Arc::make_mut(held);
        for port in &usage.ports {
            if let Ok(position) = ports.binary_search(port) {
                ports.remove(position);
            }
        }
        if ports.is_empty() {
            *cell = None;
        }
    }

    fn slot_or_new(&mut self, id: [u8; 16]) -> Slot {
        if let Some(&slot) = self.slots.get(&id) {
            return slot;
        }
        let slot = match Arc::make_mut(&mut self.free).pop() {
            Some(slot) => slot,
            None => {
                let first = (self.facts.len() * PAGE) as Slot;
                self.facts.push(Arc::default());
                self.usage.push(Arc::default());
                self.ports.push(Arc::default());
                Arc::make_mut(&mut self.free).extend((first + 1..first + PAGE as Slot).rev());
                first
            }
        };
        Arc::make_mut(&mut self.slots).insert(id, slot);
        slot
    }

    fn free_if_unused(&mut self, node_id: &[u8], slot: Slot) {
        let (page, row) = split(slot);
        let unused = self.facts[page].flags[row] & PRESENT == 0 && self.usage[page].live_allocs[row] == 0;
        if let (true, Some(id)) = (unused, node_key(node_id)) {
            Arc::make_mut(&mut self.slots).remove(&id);
            Arc::make_mut(&mut self.free).push(slot);
        }
    }
}

/// Returns the page of a slot, and the row in the page.
pub(crate) fn split(slot: Slot) -> (usize, usize) {
    (slot as usize / PAGE, slot as usize % PAGE)
}

/// Converts a node's id to a key of the view; `None` if it is not sixteen bytes long.
pub(crate) fn node_key(node_id: &[u8]) -> Option<[u8; 16]> {
    node_id.try_into().ok()
}

/// Hashes sixteen bytes to eight (two multiplications by odd constants, as in wyhash), so that the order of nodes with
/// equal scores favours none of them.
pub(crate) fn mix(id: &[u8; 16]) -> u64 {
    let value = u128::from_be_bytes(*id);
    let (high, low) = ((value >> 64) as u64, value as u64);
    fold(high ^ 0x9e37_79b9_7f4a_7c15, low ^ 0xd1b5_4a32_d192_ed03)
}

/// Multiplies to 128 bits and combines the two halves.
pub(crate) fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

fn flags_of(node: &Node) -> u8 {
    let status = match node.status() {
        NodeStatus::Ready => READY,
        NodeStatus::Down => DOWN,
        NodeStatus::Initializing | NodeStatus::Unspecified => 0,
    };
    let eligible = if node.ineligible || node.drain { 0 } else { ELIGIBLE };
    PRESENT | status | eligible
}
