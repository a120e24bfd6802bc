//! Counts the nodes that were evaluated, filtered or exhausted for a group, for the API's placement metrics.

use std::collections::BTreeMap;

use ordu_proto::state::AllocMetric;

use crate::scheduler::datacenters::is_glob;
use crate::scheduler::view::ClusterView;

/// The resource that a node lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    Cpu,
    Memory,
    Disk,
    Ports(String),
}

impl Shortage {
    fn as_str(&self) -> &str {
        match self {
            Shortage::Cpu => "cpu",
            Shortage::Memory => "memory",
            Shortage::Disk => "disk",
            Shortage::Ports(text) => text,
        }
    }
}

/// The counts. Counts by class are indexed by class number and get their names in [`Tally::metric`].
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    available: Vec<i64>,
    filtered: Vec<i64>,
    exhausted: Vec<i64>,
    ineligible: i64,
    reasons: BTreeMap<String, i64>,
    shortages: BTreeMap<String, i64>,
}

/// Nomad's reason. Counted outside of the map, because it may apply to every node.
const INELIGIBLE: &str = "computed class ineligible";

impl Tally {
    pub(crate) fn new(view: &ClusterView) -> Tally {
        let none = vec![0; view.classes().table_len()];
        Tally {
            available: none.clone(),
            filtered: none.clone(),
            exhausted: none,
            ineligible: 0,
            reasons: BTreeMap::new(),
            shortages: BTreeMap::new(),
        }
    }

    #[inline]
    pub(crate) fn evaluated(&mut self, class: u32) {
        self.available[class as usize] += 1;
    }

    /// Adds `by` (1 or -1) to the number of nodes filtered for this reason.
    pub(crate) fn filter(&mut self, class: u32, reason: &str, by: i64) {
        self.filtered[class as usize] += by;
        if reason == INELIGIBLE {
            self.ineligible += by;
        } else {
            count(&mut self.reasons, reason, by);
        }
    }

    /// Adds `by` (1 or -1) to the number of exhausted nodes.
    pub(crate) fn exhaust(&mut self, class: u32, shortage: &Shortage, by: i64) {
        self.exhausted[class as usize] += by;
        count(&mut self.shortages, shortage.as_str(), by);
    }

    /// Returns the current metric, without scores.
    pub(crate) fn metric(&self, view: &ClusterView, datacenters: &[String]) -> AllocMetric {
        let mut nodes_available: BTreeMap<String, i64> =
            datacenters.iter().filter(|name| !is_glob(name)).map(|name| (name.clone(), 0)).collect();
        let mut metric = AllocMetric::default();
        for number in 0..self.available.len() {
            let Some(class) = view.classes().facts(number as u32) else { continue };
            metric.nodes_evaluated += self.available[number];
            metric.nodes_filtered += self.filtered[number];
            metric.nodes_exhausted += self.exhausted[number];
            if self.available[number] > 0 {
                count(&mut nodes_available, &class.datacenter, self.available[number]);
            }
            if !class.node_class.is_empty() {
                count(&mut metric.class_filtered, &class.node_class, self.filtered[number]);
                count(&mut metric.class_exhausted, &class.node_class, self.exhausted[number]);
            }
        }
        metric.nodes_available = nodes_available;
        metric.constraint_filtered.clone_from(&self.reasons);
        count(&mut metric.constraint_filtered, INELIGIBLE, self.ineligible);
        metric.dimension_exhausted.clone_from(&self.shortages);
        metric
    }
}

/// Adds to a count; removes it when it becomes zero.
fn count(counts: &mut BTreeMap<String, i64>, name: &str, by: i64) {
    if by == 0 {
        return;
    }
    if let Some(count) = counts.get_mut(name) {
        *count += by;
        if *count == 0 {
            counts.remove(name);
        }
    } else {
        counts.insert(name.to_owned(), by);
    }
}
