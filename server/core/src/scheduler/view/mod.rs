//! The scheduler's view of the cluster: capacity and use of every node in columns, kept in step by
//! `apply` and rebuilt from the tables at start.
//!
//! It holds nothing per allocation: a million of them cost what their nodes' columns cost, and two bytes a
//! port. Whoever takes an allocation away brings its row.

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

/// A node's place in the columns. It says nothing about order and is reused: outputs name nodes by id.
pub(crate) type Slot = u32;

/// A view of one moment. Taking one is cheap and it never changes under its holder, who may place
/// allocations in it as if they were there.
pub type ViewSnapshot = ClusterView;

/// Capacity, use and facts of every node.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    facts: Vec<Arc<FactsPage>>,
    usage: Vec<Arc<UsagePage>>,
    ports: Vec<Arc<PortsPage>>,
    slots: Arc<FxHashMap<[u8; 16], Slot>>,
    /// Slots below the highest that belong to no node.
    free: Arc<Vec<Slot>>,
    classes: Arc<Classes>,
    nodes: usize,
}

/// Where a node stands, for those who decide what becomes of its allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeCondition {
    /// There is no such node.
    Unknown,
    /// The node is down: what ran on it is lost.
    Down,
    /// The node is up but takes no new allocations (initializing, ineligible, draining).
    Closed,
    /// The node takes new allocations.
    Open,
}

impl ClusterView {
    /// A view of a cluster without nodes.
    pub fn new() -> ClusterView {
        ClusterView::default()
    }

    /// The view as it is now, for a scheduler worker. It costs a few reference counts per 256 nodes.
    pub fn snapshot(&self) -> ViewSnapshot {
        self.clone()
    }

    /// Takes the node as its row is now; allocations may have been seen before it. Ids that are not
    /// sixteen bytes are none and leave the view as it is.
    pub fn node_upserted(&mut self, node: &Node) {
        let Some(id) = node_key(&node.id) else { return };
        let slot = self.slot_or_new(id);
        let (page, row) = split(slot);
        let facts = Arc::make_mut(&mut self.facts[page]);
        let classes = Arc::make_mut(&mut self.classes);
        let was_there = facts.flags[row] & PRESENT != 0;
        let old_class = facts.class[row];
        // Join before leaving, so that a class whose only node changed its status keeps its facts.
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

    /// Forgets the node. What its allocations take is remembered until they are taken away too.
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

    /// Takes the change of an allocation's row: `None` stands for a row that is not there.
    pub fn alloc_changed(&mut self, old: Option<&Allocation>, new: Option<&Allocation>) {
        let before = old.and_then(|alloc| Usage::of_live(alloc).map(|usage| (&alloc.node_id, usage)));
        let after = new.and_then(|alloc| Usage::of_live(alloc).map(|usage| (&alloc.node_id, usage)));
        if before == after {
            return;
        }
        // Taking first keeps the slot of a node that is gone while its last allocation changes.
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

    /// Takes a new allocation on the node that takes so much of it.
    pub fn alloc_added(&mut self, node_id: &[u8], usage: &Usage) {
        if let Some(id) = node_key(node_id) {
            let slot = self.slot_or_new(id);
            self.take(slot, usage);
        }
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes
    }

    /// What is to be thought of the node.
    pub fn condition(&self, node_id: &[u8]) -> NodeCondition {
        let flags = self.slot(node_id).map_or(0, |slot| self.flags(slot));
        match flags {
            _ if flags & PRESENT == 0 => NodeCondition::Unknown,
            _ if flags & DOWN != 0 => NodeCondition::Down,
            _ if flags & PLACEABLE == PLACEABLE => NodeCondition::Open,
            _ => NodeCondition::Closed,
        }
    }

    /// The computed class and the datacenter of the node, if there is one: what blocked evaluations are
    /// unblocked by.
    pub fn class_and_datacenter(&self, node_id: &[u8]) -> Option<(&str, &str)> {
        let class = &self.node_facts(self.slot(node_id)?)?.class;
        Some((&class.computed_class, &class.datacenter))
    }

    /// The computed classes that there are nodes of, each with its datacenter.
    pub fn class_names(&self) -> impl Iterator<Item = (&str, &str)> {
        let numbers = 0..self.classes.table_len() as u32;
        let facts = numbers.filter_map(|number| self.classes.facts(number));
        facts.map(|facts| (facts.computed_class.as_str(), facts.datacenter.as_str()))
    }

    /// What the node offers to allocations in all, if there is one.
    pub fn capacity(&self, node_id: &[u8]) -> Option<Capacity> {
        let slot = self.slot(node_id)?;
        (self.flags(slot) & PRESENT != 0).then(|| self.capacity_at(slot))
    }

    /// What the live allocations of the node take, and how many they are.
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

    /// What is in use of the node's CPU, memory and disk.
    pub(crate) fn used_at(&self, slot: Slot) -> Capacity {
        let (page, row) = split(slot);
        let usage = &self.usage[page];
        Capacity { cpu_mhz: usage.cpu_mhz[row], memory_mb: usage.memory_mb[row], disk_mb: usage.disk_mb[row] }
    }

    /// Ports in use by allocations of the node, ascending; those that the node reserves are not in it.
    pub(crate) fn ports_used(&self, slot: Slot) -> &[u16] {
        let (page, row) = split(slot);
        self.ports[page].used[row].as_ref().map_or(&[], |ports| ports.as_slice())
    }

    /// Adds what an allocation takes.
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

    /// Takes away what `take` added.
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

/// The page of a slot, and the row in it.
pub(crate) fn split(slot: Slot) -> (usize, usize) {
    (slot as usize / PAGE, slot as usize % PAGE)
}

/// A node's id as the view's key; ids are sixteen bytes.
pub(crate) fn node_key(node_id: &[u8]) -> Option<[u8; 16]> {
    node_id.try_into().ok()
}

/// Mixes sixteen bytes into eight (two multiplications by odd constants, as wyhash does), so that equal
/// scores fall in an order that is no one's favourite.
pub(crate) fn mix(id: &[u8; 16]) -> u64 {
    let value = u128::from_be_bytes(*id);
    let (high, low) = ((value >> 64) as u64, value as u64);
    fold(high ^ 0x9e37_79b9_7f4a_7c15, low ^ 0xd1b5_4a32_d192_ed03)
}

/// The two halves of a 128-bit product, folded.
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
