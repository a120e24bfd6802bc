//! Checks whether a plan still fits the cluster. The plan applier runs this code before it proposes a plan, and
//! `apply` runs the same code again in log order.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::command::Plan;
use ordu_proto::state::Allocation;

use super::view::{Capacity, ClusterView, NodeCondition, Slot, Usage};

/// Reason why a node's part of a plan is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The node does not exist.
    NodeUnknown,
    /// The node is down, initializing, ineligible or draining, and the part places a new allocation.
    NodeClosed,
    /// Not enough CPU.
    Cpu,
    /// Not enough memory.
    Memory,
    /// Not enough disk.
    Disk,
    /// A port is already in use.
    Port,
    /// The plan takes effect completely or not at all, and another node's part was refused.
    AllAtOnce,
}

impl RefusalReason {
    /// Returns the reason as text, with Nomad's wording where it exists.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalReason::NodeUnknown => "node does not exist",
            RefusalReason::NodeClosed => "node is not ready for placements",
            RefusalReason::Cpu => "cpu",
            RefusalReason::Memory => "memory",
            RefusalReason::Disk => "disk",
            RefusalReason::Port => "reserved port collision",
            RefusalReason::AllAtOnce => "another part of an all-at-once plan was refused",
        }
    }
}

/// Result of checking a plan: the parts of all nodes except the refused ones take effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanVerdict {
    /// The nodes whose parts are refused, by id, with the reason.
    pub refused: BTreeMap<Vec<u8>, RefusalReason>,
}

impl PlanVerdict {
    /// Returns whether the node's part of the plan takes effect.
    pub fn accepts(&self, node_id: &[u8]) -> bool {
        !self.refused.contains_key(node_id)
    }

    /// Returns the refused nodes for `PlanResult.refused_nodes`.
    pub fn refused_nodes(&self) -> BTreeSet<Vec<u8>> {
        self.refused.keys().cloned().collect()
    }
}

/// Finds an allocation's row by id, in the state that the plan is checked against.
pub type AllocLookup<'a> = dyn FnMut(&[u8]) -> Option<Allocation> + 'a;

/// Reads an allocation's row by id.
pub type ReadAlloc<'a, E> = dyn FnMut(&[u8]) -> Result<Option<Allocation>, E> + 'a;

/// Reads the allocations that a plan stops or updates, by id; skips missing ones. Call it before checking the plan: a
/// plan with an unreadable row must not be counted as in effect.
pub fn touched_allocs<E>(
    plan: &Plan,
    read: &mut ReadAlloc<'_, E>,
) -> Result<BTreeMap<Vec<u8>, Allocation>, E> {
    let stopped = plan.stop.iter().map(|stop| &stop.alloc_id);
    let mut allocs = BTreeMap::new();
    for id in stopped.chain(plan.update.iter().map(|update| &update.alloc_id)) {
        if let Some(alloc) = read(id)? {
            allocs.insert(id.clone(), alloc);
        }
    }
    Ok(allocs)
}

/// Returns the plan without the refused parts, which the plan applier then proposes.
///
/// Keeps stops and updates of allocations that `lookup` does not find; `apply` ignores them.
pub fn accepted_part(mut plan: Plan, verdict: &PlanVerdict, lookup: &mut AllocLookup<'_>) -> Plan {
    if verdict.refused.is_empty() {
        return plan;
    }
    // A refused all-at-once plan does not begin or end deployments either.
    if plan.all_at_once {
        plan.deployment = None;
        plan.deployment_updates.clear();
    }
    let mut accepted = |alloc_id: &[u8]| lookup(alloc_id).is_none_or(|alloc| verdict.accepts(&alloc.node_id));
    plan.place.retain(|alloc| verdict.accepts(&alloc.node_id));
    plan.stop.retain(|stop| accepted(&stop.alloc_id));
    plan.update.retain(|update| accepted(&update.alloc_id));
    plan
}

/// Checks a sequence of plans, each against the state in which the accepted parts of the
/// previous ones have taken effect.
#[derive(Debug)]
pub struct PlanCheck<'view> {
    view: &'view ClusterView,
    deltas: BTreeMap<Slot, Delta>,
    /// Allocations that accepted plans stop: their usage must not be subtracted twice.
    stopped: BTreeSet<Vec<u8>>,
}

/// Changes of a node's usage by accepted plans, relative to the view.
#[derive(Clone, Debug, Default)]
struct Delta {
    cpu_mhz: i64,
    memory_mb: i64,
    disk_mb: i64,
    /// Change in the number of holders of each port.
    ports: BTreeMap<u16, i64>,
}

/// A plan's part for one node.
#[derive(Default)]
struct Part {
    taken: Vec<Usage>,
    given_back: Vec<Usage>,
    stopped: Vec<Vec<u8>>,
    places: bool,
    updates: bool,
}

impl<'view> PlanCheck<'view> {
    /// Builds a checker for the view.
    pub fn new(view: &'view ClusterView) -> Self {
        PlanCheck { view, deltas: BTreeMap::new(), stopped: BTreeSet::new() }
    }

    /// Checks a plan and returns the nodes whose parts are refused. The other parts count as in effect for later plans.
    pub fn check(&mut self, plan: &Plan, lookup: &mut AllocLookup<'_>) -> BTreeSet<Vec<u8>> {
        self.verdict(plan, lookup).refused_nodes()
    }

