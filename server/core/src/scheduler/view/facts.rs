//! Node data that changes only when a node registers or changes status. Nodes of a class share their common data, so
//! that ten thousand equal nodes store their attributes once.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordu_proto::state::{NetworkResource, Node, NodeResources};

use super::usage::{add_network_ports, quantity};
use crate::scheduler::class::{UNIQUE_PREFIX, computed_class};

/// Data that is equal for all nodes of one computed class.
#[derive(Debug)]
pub(crate) struct ClassFacts {
    pub(crate) computed_class: String,
    pub(crate) datacenter: String,
    pub(crate) node_class: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) meta: BTreeMap<String, String>,
    /// Drivers that are detected and healthy, sorted.
    pub(crate) drivers: Vec<String>,
}

/// Data of a single node.
#[derive(Debug)]
pub(crate) struct NodeFacts {
    pub(crate) id: [u8; 16],
    pub(crate) name: String,
    pub(crate) class: Arc<ClassFacts>,
    pub(crate) unique_attributes: BTreeMap<String, String>,
    pub(crate) unique_meta: BTreeMap<String, String>,
    /// Ports that no allocation may take, sorted.
    pub(crate) reserved_ports: Vec<u16>,
    /// The node's networks, without ports.
    pub(crate) networks: Vec<NetworkResource>,
}

/// A node's capacity for allocations: its resources minus the reserved ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// MHz of CPU.
    pub cpu_mhz: i64,
    /// MB of memory.
    pub memory_mb: i64,
    /// MB of disk.
    pub disk_mb: i64,
}

impl Capacity {
    pub(crate) fn of(node: &Node) -> Capacity {
        let empty = NodeResources::default();
        let total = node.resources.as_ref().unwrap_or(&empty);
        let reserved = node.reserved.as_ref().unwrap_or(&empty);
        let left = |total: i64, reserved: i64| (quantity(total) - quantity(reserved)).max(0);
        Capacity {
            cpu_mhz: left(total.cpu_mhz, reserved.cpu_mhz),
            memory_mb: left(total.memory_mb, reserved.memory_mb),
            disk_mb: left(total.disk_mb, reserved.disk_mb),
        }
    }
}

impl ClassFacts {
    pub(crate) fn of(node: &Node, class: String) -> ClassFacts {
        let shared = |pairs: &BTreeMap<String, String>| split(pairs, false);
        let usable = node.drivers.iter().filter(|(_, driver)| driver.detected && driver.healthy);
        ClassFacts {
            computed_class: class,
            datacenter: node.datacenter.clone(),
            node_class: node.node_class.clone(),
            attributes: shared(&node.attributes),
            meta: shared(&node.meta),
            drivers: usable.map(|(name, _)| name.clone()).collect(),
        }
    }
}

impl NodeFacts {
    pub(crate) fn of(node: &Node, id: [u8; 16], class: Arc<ClassFacts>) -> NodeFacts {
        let mut reserved_ports = Vec::new();
        if let Some(reserved) = &node.reserved {
            add_network_ports(&mut reserved_ports, &reserved.networks);
        }
        reserved_ports.sort_unstable();
        reserved_ports.dedup();
        let networks = node.resources.iter().flat_map(|resources| &resources.networks);
        let without_ports = |network: &NetworkResource| NetworkResource {
            reserved_ports: Vec::new(),
            dynamic_ports: Vec::new(),
            ..network.clone()
        };
        NodeFacts {
            id,
            name: node.name.clone(),
            class,
            unique_attributes: split(&node.attributes, true),
            unique_meta: split(&node.meta, true),
            reserved_ports,
            networks: networks.map(without_ports).collect(),
        }
    }

    /// Returns an attribute of the node or of its class.
    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        let map =
            if key.starts_with(UNIQUE_PREFIX) { &self.unique_attributes } else { &self.class.attributes };
        map.get(key).map(String::as_str)
    }

    /// Returns a meta value of the node or of its class.
    pub(crate) fn meta(&self, key: &str) -> Option<&str> {
        let map = if key.starts_with(UNIQUE_PREFIX) { &self.unique_meta } else { &self.class.meta };
        map.get(key).map(String::as_str)
    }
}

fn split(pairs: &BTreeMap<String, String>, unique: bool) -> BTreeMap<String, String> {
    let wanted = pairs.iter().filter(|(key, _)| key.starts_with(UNIQUE_PREFIX) == unique);
    wanted.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The existing node classes, with small numbers for use in columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    numbers: BTreeMap<String, u32>,
    rows: Vec<Option<ClassRow>>,
    free: Vec<u32>,
    /// The number of classes with each driver.
    drivers: BTreeMap<String, usize>,
}

#[derive(Clone, Debug)]
struct ClassRow {
    facts: Arc<ClassFacts>,
    nodes: u32,
}

impl Classes {
    /// Counts the node in its class and returns the class and its number. A row without a computed class gets its
    /// class from `computed_class`.
    pub(crate) fn join(&mut self, node: &Node) -> (u32, Arc<ClassFacts>) {
        let name = match node.computed_class.as_str() {
            "" => computed_class(node),
            stored => stored.to_owned(),
        };
        if let Some(&number) = self.numbers.get(&name)
            && let Some(row) = &mut self.rows[number as usize]
        {
            row.nodes += 1;
            return (number, Arc::clone(&row.facts));
        }
        let facts = Arc::new(ClassFacts::of(node, name.clone()));
        for driver in &facts.drivers {
            *self.drivers.entry(driver.clone()).or_default() += 1;
        }
        let row = Some(ClassRow { facts: Arc::clone(&facts), nodes: 1 });
        let number = match self.free.pop() {
            Some(number) => {
                self.rows[number as usize] = row;
                number
            }
            None => {
                self.rows.push(row);
                (self.rows.len() - 1) as u32
            }
        };
        self.numbers.insert(name, number);
        (number, facts)
    }

    /// Removes one node from the class; removes the class with its last node.
    pub(crate) fn leave(&mut self, number: u32) {
        let Some(row) = self.rows.get_mut(number as usize) else { return };
        if let Some(class) = row {
            class.nodes -= 1;
            if class.nodes == 0 {
                self.numbers.remove(&class.facts.computed_class);
                for driver in &class.facts.drivers {
                    match self.drivers.get_mut(driver) {
                        Some(classes) if *classes > 1 => *classes -= 1,
                        _ => drop(self.drivers.remove(driver)),
                    }
                }
                *row = None;
                self.free.push(number);
            }
        }
    }

    /// Whether a node has this driver detected and healthy.
    pub(crate) fn have_driver(&self, driver: &str) -> bool {
        self.drivers.contains_key(driver)
    }

    /// Returns the length of a table indexed by class number.
    pub(crate) fn table_len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn facts(&self, number: u32) -> Option<&Arc<ClassFacts>> {
        self.rows.get(number as usize)?.as_ref().map(|row| &row.facts)
    }
}
