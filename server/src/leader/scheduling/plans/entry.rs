//! Checks plans, splits them into log entries, and merges the results into outcomes.

use std::collections::BTreeSet;

use ordu_core::scheduler::{ClusterView, PlanCheck, ReadAlloc, accepted_part, touched_allocs};
use ordu_core::state::Corrupt;
use ordu_proto::command::{Plan, PlanResult};
use prost::Message;

use super::PlanOutcome;

/// The accepted part of a plan, and the nodes on which the rest was refused.
#[derive(Debug, PartialEq)]
pub(super) struct Checked {
    pub(super) plan: Plan,
    pub(super) refused: BTreeSet<Vec<u8>>,
}

impl Checked {
    /// Whether nothing is left to propose.
    pub(super) fn is_empty(&self) -> bool {
        ordu_core::scheduler::plan_is_empty(&self.plan)
    }

    /// Returns the plan's outcome, given the result of its accepted part.
    pub(super) fn outcome(&self, index: u64, result: &PlanResult) -> Result<PlanOutcome, String> {
        if !result.unreadable.is_empty() {
            return Err(result.unreadable.clone());
        }
        let refused_later = result.refused_nodes.iter().filter(|node| !self.refused.contains(*node)).count();
        Ok(PlanOutcome {
            index,
            refused: self.refused.len() + refused_later,
            progress: result.placed > 0 || result.changed > 0,
        })
    }
}

/// Whether the part has no items yet.
fn has_no_items(plan: &Plan) -> bool {
    plan.place.is_empty() && plan.stop.is_empty() && plan.update.is_empty()
}

/// Checks plans in sequence against the view, each as if the plans before it had taken effect. If a plan's
/// rows cannot be read, only that plan fails.
pub(super) fn check(
    view: &ClusterView,
    plans: Vec<Plan>,
    read: &mut ReadAlloc<'_, Corrupt>,
) -> Vec<Result<Checked, Corrupt>> {
    let mut check = PlanCheck::new(view);
    let mut check_one = |plan: Plan| {
        let touched = touched_allocs(&plan, read)?;
        let lookup = &mut |id: &[u8]| touched.get(id).cloned();
        let verdict = check.verdict(&plan, lookup);
        for (node, reason) in &verdict.refused {
            let node = ordu_core::state::Id::try_from(node.as_slice())
                .map(uuid::Uuid::from_bytes)
                .unwrap_or_default();
            tracing::debug!(
                "the plan of job {:?} is refused on node {node}: {}",
                plan.job_id,
                reason.as_str()
            );
        }
        Ok(Checked { plan: accepted_part(plan, &verdict, lookup), refused: verdict.refused_nodes() })
    };
    plans.into_iter().map(&mut check_one).collect()
}

/// Minimum weight of an allocation change in bytes: even a tiny change takes time to apply.
const CHANGE_BYTES_MIN: usize = 128;

/// Returns the weight of a plan in an entry, in bytes.
pub(super) fn weight(plan: &Plan) -> usize {
    let changes = plan.place.len() + plan.stop.len() + plan.update.len();
    plan.encoded_len().max(changes * CHANGE_BYTES_MIN)
}

/// Splits a plan that is too large for one entry: first the stops and updates, then the placements. An
/// all-at-once plan is never split.
pub(super) fn split(mut plan: Plan, bytes_max: usize) -> Vec<Plan> {
    if plan.all_at_once || weight(&plan) <= bytes_max {
        return vec![plan];
    }
    let (place, stop, update) =
        (std::mem::take(&mut plan.place), std::mem::take(&mut plan.stop), std::mem::take(&mut plan.update));
    let mut parts = Vec::new();
    let mut bytes = 0;
    let mut part = plan.clone();
    let mut add = |item_bytes: usize, put: &mut dyn FnMut(&mut Plan)| {
        let item_bytes = item_bytes.max(CHANGE_BYTES_MIN);
        if bytes + item_bytes > bytes_max && !has_no_items(&part) {
            parts.push(std::mem::replace(&mut part, plan.clone()));
            bytes = 0;
        }
        bytes += item_bytes;
        put(&mut part);
    };
    // Protobuf tag and length of an item take a few bytes.
    const FRAME: usize = 6;
    for item in stop {
        add(item.encoded_len() + FRAME, &mut |part| part.stop.push(item.clone()));
    }
    for item in update {
        add(item.encoded_len() + FRAME, &mut |part| part.update.push(item.clone()));
    }
    for item in place {
        add(item.encoded_len() + FRAME, &mut |part| part.place.push(item.clone()));
    }
    parts.push(part);
    parts
}

/// Merges the results of a split plan's parts.
pub(super) fn merge(results: impl IntoIterator<Item = PlanResult>) -> PlanResult {
    let mut refused = BTreeSet::new();
    let mut merged = PlanResult::default();
    for result in results {
        refused.extend(result.refused_nodes);
        merged.placed += result.placed;
        merged.changed += result.changed;
        if merged.unreadable.is_empty() {
            merged.unreadable = result.unreadable;
        }
    }
    PlanResult { refused_nodes: refused.into_iter().collect(), ..merged }
}

#[cfg(test)]
mod tests {
    use ordu_core::state::Table;
    use ordu_proto::command::PlanStop;
    use ordu_proto::state::{
        AllocatedResources, AllocatedTaskResources, Allocation, DesiredStatus, Node, NodeResources,
        NodeStatus,
    };

