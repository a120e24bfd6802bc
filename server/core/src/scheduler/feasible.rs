//! Feasibility of nodes for a group: checked once per node class, and per node only for
//! properties that are unique to a node.

use std::collections::BTreeMap;

use super::budget::{Budget, SCHEDULE_STEPS_MAX};
use super::constraint::Constraint;
use super::datacenters;
use super::job::{Constraints, ScheduledGroup, ScheduledJob};
use super::view::{ClusterView, NodeFacts, Slot};

/// Reason why a node is not feasible, as shown in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Filter<'j> {
    /// Another node of the class was found infeasible before (as in Nomad's metrics).
    ComputedClassIneligible,
    MissingDrivers,
    MissingNetwork,
    Constraint(&'j str),
    /// The evaluation's budget is used up; the result is discarded.
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

/// Feasibility results per node class. A blocked evaluation stores them, so that only nodes that could help wake it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Eligibility {
    /// By computed class; classes that were not checked are absent. Empty when `escaped`.
    pub classes: BTreeMap<String, bool>,
    /// The job's constraints depend on properties unique to nodes, so results per class do not apply.
    pub escaped: bool,
}

/// Feasibility results, cached by class.
#[derive(Debug)]
pub(crate) struct Feasibility<'j> {
    job: &'j ScheduledJob,
    in_datacenter: Vec<bool>,
    of_job: Vec<Verdict>,
    of_groups: Vec<Vec<Verdict>>,
    /// The remaining budget of the evaluation.
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
        // There are many more classes than datacenters.
        let mut known = BTreeMap::new();
        let mut in_datacenter = |number| {
            let Some(facts) = classes.facts(number as u32) else { return false };
            let datacenter = facts.datacenter.as_str();
            *known.entry(datacenter).or_insert_with(|| datacenters::contain(&job.datacenters, datacenter))
        };
        let unknown = vec![Verdict::Unknown; classes.table_len()];
        Feasibility {
            job,
            in_datacenter: (0..classes.table_len()).map(&mut in_datacenter).collect(),
            of_groups: vec![unknown.clone(); job.groups.len()],
            of_job: unknown,
            budget: Budget::new(SCHEDULE_STEPS_MAX),
        }
    }

    /// Returns whether the class is in one of the job's datacenters.
    #[inline]
    pub(crate) fn is_in_datacenter(&self, class: u32) -> bool {
        self.in_datacenter.get(class as usize).copied().unwrap_or(false)
    }

    /// Checks whether the group may run on the node, regardless of the node's free capacity.
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

    /// Returns whether an allocation may stay on its node: like `check`, and the node must be
    /// in one of the job's datacenters.
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

    /// Checks properties that may differ between nodes of one class.
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
