//! Plans that were made and are not applied yet: workers place around them, and the applier checks with
//! them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ordu_core::scheduler::ClusterView;
use ordu_core::state::{Corrupt, Reader, read};
use ordu_proto::command::Plan;
use ordu_proto::state::{Allocation, DesiredStatus};
use tokio::sync::watch;

/// Placements that are under way; workers wait while there are more. Deciding further ahead of the log
/// would gain nothing, and every decision looks at all of them.
const PLACEMENTS_IN_FLIGHT_MAX: usize = 8192;

/// Numbers plans in the order in which they were made.
pub(in super::super) type PlanNumber = u64;

/// The plans under way.
pub(in super::super) struct InFlight {
    plans: Mutex<Numbered>,
    /// How many placements are under way, and the number of the oldest plan.
    progress: watch::Sender<(usize, PlanNumber)>,
}

#[derive(Default)]
struct Numbered {
    next: PlanNumber,
    plans: BTreeMap<PlanNumber, Footprint>,
    placements: usize,
}

/// What a plan takes and gives back.
#[derive(Debug, PartialEq)]
struct Footprint {
    /// What is placed: ids, nodes, resources and statuses only.
    places: Vec<Allocation>,
    stops: Vec<Vec<u8>>,
    is_proposed: bool,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { plans: Mutex::default(), progress: watch::Sender::new((0, 0)) }
    }
}

impl InFlight {
    /// A plan was made.
    pub(super) fn begin(&self, plan: &Plan) -> PlanNumber {
        let footprint = Footprint {
            places: plan.place.iter().map(footprint).collect(),
            stops: plan.stop.iter().map(|stop| stop.alloc_id.clone()).collect(),
            is_proposed: false,
        };
        let mut numbered = self.numbered();
        let number = numbered.next;
        numbered.next += 1;
        numbered.placements += footprint.places.len();
        numbered.plans.insert(number, footprint);
        self.tell(&numbered);
        number
    }

    /// What is left of a plan after its check was proposed.
    pub(super) fn proposed(&self, number: PlanNumber, plan: &Plan) {
        let mut numbered = self.numbered();
        let Some(footprint) = numbered.plans.get_mut(&number) else { return };
        footprint.is_proposed = true;
        if footprint.places.len() == plan.place.len() {
            return;
        }
        let before = footprint.places.len();
        footprint.places = plan.place.iter().map(self::footprint).collect();
        numbered.placements -= before - plan.place.len();
        self.tell(&numbered);
    }

    /// The plan is applied, or will not be.
    pub(super) fn settle(&self, number: PlanNumber) {
        let mut numbered = self.numbered();
        if let Some(footprint) = numbered.plans.remove(&number) {
            numbered.placements -= footprint.places.len();
        }
        self.tell(&numbered);
    }

    /// Returns when there is room for another plan.
    pub(in super::super) async fn room(&self) {
        // The sender lives as long as this does.
        let _ = self
            .progress
            .subscribe()
            .wait_for(|(placements, _)| *placements < PLACEMENTS_IN_FLIGHT_MAX)
            .await;
    }

    /// Returns when all plans up to `number` are settled.
    pub(in super::super) async fn settled(&self, number: PlanNumber) {
        let _ = self.progress.subscribe().wait_for(|(_, oldest)| *oldest > number).await;
    }

    /// Puts into `view` all plans under way that `reader`, which is of the view's state, does not have yet.
    /// Answers the latest of them.
    pub(in super::super) fn overlay(
        &self,
        view: &mut ClusterView,
        reader: &dyn Reader,
    ) -> Result<Option<PlanNumber>, Corrupt> {
        self.overlay_if(view, reader, |_| true)
    }

    /// As `overlay`, of those only that are proposed.
    pub(super) fn overlay_proposed(
        &self,
        view: &mut ClusterView,
        reader: &dyn Reader,
    ) -> Result<(), Corrupt> {
        self.overlay_if(view, reader, |footprint| footprint.is_proposed).map(drop)
    }

    fn overlay_if(
        &self,
        view: &mut ClusterView,
        reader: &dyn Reader,
        wanted: impl Fn(&Footprint) -> bool,
    ) -> Result<Option<PlanNumber>, Corrupt> {
        let numbered = self.numbered();
        let mut latest = None;
        for (number, footprint) in numbered.plans.iter().filter(|(_, footprint)| wanted(footprint)) {
            if footprint.put_into(view, reader)? {
                latest = Some(*number);
            }
        }
        Ok(latest)
    }

    fn tell(&self, numbered: &Numbered) {
        let oldest = numbered.plans.keys().next().copied().unwrap_or(numbered.next);
        self.progress.send_replace((numbered.placements, oldest));
    }