    use super::*;

    fn view() -> ClusterView {
        let mut view = ClusterView::new();
        for number in [8, 9] {
            let resources =
                NodeResources { cpu_mhz: 1000, memory_mb: 1000, disk_mb: 1000, ..Default::default() };
            let mut node = Node { id: vec![number; 16], resources: Some(resources), ..Node::default() };
            node.set_status(NodeStatus::Ready);
            view.node_upserted(&node);
        }
        view
    }

    fn alloc(number: u8, node: u8, cpu_mhz: i64) -> Allocation {
        let task = AllocatedTaskResources { cpu_mhz, ..Default::default() };
        let resources = AllocatedResources { tasks: [("t".to_owned(), task)].into(), ..Default::default() };
        Allocation {
            id: vec![number; 16],
            node_id: vec![node; 16],
            desired_status: DesiredStatus::Run.into(),
            resources: Some(resources),
            ..Allocation::default()
        }
    }

    fn plan(place: Vec<Allocation>) -> Plan {
        Plan { place, ..Plan::default() }
    }

    #[test]
    fn what_fits_of_many_plans_goes_on_and_the_rest_is_refused_node_by_node() {
        let plans = vec![
            plan(vec![alloc(1, 8, 600)]),
            plan(vec![alloc(2, 8, 600), alloc(3, 9, 600)]),
            plan(vec![alloc(4, 9, 600)]),
        ];
        let checked = check(&view(), plans, &mut |_| Ok(None));
        let checked: Vec<Checked> = checked.into_iter().map(Result::unwrap).collect();
        let left = |at: usize| checked[at].plan.place.iter().map(|alloc| alloc.id[0]).collect::<Vec<_>>();
        assert_eq!([left(0), left(1), left(2)], [vec![1], vec![3], vec![]]);
        assert!(checked[2].is_empty() && !checked[1].is_empty());
        let outcome = checked[1].outcome(7, &PlanResult { placed: 1, ..PlanResult::default() }).unwrap();
        assert_eq!(outcome, PlanOutcome { index: 7, refused: 1, progress: true });
        let changed = PlanResult { changed: 1, ..PlanResult::default() };
        assert!(checked[1].outcome(7, &changed).unwrap().progress);
        let later = PlanResult { refused_nodes: vec![vec![8; 16], vec![9; 16]], ..PlanResult::default() };
        assert_eq!(checked[1].outcome(7, &later), Ok(PlanOutcome { index: 7, refused: 2, progress: false }));
    }

    #[test]
    fn a_plan_whose_rows_cannot_be_decoded_fails_alone_and_takes_and_gives_nothing() {
        let stops = |number: u8| vec![PlanStop { alloc_id: vec![number; 16], ..PlanStop::default() }];
        let running = alloc(10, 8, 900);
        let mut view = view();
        view.alloc_changed(None, Some(&running));
        let plans = vec![
            // This stop would free room on the node if the plan took effect.
            Plan { stop: [stops(10), stops(66)].concat(), ..plan(vec![alloc(1, 9, 900)]) },
            plan(vec![alloc(2, 8, 900)]),
            plan(vec![alloc(3, 9, 900)]),
        ];
        let checked = check(&view, plans, &mut |id| match id[0] {
            66 => Err(Corrupt::row(Table::Allocs, "garbage")),
            10 => Ok(Some(running.clone())),
            _ => Ok(None),
        });
        let left = |at: usize| checked[at].as_ref().map(|checked| checked.plan.place.len()).ok();
        assert_eq!([left(0), left(1), left(2)], [None, Some(0), Some(1)]);
        let checked = checked[2].as_ref().unwrap();
        let unreadable = PlanResult { unreadable: "garbage".to_owned(), ..PlanResult::default() };
        assert_eq!(checked.outcome(7, &unreadable), Err("garbage".to_owned()));
        let merged = merge([PlanResult { placed: 1, ..PlanResult::default() }, unreadable]);
        assert_eq!((merged.placed, &*merged.unreadable), (1, "garbage"));
    }

    #[test]
    fn a_plan_that_is_too_large_is_cut_and_loses_nothing() {
        let mut large = plan((0..100).map(|number| alloc(number, 8, 1)).collect());
        large.job_id = "large".to_owned();
        large.stop = vec![PlanStop { alloc_id: vec![200; 16], ..PlanStop::default() }];
        let parts = split(large.clone(), 1000);
        assert!(
            parts.len() > 2 && parts.iter().all(|part| part.encoded_len() <= 1100 && part.job_id == "large")
        );
        assert_eq!(parts[0].stop, large.stop, "what stops goes first");
        let together: Vec<Allocation> = parts.into_iter().flat_map(|part| part.place).collect();
        assert_eq!(together, large.place);
        let whole = Plan { all_at_once: true, ..large };
        assert_eq!(split(whole.clone(), 1000), [whole]);
        let refused = |node: u8, placed| PlanResult {
            refused_nodes: vec![vec![node; 16]],
            placed,
            changed: 1,
            ..PlanResult::default()
        };
        let merged = merge([refused(1, 3), refused(1, 4), refused(2, 0)]);
        let refused_nodes = vec![vec![1; 16], vec![2; 16]];
        assert_eq!(merged, PlanResult { refused_nodes, placed: 7, changed: 3, ..PlanResult::default() });
    }
}
