//! Counts a plan's changes per group: the annotations of a dry run.

use std::collections::BTreeMap;

use ordu_proto::api::job::DesiredUpdates;

use super::job::ScheduledJob;
use super::reconcile::Reconciled;
use super::view::is_server_terminal;

/// Returns the counts for the job's groups and for all other groups with allocations. `job` is
/// `None` if the job is purged.
pub(crate) fn desired_updates(
    job: Option<&ScheduledJob>,
    reconciled: &Reconciled<'_>,
) -> BTreeMap<String, DesiredUpdates> {
    let mut desired: BTreeMap<String, DesiredUpdates> = BTreeMap::new();
    for (position, group) in job.iter().flat_map(|job| &job.groups).enumerate() {
        let counts = desired.entry(group.name.clone()).or_default();
        // For a stopped job only stops are reconciled.
        if let Some(work) = reconciled.groups.get(position) {
            counts.ignore = (work.ignored + work.waiting.len()) as u64;
            counts.place = work.place.len() as u64;
            counts.in_place_update = work.in_place.len() as u64;
            counts.destructive_update = work.destructive.len() as u64;
        }
    }
    for stop in &reconciled.stops {
        // A stopped allocation on a lost node is only marked as lost, so it does not count as a stop.
        let stops = u64::from(!is_server_terminal(stop.alloc));
        if let Some(counts) = desired.get_mut(&stop.alloc.task_group) {
            counts.stop += stops;
        } else if stops > 0 {
            desired
                .insert(stop.alloc.task_group.clone(), DesiredUpdates { stop: stops, ..Default::default() });
        }
    }
    desired
}