    fn numbered(&self) -> MutexGuard<'_, Numbered> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Footprint {
    /// Answers whether the state did not have it yet.
    fn put_into(&self, view: &mut ClusterView, reader: &dyn Reader) -> Result<bool, Corrupt> {
        // A plan takes effect in one entry, so its first placement speaks for all. Where that one was
        // refused the others count twice until its worker hears of it: too careful, and not for long.
        if let Some(first) = self.places.first()
            && read::alloc(reader, &first.id)?.is_some()
        {
            return Ok(false);
        }
        for id in &self.stops {
            if let Some(old) = read::alloc(reader, id)? {
                let mut new = footprint(&old);
                new.set_desired_status(DesiredStatus::Stop);
                view.alloc_changed(Some(&old), Some(&new));
            }
        }
        self.places.iter().for_each(|alloc| view.alloc_changed(None, Some(alloc)));
        Ok(true)
    }
}

/// The allocation without all that takes nothing from a node.
fn footprint(alloc: &Allocation) -> Allocation {
    Allocation {
        id: alloc.id.clone(),
        node_id: alloc.node_id.clone(),
        desired_status: alloc.desired_status,
        client_status: alloc.client_status,
        resources: alloc.resources.clone(),
        ..Allocation::default()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use ordu_core::state::{MemoryTables, Table, Write};
    use ordu_proto::state::{AllocatedResources, AllocatedTaskResources, Node, NodeResources, NodeStatus};
    use prost::Message;

    use super::*;

    fn view() -> ClusterView {
        let resources = NodeResources { cpu_mhz: 1000, memory_mb: 1000, disk_mb: 1000, ..Default::default() };
        let mut node = Node { id: vec![9; 16], resources: Some(resources), ..Node::default() };
        node.set_status(NodeStatus::Ready);
        let mut view = ClusterView::new();
        view.node_upserted(&node);
        view
    }

    fn plan(numbers: &[u8]) -> Plan {
        let task = AllocatedTaskResources { cpu_mhz: 100, ..Default::default() };
        let resources =
            AllocatedResources { tasks: [("t".to_owned(), task)].into(), ..AllocatedResources::default() };
        let alloc = |number: &u8| Allocation {
            id: vec![*number; 16],
            node_id: vec![9; 16],
            desired_status: DesiredStatus::Run.into(),
            resources: Some(resources.clone()),
            ..Allocation::default()
        };
        Plan { place: numbers.iter().map(alloc).collect(), ..Plan::default() }
    }

    fn used(in_flight: &InFlight, tables: &MemoryTables) -> i64 {
        let mut view = view();
        in_flight.overlay(&mut view, tables).unwrap();
        view.used(&[9; 16]).unwrap().0.cpu_mhz
    }

    #[test]
    fn a_plan_under_way_takes_room_until_it_is_settled_and_once_at_most() {
        let in_flight = InFlight::default();
        let mut tables = MemoryTables::default();
        let (first, second) = (in_flight.begin(&plan(&[1, 2])), in_flight.begin(&plan(&[3])));
        assert_eq!(used(&in_flight, &tables), 300);
        in_flight.proposed(first, &plan(&[1]));
        assert_eq!(used(&in_flight, &tables), 200, "the check refused one");
        let row = plan(&[1]).place[0].encode_to_vec();
        tables.commit([Write { table: Table::Allocs, key: vec![1; 16], value: Some(row) }]);
        assert_eq!(used(&in_flight, &tables), 100, "the first is in the state");
        in_flight.settle(first);
        in_flight.settle(second);
        assert_eq!(used(&in_flight, &tables), 0);
    }

    #[test]
    fn who_waits_for_a_plan_waits_for_all_before_it() {
        let in_flight = InFlight::default();
        let (first, second) = (in_flight.begin(&plan(&[1])), in_flight.begin(&plan(&[2])));
        in_flight.settle(second);
        assert!(in_flight.settled(second).now_or_never().is_none());
        in_flight.settle(first);
        assert!(in_flight.settled(second).now_or_never().is_some());
    }

    #[test]
    fn workers_wait_while_too_much_is_under_way() {
        let in_flight = InFlight::default();
        assert!(in_flight.room().now_or_never().is_some());
        let many = Plan { place: vec![Allocation::default(); PLACEMENTS_IN_FLIGHT_MAX], ..Plan::default() };
        let number = in_flight.begin(&many);
        assert!(in_flight.room().now_or_never().is_none());
        in_flight.settle(number);
        assert!(in_flight.room().now_or_never().is_some());
    }
}
