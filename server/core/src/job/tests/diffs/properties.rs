//! Properties of all diffs.

use std::collections::BTreeMap;

use expect_test::expect;
use ordu_proto::api::job::{DesiredUpdates, DiffType, FieldDiff, JobDiff, JobSpec, ObjectDiff};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::full_job::full_job;
use crate::job::tests::properties::{driver_value, spec, word};
use crate::job::tests::register;
use crate::job::{DiffSide, annotate, job_diff};

fn side(spec: &JobSpec) -> DiffSide<'_> {
    DiffSide { spec, stop: false, dispatched: false, parent_id: "" }
}

fn diff(old: &JobSpec, new: &JobSpec, contextual: bool) -> JobDiff {
    job_diff(Some(side(old)), Some(side(new)), contextual).unwrap()
}

/// Converts the specification to a document.
fn document(spec: &JobSpec) -> Value {
    serde_json::to_value(spec).unwrap()
}

fn parsed(document: Value) -> JobSpec {
    serde_json::from_value(document).unwrap()
}

/// Returns a different value of the same type.
fn other(value: &Value) -> Value {
    match value {
        Value::Bool(value) => json!(!value),
        Value::String(text) => json!(format!("{text}+")),
        Value::Number(number) if number.as_u64() == Some(1) => json!(2),
        Value::Number(_) => json!(1),
        value => value.clone(),
    }
}

/// Removes members and items, repeats and reverses lists, and changes values, controlled by `choices`.
fn mutated(value: Value, choices: &mut impl Iterator<Item = u8>) -> Value {
    let choice = choices.next().unwrap_or(u8::MAX);
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter_map(|(name, value)| {
                let gone = name != "ID" && choices.next().is_some_and(|choice| choice < 8);
                (!gone).then(|| (name, mutated(value, choices)))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(|item| mutated(item, choices)).collect();
            match choice {
                0..10 => drop(items.pop()),
                10..20 => items.extend(items.first().cloned()),
                20..30 => items.reverse(),
                30..35 => items.clear(),
                _ => {}
            }
            Value::Array(items)
        }
        value if choice < 24 => other(&value),
        value => value,
    }
}

fn mutant(document: Value, choices: &[u8]) -> JobSpec {
    let id = document["ID"].clone();
    // Repeat the choices with a growing shift, so that a few bytes yield many different choices.
    let mut choices = choices.iter().enumerate().cycle().scan(0_u8, |shift, (index, choice)| {
        *shift = shift.wrapping_add(u8::from(index == 0) * 37);
        Some(choice.wrapping_add(*shift))
    });
    let mut mutant = mutated(document, &mut choices);
    mutant["ID"] = id;
    parsed(mutant)
}

/// Returns the full job with custom JSON in its free-form members.
fn with_own_json(own: &Value) -> Value {
    let mut job = document(&register(&full_job()).job);
    for pointer in [
        "/Multiregion",
        "/TaskGroups/0/Scaling/Policy",
        "/TaskGroups/0/Volumes/data/MountOptions",
        "/TaskGroups/0/Services/0/Connect",
        "/TaskGroups/0/Services/0/Connect/SidecarService/Proxy",
    ] {
        if let Some(member) = job.pointer_mut(pointer) {
            *member = own.clone();
        }
    }
    job
}

/// Generates two versions of a job.
fn versions() -> impl Strategy<Value = (JobSpec, JobSpec)> {
    let choices = || vec(any::<u8>(), 1..97);
    let full = (choices(), choices()).prop_map(|(one, other)| {
        let full = document(&register(&full_job()).job);
        (mutant(full.clone(), &one), mutant(full, &other))
    });
    let own = (driver_value(), driver_value())
        .prop_map(|(one, other)| (parsed(with_own_json(&one)), parsed(with_own_json(&other))));
    let step = (spec(), choices()).prop_map(|(spec, choices)| {
        let next = mutant(document(&spec), &choices);
        (spec, next)
    });
    let strangers = (spec(), spec()).prop_map(|(one, other)| {
        let other = JobSpec { id: one.id.clone(), ..other };
        (one, other)
    });
    prop_oneof![3 => full, 2 => own, 2 => step, 1 => strangers]
}

/// Number of occurrences of each value in a diff, old and new, by its position.
#[derive(Debug, Default, PartialEq)]
struct Values(BTreeMap<(String, String, String), (usize, usize)>);

