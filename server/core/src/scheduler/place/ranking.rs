//! Ranks the nodes for a group. All feasible nodes are scored once, and later only the nodes that change: placing a
//! thousand allocations costs one pass over the columns and a thousand heap operations.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};

use ordu_proto::state::{AllocMetric, NodeScore};
use rustc_hash::FxHashMap;

use super::metric::{Shortage, Tally};
use super::occupancy::Occupancy;
use super::ports;
use super::score::{Score, binpack};
use crate::scheduler::feasible::Feasibility;
use crate::scheduler::job::ScheduledGroup;
use crate::scheduler::view::{Capacity, ClusterView, NodeFacts, PAGE, PLACEABLE, Slot, fold};

/// Steps for taking a node from the heap and scoring it again.
const STEPS_PER_CHOICE: u64 = 8;

/// Maximum number of nodes whose scores a metric lists.
const TOLD_SCORES_MAX: usize = 5;

/// The scheduler state that a ranking reads.
pub(crate) struct Sight<'s, 'j> {
    pub(crate) view: &'s ClusterView,
    pub(crate) feasibility: &'s mut Feasibility<'j>,
    pub(crate) occupancy: &'s Occupancy<'j>,
    pub(crate) datacenters: &'j [String],
}

/// The nodes on which the group can be placed now, best first.
#[derive(Debug)]
pub(crate) struct Ranking<'j> {
    group: &'j ScheduledGroup,
    index: usize,
    /// Derived from the evaluation's id: orders nodes of equal score differently for each evaluation. Otherwise
    /// workers that plan concurrently on one snapshot would all fill the same empty nodes first, and all plans but one
    /// would be refused. Independent of the order of the columns, so every server chooses the same nodes.
    tie_seed: u64,
    heap: BinaryHeap<Candidate>,
    /// Number of times that each node was scored again; heap entries of other generations are stale.
    generations: FxHashMap<Slot, u32>,
    /// Feasible nodes that are not in the heap, with the reason.
    out: FxHashMap<Slot, Out>,
    /// Nodes by property value, for each `distinct_property` rule.
    sharing: Vec<FxHashMap<String, Vec<Slot>>>,
    affinity_of_class: Vec<Option<f64>>,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    score: f64,
    tie: u64,
    slot: Slot,
    generation: u32,
}

#[derive(Debug)]
enum Out {
    Exhausted(Shortage),
    Excluded(String),
}

/// The chosen node, and the best nodes with their scores for the metric.
pub(crate) struct Choice {
    pub(crate) slot: Slot,
    pub(crate) told: Vec<(Slot, Score)>,
}

impl<'j> Ranking<'j> {
    /// Scores all nodes.
    pub(crate) fn new(
        group: &'j ScheduledGroup,
        index: usize,
        tie_seed: u64,
        sight: &mut Sight<'_, 'j>,
    ) -> Self {
        let mut ranking = Ranking {
            group,
            index,
            tie_seed,
            heap: BinaryHeap::new(),
            generations: FxHashMap::default(),
            out: FxHashMap::default(),
            sharing: Vec::new(),
            affinity_of_class: vec![None; sight.view.classes().table_len()],
            tally: Tally::new(sight.view),
        };
        let mut found = Vec::with_capacity(sight.view.node_count());
        let view = sight.view;
        for (page, (facts, _)) in view.pages().enumerate() {
            if sight.feasibility.budget.is_spent() {
                break;
            }
            for row in 0..PAGE {
                let class = facts.class[row];
                if facts.flags[row] & PLACEABLE != PLACEABLE || !sight.feasibility.is_in_datacenter(class) {
                    continue;
                }
                let Some(node) = &facts.node[row] else { continue };
                ranking.tally.evaluated(class);
                if let Err(filter) = sight.feasibility.check(index, class, node) {
                    ranking.tally.filter(class, filter.as_str(), 1);
                    continue;
                }
                let slot = (page * PAGE + row) as Slot;
                ranking.note_shared(sight, slot);
                if let Some((capacity, used_after)) = ranking.room(sight, slot, class) {
                    let packed = binpack(&capacity, &used_after);
                    let score = ranking.score(sight, slot, node, packed, false).normalized;
                    found.push(ranking.candidate(slot, score, facts.id_hash[row], 0));
                }
            }
        }
        ranking.heap = BinaryHeap::from(found);
        ranking
    }

    fn note_shared(&mut self, sight: &Sight<'_, 'j>, slot: Slot) {
        for (rule, value) in sight.occupancy.values(sight.view, self.index, slot).enumerate() {
            if self.sharing.len() <= rule {
                self.sharing.push(FxHashMap::default());
            }
            if let Some(value) = value {
                self.sharing[rule].entry(value).or_default().push(slot);
            }
        }
    }

