//! Which nodes a group may run on at all: asked once a class of nodes, and node by node only for what
//! is unique to a node.

use std::collections::BTreeMap;

use super::budget::{Budget, SCHEDULE_STEPS_MAX};
use super::constraint::Constraint;
use super::job::{Constraints, ScheduledGroup, ScheduledJob};
use super::view::{ClusterView, NodeFacts, Slot};

/// Why a node is not feasible, in the words that metrics use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Filter<'j> {
    /// Another node of the class was found wanting before (Nomad counts those under this word).
    ComputedClassIneligible,
    MissingDrivers,
    MissingNetwork,
    Constraint(&'j str),
    /// The evaluation has cost too much; whatever is found out now does not count.
    TooMuchWork,
}

impl<'j> Filter<'j> {
    pub(crate) fn as_str(self) -> &'j str {
        match self {
            Filter::ComputedClassIneligible => "computed class ineligible",
            Filter::MissingDrivers => "missing drivers",
            Filter::MissingNetwork => "missing network",
            Filter::Constraint(text) => text,
            Filter::TooMuchWork => "too much work",
        }
    }
}

/// What was found out about classes of nodes: what a blocked evaluation carries, so that it wakes only
/// for nodes that could help.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Eligibility {
    /// By computed class; classes that were not met are absent. Empty when `escaped`.
    pub classes: BTreeMap<String, bool>,
    /// The job asks for what is unique to nodes, so classes say nothing.
    pub escaped: bool,
}

/// Verdicts on classes, found out as nodes are asked about.
#[derive(Debug)]
pub(crate) struct Feasibility<'j> {
    job: &'j ScheduledJob,
    in_datacenter: Vec<bool>,
    of_job: Vec<Verdict>,
    of_groups: Vec<Vec<Verdict>>,
    /// What the evaluation may still cost.
    pub(crate) budget: Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Unknown,
    Eligible,
    Ineligible,
}

impl<'j> Feasibility<'j> {
    pub(crate) fn new(job: &'j ScheduledJob, view: &ClusterView) -> Self {
        let classes = view.classes();
        let in_datacenter = |number| {
            let facts = classes.facts(number as u32);
            facts.is_some_and(|facts| job.datacenters.contains(&facts.datacenter))
        };
        let unknown = vec![Verdict::Unknown; classes.table_len()];
        Feasibility {
            job,
            in_datacenter: (0..classes.table_len()).map(in_datacenter).collect(),
            of_groups: vec![unknown.clone(); job.groups.len()],
            of_job: unknown,
            budget: Budget::new(SCHEDULE_STEPS_MAX),
        }
    }

    /// Whether nodes of the class are in one of the job's datacenters.
    #[inline]
    pub(crate) fn is_in_datacenter(&self, class: u32) -> bool {
        self.in_datacenter.get(class as usize).copied().unwrap_or(false)
    }

    /// Whether the group may run on the node, whatever is left of it.
    #[inline]
    pub(crate) fn check(&mut self, group: usize, class: u32, node: &NodeFacts) -> Result<(), Filter<'j>> {
        self.budget.spend(1);
        if self.budget.is_spent() {
            return Err(Filter::TooMuchWork);
        }
        match self.of_groups[group][class as usize] {
            Verdict::Eligible => {}
            Verdict::Ineligible => return Err(Filter::ComputedClassIneligible),
            Verdict::Unknown => self.check_class(group, class as usize, node)?,
        }
        self.check_node(group, node)
    }

    /// As `check`, and in one of the job's datacenters: whether an allocation may stay where it is.
    pub(crate) fn may_stay(&mut self, group: usize, view: &ClusterView, slot: Slot) -> bool {
        let class = view.class_number(slot);
        let Some(node) = view.node_facts(slot) else { return false };
        self.is_in_datacenter(class) && self.check(group, class, node).is_ok()
    }

    pub(crate) fn eligibility(&self, view: &ClusterView) -> Eligibility {
        let escapes = |constraints: &Constraints| !constraints.of_nodes.is_empty();
        if escapes(&self.job.constraints) || self.job.groups.iter().any(|group| escapes(&group.constraints)) {
            return Eligibility { classes: BTreeMap::new(), escaped: true };
        }
        let mut classes = BTreeMap::new();
        for number in 0..self.of_job.len() {
            let Some(facts) = view.classes().facts(number as u32) else { continue };
            let verdicts = || self.of_groups.iter().map(|verdicts| verdicts[number]);
            if verdicts().any(|verdict| verdict == Verdict::Eligible) {
                classes.insert(facts.computed_class.clone(), true);
            } else if verdicts().any(|verdict| verdict == Verdict::Ineligible) {
                classes.insert(facts.computed_class.clone(), false);
            }
        }
        Eligibility { classes, escaped: false }
    }

    fn check_class(&mut self, group: usize, class: usize, node: &NodeFacts) -> Result<(), Filter<'j>> {
        let verdict = self.check_class_anew(group, class, node);
        self.of_groups[group][class] = if verdict.is_ok() { Verdict::Eligible } else { Verdict::Ineligible };
        verdict
    }

    fn check_class_anew(&mut self, group: usize, class: usize, node: &NodeFacts) -> Result<(), Filter<'j>> {
        let job = self.job;
        match self.of_job[class] {
            Verdict::Eligible => {}
            Verdict::Ineligible => return Err(Filter::ComputedClassIneligible),
            Verdict::Unknown => {
                let verdict = first_unmet(&job.constraints.of_classes, node, &self.budget);
                self.of_job[class] = if verdict.is_ok() { Verdict::Eligible } else { Verdict::Ineligible };
                verdict?;
            }
        }
        let group = &job.groups[group];
        if group.drivers.iter().any(|driver| node.class.drivers.binary_search(driver).is_err()) {
            return Err(Filter::MissingDrivers);
        }
        first_unmet(&group.constraints.of_classes, node, &self.budget)
    }

    /// What nodes of one class may differ in.
    fn check_node(&self, group: usize, node: &NodeFacts) -> Result<(), Filter<'j>> {
        let job = self.job;
        let group: &ScheduledGroup = &job.groups[group];
        first_unmet(&job.constraints.of_nodes, node, &self.budget)?;
        first_unmet(&group.constraints.of_nodes, node, &self.budget)?;
        let offers = |mode: &String| node.networks.iter().any(|network| network.mode == *mode);
        if group.network_modes.iter().all(offers) { Ok(()) } else { Err(Filter::MissingNetwork) }
    }
}

fn first_unmet<'j>(
    constraints: &'j [Constraint],
    node: &NodeFacts,
    budget: &Budget,
) -> Result<(), Filter<'j>> {
    match constraints.iter().find(|constraint| !constraint.holds(node, budget)) {
        Some(unmet) => Err(Filter::Constraint(&unmet.text)),
        None => Ok(()),
    }
}
