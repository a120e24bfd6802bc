//! Annotates a diff with its effect on allocations, as planned by the scheduler.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ordu_proto::api::job::{DesiredUpdates, DiffType, FieldDiff, JobDiff, TaskDiff};

const FORCES_CREATE: &str = "forces create";
const FORCES_DESTROY: &str = "forces destroy";
const FORCES_IN_PLACE_UPDATE: &str = "forces in-place update";
const FORCES_DESTRUCTIVE_UPDATE: &str = "forces create/destroy update";

/// Fields of a task that can change without restarting the task.
const FIELDS_IN_PLACE: [&str; 1] = ["KillTimeout"];
/// Objects of a task that can change without restarting the task.
const OBJECTS_IN_PLACE: [&str; 3] = ["LogConfig", "Service", "Constraint"];

/// Annotates groups, counts and tasks with the planned changes of allocations. `desired` is keyed by group; a group
/// without an entry gets no updates.
pub fn annotate(diff: &mut JobDiff, desired: &BTreeMap<String, DesiredUpdates>) {
    for group in &mut diff.task_groups {
        group.updates = desired.get(&group.name).map(updates);
        group.fields.iter_mut().filter(|field| field.name == "Count").for_each(annotate_count);
        let group_type = group.diff_type;
        group.tasks.iter_mut().for_each(|task| annotate_task(task, group_type));
    }
}

fn updates(desired: &DesiredUpdates) -> BTreeMap<String, u64> {
    let updates = [
        ("ignore", desired.ignore),
        ("create", desired.place),
        ("destroy", desired.stop),
        ("migrate", desired.migrate),
        ("canary", desired.canary),
        ("in-place update", desired.in_place_update),
        ("create/destroy update", desired.destructive_update),
    ];
    updates
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| (kind.to_owned(), count))
        .collect()
}

fn annotate_count(count: &mut FieldDiff) {
    // An absent count is 0; text that is not a number cannot occur in a valid job.
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    let annotation = match number(&count.new).cmp(&number(&count.old)) {
        Ordering::Greater => Some(FORCES_CREATE),
        Ordering::Less => Some(FORCES_DESTROY),
        Ordering::Equal => None,
    };
    count.annotations = annotation.into_iter().map(str::to_owned).collect();
}

fn annotate_task(task: &mut TaskDiff, group_type: DiffType) {
    let annotation = match (task.diff_type, group_type) {
        (DiffType::None, _) => None,
        // The whole group is added or deleted.
        (DiffType::Added, DiffType::Added) => Some(FORCES_CREATE),
        (DiffType::Deleted, DiffType::Deleted) => Some(FORCES_DESTROY),
        _ if is_destructive(task) => Some(FORCES_DESTRUCTIVE_UPDATE),
        _ => Some(FORCES_IN_PLACE_UPDATE),
    };
    task.annotations = annotation.into_iter().map(str::to_owned).collect();
}

fn is_destructive(task: &TaskDiff) -> bool {
    task.fields.iter().any(|field| !FIELDS_IN_PLACE.contains(&field.name.as_str()))
        || task.objects.iter().any(|object| !OBJECTS_IN_PLACE.contains(&object.name.as_str()))
}
