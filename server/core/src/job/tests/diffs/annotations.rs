//! Annotations of diffs with the scheduler's plans.

use std::collections::BTreeMap;

use ordu_proto::api::job::DesiredUpdates;
use serde_json::json;

use super::{GROUP, TASK, diff, planned_job};
use crate::job::annotate;
use crate::job::tests::edited;

#[test]
fn groups_tell_what_becomes_of_their_allocations() {
    let all = DesiredUpdates {
        ignore: 1,
        place: 2,
        migrate: 3,
        stop: 4,
        in_place_update: 5,
        destructive_update: 6,
        canary: 7,
        preemptions: 8,
    };
    let mut diff = diff(&planned_job(), &planned_job());
    let wanted = json!({
        "ignore": 1, "create": 2, "migrate": 3, "destroy": 4, "in-place update": 5, "create/destroy update": 6,
        "canary": 7,
    });
    for (group, desired, wanted) in
        [("web", all, wanted), ("web", DesiredUpdates::default(), json!({})), ("other", all, json!(null))]
    {
        annotate(&mut diff, &BTreeMap::from([(group.to_owned(), desired)]));
        assert_eq!(serde_json::to_value(&diff.task_groups[0].updates).unwrap(), wanted, "{group}");
    }
}

#[test]
fn counts_and_tasks_tell_what_they_force() {
    let task = |member: &str| format!("{TASK}/{member}");
    let service = json!([{"Name": "s1", "Tags": ["y"]}]);
    let constraint = json!([{"LTarget": "a", "Operand": "is_set"}]);
    let (create, destroy) = ("forces create", "forces destroy");
    let (in_place, destructive) = ("forces in-place update", "forces create/destroy update");
    let cases = [
        (format!("{GROUP}/Count"), json!(3), create, ""),
        (format!("{GROUP}/Count"), json!(0), destroy, ""),
        (format!("{GROUP}/Meta"), json!({"a": "b"}), "", ""),
        (format!("{GROUP}/RestartPolicy"), json!({"Attempts": 9}), "", in_place),
        (task("KillTimeout"), json!(1), "", in_place),
        (task("LogConfig"), json!({"MaxFiles": 1}), "", in_place),
        (task("Services"), service, "", in_place),
        (task("Constraints"), constraint, "", in_place),
        (task("Env"), json!({"K": "w"}), "", destructive),
        (task("Resources/CPU"), json!(21), "", destructive),
        (task("ShutdownDelay"), json!(1), "", destructive),
        (task("Templates"), json!([{"EmbeddedTmpl": "x"}]), "", destructive),
    ];
    for (pointer, value, count, task) in cases {
        let mut diff = diff(&planned_job(), &edited(planned_job(), &[(&pointer, value)]));
        annotate(&mut diff, &BTreeMap::new());
        let group = &diff.task_groups[0];
        let counts: Vec<&String> = group.fields.iter().flat_map(|field| &field.annotations).collect();
        assert_eq!(counts, if count.is_empty() { vec![] } else { vec![count] }, "{pointer}");
        let tasks = &group.tasks[0].annotations;
        assert_eq!(*tasks, if task.is_empty() { vec![] } else { vec![task] }, "{pointer}");
    }
}

#[test]
fn whole_groups_force_their_tasks() {
    let mut diff = diff(&planned_job(), &edited(planned_job(), &[(&format!("{GROUP}/Name"), json!("web2"))]));
    annotate(&mut diff, &BTreeMap::new());
    let forced: Vec<(&str, &[String], &[String])> = diff
        .task_groups
        .iter()
        .map(|group| (&*group.name, &*group.fields[0].annotations, &*group.tasks[0].annotations))
        .collect();
    let (create, destroy) = (["forces create".to_owned()], ["forces destroy".to_owned()]);
    assert_eq!(forced, [("web", &destroy[..], &destroy[..]), ("web2", &create[..], &create[..])]);
}