    /// Scores a node and all nodes with the same property values again: a change on one of them
    /// may make the others feasible or infeasible.
    pub(crate) fn revisit_sharing(&mut self, sight: &mut Sight<'_, 'j>, slot: Slot) {
        let mut slots = vec![slot];
        for (sharing, value) in self.sharing.iter().zip(sight.occupancy.values(sight.view, self.index, slot))
        {
            slots.extend(value.and_then(|value| sharing.get(&value)).into_iter().flatten());
        }
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            self.revisit(sight, slot);
        }
    }

    /// Takes the best node out of the ranking. The caller places an allocation on it and then calls `revisit`.
    /// Penalised nodes are those where an earlier attempt failed. `told` requests scores of the best nodes for the
    /// metric, not only of the chosen one.
    pub(crate) fn choose(&mut self, sight: &Sight<'_, 'j>, penalised: &[Slot], told: bool) -> Option<Choice> {
        let wanted = if told { TOLD_SCORES_MAX } else { 1 };
        let mut best: Vec<(Candidate, Score)> = Vec::new();
        // The heap ignores penalties, and a penalty only lowers a score: once enough
        // unpenalised nodes are popped, no better node can follow.
        let mut unpenalised = 0;
        while unpenalised < wanted {
            sight.feasibility.budget.spend(STEPS_PER_CHOICE);
            let Some(candidate) = self.pop(sight) else { break };
            let is_penalised = penalised.contains(&candidate.slot);
            unpenalised += usize::from(!is_penalised);
            let Some(score) = self.score_now(sight, candidate.slot, is_penalised) else { continue };
            best.push((candidate, score));
        }
        best.sort_by(|(left, left_score), (right, right_score)| {
            right_score.normalized.total_cmp(&left_score.normalized).then(right.tie.cmp(&left.tie))
        });
        let slot = best.first()?.0.slot;
        self.heap.extend(best.iter().skip(1).map(|(candidate, _)| *candidate));
        let told = best.iter().take(wanted).map(|(candidate, score)| (candidate.slot, *score)).collect();
        Some(Choice { slot, told })
    }

    /// Scores a node again after an allocation was placed on it or removed from it.
    pub(crate) fn revisit(&mut self, sight: &mut Sight<'_, 'j>, slot: Slot) {
        let view = sight.view;
        let class = view.class_number(slot);
        match self.out.remove(&slot) {
            Some(Out::Exhausted(shortage)) => self.tally.exhaust(class, &shortage, -1),
            Some(Out::Excluded(reason)) => self.tally.filter(class, &reason, -1),
            None => {}
        }
        let generation = self.generations.entry(slot).or_insert(0);
        *generation += 1;
        let generation = *generation;
        let placeable =
            view.flags(slot) & PLACEABLE == PLACEABLE && sight.feasibility.is_in_datacenter(class);
        let Some(node) = view.node_facts(slot).filter(|_| placeable) else { return };
        if sight.feasibility.check(self.index, class, node).is_err() {
            return;
        }
        if let Some((capacity, used_after)) = self.room(sight, slot, class) {
            let packed = binpack(&capacity, &used_after);
            let score = self.score(sight, slot, node, packed, false).normalized;
            self.heap.push(self.candidate(slot, score, view.id_hash(slot), generation));
        }
    }

    /// Removes a chosen node that turned out to lack ports.
    pub(crate) fn exhaust(&mut self, view: &ClusterView, slot: Slot, shortage: ports::PortShortage) {
        let shortage = Shortage::Ports(shortage);
        self.tally.exhaust(view.class_number(slot), &shortage, 1);
        self.out.insert(slot, Out::Exhausted(shortage));
    }

    /// Returns the current counts, with the scores of the given nodes.
    pub(crate) fn metric(&self, sight: &Sight<'_, 'j>, told: &[(Slot, Score)]) -> AllocMetric {
        let mut metric = self.tally.metric(sight.view, sight.datacenters);
        metric.scores =
            told.iter().filter_map(|(slot, score)| told_score(sight.view, *slot, score)).collect();
        metric
    }

    fn candidate(&self, slot: Slot, score: f64, id_hash: u64, generation: u32) -> Candidate {
        Candidate { score, tie: fold(id_hash ^ self.tie_seed, 0x9e37_79b9_7f4a_7c15), slot, generation }
    }

    /// Pops the best entry that is still valid.
    fn pop(&mut self, sight: &Sight<'_, 'j>) -> Option<Candidate> {
        loop {
            let candidate = self.heap.pop()?;
            if self.generations.get(&candidate.slot).copied().unwrap_or(0) != candidate.generation {
                continue;
            }
            // A placement on another node may have made this one infeasible since it was scored.
            sight.feasibility.budget.spend(sight.occupancy.property_count());
            if sight.occupancy.has_properties()
                && let Err(reason) = sight.occupancy.allows(sight.view, self.index, candidate.slot)
            {
                self.tally.filter(sight.view.class_number(candidate.slot), &reason, 1);
                self.out.insert(candidate.slot, Out::Excluded(reason));
                continue;
            }
            return Some(candidate);
        }
    }

    /// Returns the node's capacity, and its use with one more allocation, if that fits and the job's other allocations
    /// permit it. Otherwise counts the node and records it in `out`.
    fn room(&mut self, sight: &Sight<'_, 'j>, slot: Slot, class: u32) -> Option<(Capacity, Capacity)> {
        sight.feasibility.budget.spend(sight.occupancy.property_count());
        if let Err(reason) = sight.occupancy.allows(sight.view, self.index, slot) {
            self.tally.filter(class, &reason, 1);
            self.out.insert(slot, Out::Excluded(reason));
            return None;
        }
        let (capacity, used, ask) = (sight.view.capacity_at(slot), sight.view.used_at(slot), &self.group.ask);
        let after = Capacity {
            cpu_mhz: used.cpu_mhz + ask.cpu_mhz,
            memory_mb: used.memory_mb + ask.memory_mb,
            disk_mb: used.disk_mb + ask.disk_mb,
        };
        let shortage = if after.cpu_mhz > capacity.cpu_mhz {
            Shortage::Cpu
        } else if after.memory_mb > capacity.memory_mb {
            Shortage::Memory
        } else if after.disk_mb > capacity.disk_mb {
            Shortage::Disk
        } else {
            match self.group.ports.as_ref().map(|needs| ports::check(sight.view, slot, needs)) {
                None | Some(Ok(())) => return Some((capacity, after)),
                Some(Err(shortage)) => Shortage::Ports(shortage),
            }
        };
        self.tally.exhaust(class, &shortage, 1);
        self.out.insert(slot, Out::Exhausted(shortage));
        None
    }

    fn score_now(&mut self, sight: &Sight<'_, 'j>, slot: Slot, penalised: bool) -> Option<Score> {
        let (capacity, used, ask) = (sight.view.capacity_at(slot), sight.view.used_at(slot), &self.group.ask);
        let after = Capacity {
            cpu_mhz: used.cpu_mhz + ask.cpu_mhz,
            memory_mb: used.memory_mb + ask.memory_mb,
            disk_mb: used.disk_mb + ask.disk_mb,
        };
        let node = sight.view.node_facts(slot)?;
        Some(self.score(sight, slot, node, binpack(&capacity, &after), penalised))
    }

    fn score(
        &mut self,
        sight: &Sight<'_, 'j>,
        slot: Slot,
        node: &NodeFacts,
        packed: f64,
        penalised: bool,
    ) -> Score {
        let same_group = sight.occupancy.of_group(self.index, slot);
        let affinity = self.affinity(sight, slot, node);
        Score::new(packed, same_group, self.group.count, penalised, affinity)
    }

    /// Returns the weight of the affinities that the node meets, as a share of all weights.
    fn affinity(&mut self, sight: &Sight<'_, 'j>, slot: Slot, node: &NodeFacts) -> f64 {
        let affinities = &self.group.affinities;
        if affinities.is_empty() {
            return 0.0;
        }
        let class = sight.view.class_number(slot);
        let known = self.affinity_of_class[class as usize];
        let by_class = !affinities.iter().any(|affinity| affinity.constraint.escapes_class);
        if let (Some(known), true) = (known, by_class) {
            return known;
        }
        let met =
            affinities.iter().filter(|affinity| affinity.constraint.holds(node, &sight.feasibility.budget));
        let met: f64 = met.map(|affinity| affinity.weight).sum();
        let all: f64 = affinities.iter().map(|affinity| affinity.weight.abs()).sum();
        let share = if all == 0.0 { 0.0 } else { met / all };
        self.affinity_of_class[class as usize] = Some(share);
        share
    }
}

/// Returns a node's score with Nomad's names for the components. Omits components of 0, which
/// are the majority; the API adds them again.
fn told_score(view: &ClusterView, slot: Slot, score: &Score) -> Option<NodeScore> {
    let node = view.node_facts(slot)?;
    let components = [
        ("binpack", score.binpack),
        ("job-anti-affinity", score.job_anti_affinity),
        ("node-reschedule-penalty", score.reschedule_penalty),
        ("node-affinity", score.node_affinity),
    ];
    let scores: BTreeMap<String, f64> = components
        .into_iter()
        .filter(|(name, value)| *name == "binpack" || *value != 0.0)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Some(NodeScore { node_id: node.id.to_vec(), norm_score: score.normalized, scores })
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.tie.cmp(&other.tie)).then(self.slot.cmp(&other.slot))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}
