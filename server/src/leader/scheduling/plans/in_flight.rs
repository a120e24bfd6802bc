//! Plans that were submitted and are not applied yet. Workers and the plan applier treat their resources as
//! taken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordu_core::scheduler::{ClusterView, Usage};
use ordu_core::state::{Corrupt, Reader, read, readable};
use ordu_proto::command::Plan;
use ordu_proto::state::Allocation;
use tokio::sync::watch;

/// Maximum number of placements in flight; workers wait above it. Deciding further ahead of the log would
/// gain nothing, and every decision examines all of them.
const PLACEMENTS_IN_FLIGHT_MAX: usize = 8192;

/// Numbers plans in the order of submission.
pub(in super::super) type PlanNumber = u64;

/// The plans in flight.
pub(in super::super) struct InFlight {
    plans: Mutex<Numbered>,
    /// The number of placements in flight, and the number of the oldest plan.
    progress: watch::Sender<(usize, PlanNumber)>,
}

#[derive(Default)]
struct Numbered {
    next: PlanNumber,
    plans: BTreeMap<PlanNumber, UnderWay>,
    placements: usize,
}

#[derive(Clone)]
struct UnderWay {
    /// Until a plan is proposed, no state can contain it.
    is_proposed: bool,
    footprint: Arc<Footprint>,
}

/// The resources that a plan takes and frees.
struct Footprint {
    /// The id of its first placement.
    first: Option<Vec<u8>>,
    /// Resources taken, by node.
    takes: Vec<(Vec<u8>, Usage)>,
    stops: Vec<Vec<u8>>,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { plans: Mutex::default(), progress: watch::Sender::new((0, 0)) }
    }
}

impl InFlight {
    /// Adds a submitted plan.
    pub(super) fn begin(&self, plan: &Plan) -> PlanNumber {
        let footprint = Arc::new(Footprint::of(plan));
        let mut numbered = self.numbered();
        let number = numbered.next;
        numbered.next += 1;
        numbered.placements += footprint.takes.len();
        numbered.plans.insert(number, UnderWay { is_proposed: false, footprint });
        self.tell(&numbered);
        number
    }

    /// Records that the accepted part of a plan was proposed.
    pub(super) fn proposed(&self, number: PlanNumber, plan: &Plan) {
        let mut numbered = self.numbered();
        let Some(under_way) = numbered.plans.get_mut(&number) else { return };
        under_way.is_proposed = true;
        let before = under_way.footprint.takes.len();
        if before == plan.place.len() {
            return;
        }
        under_way.footprint = Arc::new(Footprint::of(plan));
        numbered.placements -= before - plan.place.len();
        self.tell(&numbered);
    }

    /// Removes a plan that was applied or will not be.
    pub(super) fn settle(&self, number: PlanNumber) {
        let mut numbered = self.numbered();
        if let Some(UnderWay { footprint, .. }) = numbered.plans.remove(&number) {
            numbered.placements -= footprint.takes.len();
        }
        self.tell(&numbered);
    }

    /// Waits until there is room for another plan.
    pub(in super::super) async fn room(&self) {
        // The sender lives as long as this does.
        let _ = self
            .progress
            .subscribe()
            .wait_for(|(placements, _)| *placements < PLACEMENTS_IN_FLIGHT_MAX)
            .await;
    }

    /// Waits until all plans up to `number` are settled.
    pub(in super::super) async fn settled(&self, number: PlanNumber) {
        let _ = self.progress.subscribe().wait_for(|(_, oldest)| *oldest > number).await;
    }

    /// Adds to `view` all plans in flight that `reader`, which is of the same state, does not contain yet.
    /// Returns the latest of them.
    pub(in super::super) fn overlay(
        &self,
        view: &mut ClusterView,
        reader: &dyn Reader,
    ) -> Result<Option<PlanNumber>, Corrupt> {
        self.overlay_if(view, reader, |_| true)
    }

    /// As [`Self::overlay`], for proposed plans only.
    pub(super) fn overlay_proposed(
        &self,
        view: &mut ClusterView,
        reader: &dyn Reader,
    ) -> Result<(), Corrupt> {
        self.overlay_if(view, reader, |under_way| under_way.is_proposed).map(drop)
    }

