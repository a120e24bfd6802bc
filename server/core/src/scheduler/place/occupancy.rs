//! Numbers of the job's allocations on each node, existing and planned. Anti-affinity, `distinct_hosts` and
//! `distinct_property` depend on them.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::scheduler::job::{DistinctProperty, ScheduledJob};
use crate::scheduler::view::{ClusterView, Slot};

/// Counts of the job's allocations. Looked up by node, never iterated.
#[derive(Debug)]
pub(crate) struct Occupancy<'j> {
    job: &'j ScheduledJob,
    of_job: FxHashMap<Slot, u32>,
    of_groups: Vec<FxHashMap<Slot, u32>>,
    properties: Vec<Property<'j>>,
}

#[derive(Debug)]
struct Property<'j> {
    /// The group that the rule is limited to; `None` for the whole job.
    group: Option<usize>,
    rule: &'j DistinctProperty,
    counts: BTreeMap<String, u64>,
}

impl<'j> Occupancy<'j> {
    pub(crate) fn new(job: &'j ScheduledJob) -> Self {
        let property = |group, rule| Property { group, rule, counts: BTreeMap::new() };
        let mut properties: Vec<Property<'j>> =
            job.exclusions.distinct_properties.iter().map(|rule| property(None, rule)).collect();
        for (index, group) in job.groups.iter().enumerate() {
            let rules = &group.exclusions.distinct_properties;
            properties.extend(rules.iter().map(|rule| property(Some(index), rule)));
        }
        Occupancy {
            job,
            of_job: FxHashMap::default(),
            of_groups: vec![FxHashMap::default(); job.groups.len()],
            properties,
        }
    }

    /// Returns how many allocations of the group are on the node.
    #[inline]
    pub(crate) fn of_group(&self, group: usize, slot: Slot) -> u32 {
        self.of_groups[group].get(&slot).copied().unwrap_or(0)
    }

    /// Returns whether a placement on one node can affect the feasibility of other nodes.
    pub(crate) fn has_properties(&self) -> bool {
        !self.properties.is_empty()
    }

    /// Returns the number of `distinct_property` rules, each of which is checked for each node.
    pub(crate) fn property_count(&self) -> u64 {
        self.properties.len() as u64
    }

    /// Returns the node's values for the `distinct_property` rules that apply to the group, rule by rule.
    pub(crate) fn values<'s>(
        &'s self,
        view: &'s ClusterView,
        group: usize,
        slot: Slot,
    ) -> impl Iterator<Item = Option<String>> + 's {
        let properties = self.properties.iter().filter(move |property| property.is_for(group));
        properties.map(move |property| property.value(view, slot))
    }

    pub(crate) fn add(&mut self, view: &ClusterView, group: usize, slot: Slot) {
        *self.of_job.entry(slot).or_insert(0) += 1;
        *self.of_groups[group].entry(slot).or_insert(0) += 1;
        for property in self.properties.iter_mut().filter(|property| property.is_for(group)) {
            if let Some(value) = property.value(view, slot) {
                *property.counts.entry(value).or_insert(0) += 1;
            }
        }
    }

    pub(crate) fn remove(&mut self, view: &ClusterView, group: usize, slot: Slot) {
        for counts in [&mut self.of_job, &mut self.of_groups[group]] {
            if let Some(count) = counts.get_mut(&slot) {
                *count = count.saturating_sub(1);
            }
        }
        for property in self.properties.iter_mut().filter(|property| property.is_for(group)) {
            if let Some(value) = property.value(view, slot)
                && let Some(count) = property.counts.get_mut(&value)
            {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Checks whether the job's other allocations permit one more allocation of the group on the node. Returns the
    /// reason as shown in metrics if they do not.
    pub(crate) fn allows(&self, view: &ClusterView, group: usize, slot: Slot) -> Result<(), String> {
        let hosts_job = || self.of_job.get(&slot).is_some_and(|&count| count > 0);
        let distinct_in_job = self.job.exclusions.distinct_hosts && hosts_job();
        let distinct_in_group =
            self.job.groups[group].exclusions.distinct_hosts && self.of_group(group, slot) > 0;
        if distinct_in_job || distinct_in_group {
            return Err("distinct_hosts".to_owned());
        }
        for property in self.properties.iter().filter(|property| property.is_for(group)) {
            let DistinctProperty { text, limit, .. } = property.rule;
            let Some(value) = property.value(view, slot) else {
                return Err(format!("missing property \"{text}\""));
            };
            let used = property.counts.get(&value).copied().unwrap_or(0);
            if used >= *limit {
                return Err(format!("distinct_property: {text}={value} used by {used} allocs"));
            }
        }
        Ok(())
    }
}

impl Property<'_> {
    fn is_for(&self, group: usize) -> bool {
        self.group.is_none_or(|only| only == group)
    }

    fn value(&self, view: &ClusterView, slot: Slot) -> Option<String> {
        let node = view.node_facts(slot)?;
        self.rule.target.resolve(node).map(|value| value.into_owned())
    }
}