    /// Like `check`, with the reasons.
    pub fn verdict(&mut self, plan: &Plan, lookup: &mut AllocLookup<'_>) -> PlanVerdict {
        let mut verdict = PlanVerdict::default();
        let mut accepted = Vec::new();
        let parts = self.parts(plan, lookup);
        for (node_id, part) in &parts {
            match self.check_part(node_id, part) {
                Ok(Some((slot, delta))) => accepted.push((slot, delta)),
                Ok(None) => {}
                Err(reason) => drop(verdict.refused.insert(node_id.clone(), reason)),
            }
        }
        if plan.all_at_once && !verdict.refused.is_empty() {
            for node_id in parts.into_keys() {
                verdict.refused.entry(node_id).or_insert(RefusalReason::AllAtOnce);
            }
            return verdict;
        }
        self.deltas.extend(accepted);
        for (node_id, part) in parts {
            if verdict.accepts(&node_id) {
                self.stopped.extend(part.stopped);
            }
        }
        verdict
    }

    fn parts(&self, plan: &Plan, lookup: &mut AllocLookup<'_>) -> BTreeMap<Vec<u8>, Part> {
        let mut parts: BTreeMap<Vec<u8>, Part> = BTreeMap::new();
        let mut stopping = BTreeSet::new();
        for stop in &plan.stop {
            let Some(alloc) = lookup(&stop.alloc_id) else { continue };
            let part = parts.entry(alloc.node_id.clone()).or_default();
            if !self.stopped.contains(&stop.alloc_id) && stopping.insert(&stop.alloc_id) {
                part.given_back.extend(Usage::of_live(&alloc));
                part.stopped.push(stop.alloc_id.clone());
            }
        }
        for update in &plan.update {
            let Some(alloc) = lookup(&update.alloc_id) else { continue };
            let part = parts.entry(alloc.node_id.clone()).or_default();
            part.updates = true;
            if let Some(before) = Usage::of_live(&alloc)
                && let Some(resources) = &update.resources
                && !self.stopped.contains(&update.alloc_id)
            {
                part.given_back.push(before);
                part.taken.push(Usage::of(Some(resources)));
            }
        }
        for alloc in &plan.place {
            let part = parts.entry(alloc.node_id.clone()).or_default();
            part.places = true;
            part.taken.extend(Usage::of_live(alloc));
        }
        parts
    }

    /// Returns the node's delta including this part, or the reason for refusing it. A part with only stops always
    /// fits; one without placements is accepted on a node that takes no new allocations.
    fn check_part(&self, node_id: &[u8], part: &Part) -> Result<Option<(Slot, Delta)>, RefusalReason> {
        let condition = self.view.condition(node_id);
        if (part.places || part.updates) && condition == NodeCondition::Unknown {
            return Err(RefusalReason::NodeUnknown);
        }
        if part.places && condition != NodeCondition::Open {
            return Err(RefusalReason::NodeClosed);
        }
        let Some(slot) = self.view.slot(node_id) else { return Ok(None) };
        let before = self.deltas.get(&slot).cloned().unwrap_or_default();
        let mut after = before.clone();
        part.given_back.iter().for_each(|usage| after.add(usage, -1));
        let freed = after.clone();
        part.taken.iter().for_each(|usage| after.add(usage, 1));
        if part.places || part.updates {
            self.fits(slot, &before, &after, part.places)?;
            self.ports_fit(slot, &freed, part)?;
        }
        Ok(Some((slot, after)))
    }

    /// Checks the capacity. A part with placements must end within it. A part with only updates may also leave an
    /// overfull node as full as it was; otherwise a node whose capacity shrank could never get a new job version.
    fn fits(&self, slot: Slot, before: &Delta, after: &Delta, places: bool) -> Result<(), RefusalReason> {
        let Capacity { cpu_mhz, memory_mb, disk_mb } = self.view.capacity_at(slot);
        let used = self.view.used_at(slot);
        let fits = |used: i64, before: i64, after: i64, capacity: i64| {
            used + after <= capacity || (!places && after <= before)
        };
        if !fits(used.cpu_mhz, before.cpu_mhz, after.cpu_mhz, cpu_mhz) {
            return Err(RefusalReason::Cpu);
        }
        if !fits(used.memory_mb, before.memory_mb, after.memory_mb, memory_mb) {
            return Err(RefusalReason::Memory);
        }
        if !fits(used.disk_mb, before.disk_mb, after.disk_mb, disk_mb) {
            return Err(RefusalReason::Disk);
        }
        Ok(())
    }

    fn ports_fit(&self, slot: Slot, freed: &Delta, part: &Part) -> Result<(), RefusalReason> {
        let reserved: &[u16] = self.view.node_facts(slot).map_or(&[], |facts| &facts.reserved_ports);
        let used = self.view.ports_used(slot);
        let kept = |port: u16| part.given_back.iter().any(|usage| usage.ports.contains(&port));
        let mut wanted = BTreeSet::new();
        for &port in part.taken.iter().flat_map(|usage| &usage.ports) {
            let in_view =
                used.partition_point(|&held| held <= port) - used.partition_point(|&held| held < port);
            let held = in_view as i64 + freed.ports.get(&port).copied().unwrap_or(0);
            let reserved = reserved.binary_search(&port).is_ok() && !kept(port);
            if held > 0 || reserved || !wanted.insert(port) {
                return Err(RefusalReason::Port);
            }
        }
        Ok(())
    }
}

impl Delta {
    fn add(&mut self, usage: &Usage, sign: i64) {
        self.cpu_mhz += sign * usage.cpu_mhz;
        self.memory_mb += sign * usage.memory_mb;
        self.disk_mb += sign * usage.disk_mb;
        for &port in &usage.ports {
            *self.ports.entry(port).or_insert(0) += sign;
        }
    }
}

#[cfg(test)]
mod tests;