    fn overlay_if(
        &self,
        view: &mut ClusterView,
        reader: &dyn Reader,
        wanted: impl Fn(&UnderWay) -> bool,
    ) -> Result<Option<PlanNumber>, Corrupt> {
        // Release the lock before reading the tables, so that plans can be submitted and settled meanwhile.
        let plans: Vec<(PlanNumber, UnderWay)> = {
            let numbered = self.numbered();
            let wanted = numbered.plans.iter().filter(|(_, under_way)| wanted(under_way));
            wanted.map(|(number, under_way)| (*number, under_way.clone())).collect()
        };
        let mut latest = None;
        for (number, under_way) in plans {
            if under_way.put_into(view, reader)? {
                latest = Some(number);
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

impl UnderWay {
    /// Adds the plan to `view`. Returns whether the state did not contain it yet.
    fn put_into(&self, view: &mut ClusterView, reader: &dyn Reader) -> Result<bool, Corrupt> {
        // A plan takes effect in one entry, so checking its first placement is enough. If that placement was
        // refused, the others count twice until the worker hears of it; this errs on the safe side and is
        // brief.
        if self.is_proposed
            && let Some(first) = &self.footprint.first
            // A row that cannot be decoded exists nevertheless.
            && readable(read::alloc(reader, first))?.is_none_or(|row| row.is_some())
        {
            return Ok(false);
        }
        for id in &self.footprint.stops {
            if let Some(old) = readable(read::alloc(reader, id))?.flatten() {
                view.alloc_changed(Some(&old), None);
            }
        }
        self.footprint.takes.iter().for_each(|(node_id, usage)| view.alloc_added(node_id, usage));
        Ok(true)
    }
}

impl Footprint {
    fn of(plan: &Plan) -> Footprint {
        let take = |alloc: &Allocation| (alloc.node_id.clone(), Usage::of(alloc.resources.as_ref()));
        Footprint {
            first: plan.place.first().map(|alloc| alloc.id.clone()),
            takes: plan.place.iter().map(take).collect(),
            stops: plan.stop.iter().map(|stop| stop.alloc_id.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use ordu_core::state::{MemoryTables, Table, Write};
    use ordu_proto::command::PlanStop;
    use ordu_proto::state::{
        AllocatedResources, AllocatedTaskResources, DesiredStatus, Node, NodeResources, NodeStatus,
    };
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
    fn a_plan_under_way_gives_back_what_it_stops_and_reads_nothing_else_before_it_is_proposed() {
        struct Unread<'a>(&'a MemoryTables);

        impl Reader for Unread<'_> {
            fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
                assert_eq!((table, key), (Table::Allocs, &[7; 16][..]), "only what stops is looked up");
                self.0.get(table, key)
            }

            fn scan(
                &self,
                table: Table,
                _: &[u8],
                _: Option<&[u8]>,
                _: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
            ) -> Result<(), Corrupt> {
                panic!("{table:?} is scanned")
            }
        }

        let in_flight = InFlight::default();
        let mut tables = MemoryTables::default();
        let running = plan(&[7]).place.remove(0);
        tables.commit([Write {
            table: Table::Allocs,
            key: vec![7; 16],
            value: Some(running.encode_to_vec()),
        }]);
        let stop = PlanStop { alloc_id: vec![7; 16], ..PlanStop::default() };
        in_flight.begin(&Plan { stop: vec![stop], ..plan(&[1, 2]) });
        let mut view = view();
        view.alloc_changed(None, Some(&running));
        assert_eq!(Some(0), in_flight.overlay(&mut view, &Unread(&tables)).unwrap());
        let (used, live) = view.used(&[9; 16]).unwrap();
        assert_eq!((200, 2), (used.cpu_mhz, live));
    }

    #[test]
    fn rows_that_cannot_be_decoded_hold_up_no_other_plan() {
        let garbage =
            |number: u8| Write { table: Table::Allocs, key: vec![number; 16], value: Some(vec![0xff]) };
        let mut tables = MemoryTables::default();
        let in_flight = InFlight::default();
        let stop = PlanStop { alloc_id: vec![7; 16], ..PlanStop::default() };
        in_flight.begin(&Plan { stop: vec![stop], ..plan(&[1]) });
        let applied = in_flight.begin(&plan(&[2, 3]));
        in_flight.proposed(applied, &plan(&[2, 3]));
        tables.commit([garbage(7)]);
        assert_eq!(used(&in_flight, &tables), 300, "it gives nothing back");
        tables.commit([garbage(2)]);
        assert_eq!(used(&in_flight, &tables), 100, "it is in the state");
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
