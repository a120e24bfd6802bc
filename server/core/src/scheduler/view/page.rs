//! The columns, in pages of 256 nodes. Views share a page until one of them writes to it: a snapshot costs a few dozen
//! reference counts, and a write copies at most a few kilobytes.

use std::sync::Arc;

use super::facts::NodeFacts;

/// Number of nodes in a page.
pub(crate) const PAGE: usize = 256;

/// The node is registered. (A slot without this flag only holds the usage of a removed node's allocations.)
pub(crate) const PRESENT: u8 = 1;
/// The node's status is ready.
pub(crate) const READY: u8 = 2;
/// The node accepts new allocations: it is neither ineligible nor draining.
pub(crate) const ELIGIBLE: u8 = 4;
/// The node's status is down.
pub(crate) const DOWN: u8 = 8;
/// A node gets new allocations only if all of these bits are set.
pub(crate) const PLACEABLE: u8 = PRESENT | READY | ELIGIBLE;

/// Data that changes when nodes register or change status.
#[derive(Clone, Debug)]
pub(crate) struct FactsPage {
    pub(crate) flags: [u8; PAGE],
    pub(crate) class: [u32; PAGE],
    pub(crate) cpu_mhz: [i64; PAGE],
    pub(crate) memory_mb: [i64; PAGE],
    pub(crate) disk_mb: [i64; PAGE],
    /// Hash of the node's id, for breaking ties.
    pub(crate) id_hash: [u64; PAGE],
    pub(crate) node: [Option<Arc<NodeFacts>>; PAGE],
}

/// Data that changes with every allocation.
#[derive(Clone, Debug)]
pub(crate) struct UsagePage {
    pub(crate) cpu_mhz: [i64; PAGE],
    pub(crate) memory_mb: [i64; PAGE],
    pub(crate) disk_mb: [i64; PAGE],
    pub(crate) live_allocs: [u32; PAGE],
}

/// Ports in use by allocations, sorted. A port occurs as many times as allocations hold it.
#[derive(Clone, Debug)]
pub(crate) struct PortsPage {
    pub(crate) used: [Option<Arc<Vec<u16>>>; PAGE],
}

impl Default for FactsPage {
    fn default() -> Self {
        FactsPage {
            flags: [0; PAGE],
            class: [0; PAGE],
            cpu_mhz: [0; PAGE],
            memory_mb: [0; PAGE],
            disk_mb: [0; PAGE],
            id_hash: [0; PAGE],
            node: [const { None }; PAGE],
        }
    }
}

impl Default for UsagePage {
    fn default() -> Self {
        UsagePage { cpu_mhz: [0; PAGE], memory_mb: [0; PAGE], disk_mb: [0; PAGE], live_allocs: [0; PAGE] }
    }
}

impl Default for PortsPage {
    fn default() -> Self {
        PortsPage { used: [const { None }; PAGE] }
    }
}