impl Values {
    fn of(diff: &JobDiff) -> Values {
        let mut values = Values::default();
        values.add("", &diff.fields, &diff.objects);
        for group in &diff.task_groups {
            let place = format!("/{}", group.name);
            values.add(&place, &group.fields, &group.objects);
            for task in &group.tasks {
                values.add(&format!("{place}/{}", task.name), &task.fields, &task.objects);
            }
        }
        values
    }

    fn add(&mut self, place: &str, fields: &[FieldDiff], objects: &[ObjectDiff]) {
        for field in fields {
            let key = |value: &String| (place.to_owned(), field.name.clone(), value.clone());
            if !field.old.is_empty() {
                self.0.entry(key(&field.old)).or_default().0 += 1;
            }
            if !field.new.is_empty() {
                self.0.entry(key(&field.new)).or_default().1 += 1;
            }
        }
        for object in objects {
            self.add(&format!("{place}//{}", object.name), &object.fields, &object.objects);
        }
    }
}

/// Returns the diff in the opposite direction.
fn turned(mut diff: JobDiff) -> JobDiff {
    fn turn_type(diff_type: &mut DiffType) {
        *diff_type = match *diff_type {
            DiffType::Added => DiffType::Deleted,
            DiffType::Deleted => DiffType::Added,
            same => same,
        };
    }
    fn turn(fields: &mut [FieldDiff], objects: &mut [ObjectDiff]) {
        for field in fields {
            turn_type(&mut field.diff_type);
            std::mem::swap(&mut field.old, &mut field.new);
        }
        for object in objects {
            turn_type(&mut object.diff_type);
            turn(&mut object.fields, &mut object.objects);
        }
    }
    turn_type(&mut diff.diff_type);
    turn(&mut diff.fields, &mut diff.objects);
    for group in &mut diff.task_groups {
        turn_type(&mut group.diff_type);
        turn(&mut group.fields, &mut group.objects);
        for task in &mut group.tasks {
            turn_type(&mut task.diff_type);
            turn(&mut task.fields, &mut task.objects);
        }
    }
    diff
}

/// Returns the diff as a document with all lists sorted.
fn without_order(diff: &JobDiff) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(Value::to_string);
            }
            Value::Object(members) => members.values_mut().for_each(sort),
            _ => {}
        }
    }
    let mut document = serde_json::to_value(diff).unwrap();
    sort(&mut document);
    document
}

/// Whether the diff contains any change.
fn tells_a_change(diff: &JobDiff) -> bool {
    Values::of(diff).0.values().any(|(old, new)| old != new)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_job_does_not_differ_from_itself((spec, _) in versions(), contextual in any::<bool>()) {
        let diff = diff(&spec, &spec, contextual);
        prop_assert_eq!(diff.diff_type, DiffType::None);
        prop_assert!(diff.fields.is_empty() && diff.objects.is_empty());
        for group in diff.task_groups {
            prop_assert_eq!(group.diff_type, DiffType::None);
            prop_assert!(group.fields.is_empty() && group.objects.is_empty());
            prop_assert!(group.tasks.iter().all(|task| task.diff_type == DiffType::None));
        }
    }

    #[test]
    fn what_is_added_one_way_is_deleted_the_other((old, new) in versions(), contextual in any::<bool>()) {
        let there = diff(&old, &new, contextual);
        let back = diff(&new, &old, contextual);
        prop_assert_eq!(without_order(&turned(there)), without_order(&back));
        let comes = job_diff(None, Some(side(&new)), contextual).unwrap();
        let goes = job_diff(Some(side(&new)), None, contextual).unwrap();
        prop_assert_eq!(comes.diff_type, DiffType::Added);
        prop_assert_eq!(without_order(&turned(comes)), without_order(&goes));
    }

    #[test]
    fn the_old_values_with_the_changes_are_the_new((old, new) in versions(), contextual in any::<bool>()) {
        let all = |spec| Values::of(&job_diff(None, Some(side(spec)), false).unwrap());
        let mut values = all(&old).0;
        for (place, (was, is)) in Values::of(&diff(&old, &new, contextual)).0 {
            let count = &mut values.entry(place).or_default().1;
            prop_assert!(was <= *count, "a value goes that was not there");
            *count = *count - was + is;
        }
        values.retain(|_, (_, count)| *count > 0);
        prop_assert_eq!(values, all(&new).0);
    }

    #[test]
    fn a_diff_is_read_back_as_it_was((old, new) in versions(), group in word(), count in any::<u64>()) {
        let mut diff = diff(&old, &new, true);
        let desired = DesiredUpdates { place: count, ..DesiredUpdates::default() };
        annotate(&mut diff, &BTreeMap::from([(group, desired), ("group".to_owned(), desired)]));
        let json = serde_json::to_vec(&diff).unwrap();
        prop_assert_eq!(serde_json::from_slice::<JobDiff>(&json).unwrap(), diff);
    }

    #[test]
    fn whatever_is_told_is_a_change((old, new) in versions()) {
        let diff = diff(&old, &new, true);
        let changed = diff.task_groups.iter().any(|group| group.diff_type != DiffType::None);
        // A block without any values can be added or deleted as well.
        let blocks = diff.objects.iter().any(|object| object.diff_type != DiffType::None);
        prop_assert_eq!(diff.diff_type != DiffType::None, changed || blocks || tells_a_change(&diff));
        if old == new {
            prop_assert_eq!(diff.diff_type, DiffType::None);
        }
    }
}

/// Collects the JSON pointers of all values inside.
fn leaves(pointer: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(&format!("{pointer}/{name}"), value, out));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| leaves(&format!("{pointer}/{at}"), item, out));
        }
        _ => out.push(pointer.to_owned()),
    }
}

#[test]
fn a_change_of_any_member_is_told_but_for_these() {
    let old = document(&register(&full_job()).job);
    let mut pointers = Vec::new();
    leaves("", &old, &mut pointers);
    let full = parsed(old.clone());
    let mut untold = Vec::new();
    for pointer in pointers.iter().filter(|pointer| *pointer != "/ID") {
        let mut new = old.clone();
        let value = new.pointer_mut(pointer).unwrap();
        // Members that the full job omits would go untested, except for those that the canonical form omits.
        let left_out = pointer.ends_with("Token") || pointer.starts_with("/Update");
        assert!(left_out || ![Value::Null, json!("")].contains(value), "{pointer}");
        *value = other(value);
        let diff = diff(&full, &parsed(new), true);
        let group_type = diff.task_groups[0].diff_type;
        assert_eq!(pointer.starts_with("/TaskGroups"), group_type != DiffType::None, "{pointer}");
        if !tells_a_change(&diff) {
            untold.push(pointer.as_str());
        }
    }
    expect![[r#"
        /ConsulToken
        /TaskGroups/0/Migrate/HealthCheck
        /TaskGroups/0/Migrate/HealthyDeadline
        /TaskGroups/0/Migrate/MaxParallel
        /TaskGroups/0/Migrate/MinHealthyTime
        /TaskGroups/0/Networks/0/CIDR
        /TaskGroups/0/Networks/0/Device
        /TaskGroups/0/Networks/0/DynamicPorts/0/Value
        /TaskGroups/0/Networks/0/IP
        /TaskGroups/0/Scaling/CreateIndex
        /TaskGroups/0/Scaling/ID
        /TaskGroups/0/Scaling/ModifyIndex
        /TaskGroups/0/Scaling/Target/Group
        /TaskGroups/0/Scaling/Target/Job
        /TaskGroups/0/Scaling/Target/Namespace
        /TaskGroups/0/Scaling/Type
        /TaskGroups/0/Tasks/0/Resources/Networks/0/CIDR
        /TaskGroups/0/Tasks/0/Resources/Networks/0/Device
        /TaskGroups/0/Tasks/0/Resources/Networks/0/DynamicPorts/0/Value
        /TaskGroups/0/Tasks/0/Resources/Networks/0/IP
        /TaskGroups/0/Tasks/0/RestartPolicy/Attempts
        /TaskGroups/0/Tasks/0/RestartPolicy/Delay
        /TaskGroups/0/Tasks/0/RestartPolicy/Interval
        /TaskGroups/0/Tasks/0/RestartPolicy/Mode
        /TaskGroups/0/Tasks/0/ScalingPolicies/0/CreateIndex
        /TaskGroups/0/Tasks/0/ScalingPolicies/0/ID
        /TaskGroups/0/Tasks/0/ScalingPolicies/0/ModifyIndex
        /TaskGroups/0/Tasks/0/ScalingPolicies/0/Target/Job
        /TaskGroups/0/Update/Stagger
        /Update/AutoPromote
        /Update/AutoRevert
        /Update/Canary
        /Update/HealthCheck
        /Update/HealthyDeadline
        /Update/MaxParallel
        /Update/MinHealthyTime
        /Update/ProgressDeadline
        /Update/Stagger
        /VaultToken"#]]
    .assert_eq(&untold.join("\n"));
}
