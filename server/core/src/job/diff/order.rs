//! Order of fields and objects in a diff.

use std::cmp::Ordering;

use ordu_proto::api::job::{DiffType, FieldDiff, ObjectDiff};

/// Orders fields by name, old value and new value.
pub(super) fn fields(one: &FieldDiff, other: &FieldDiff) -> Ordering {
    (&one.name, &one.old, &one.new).cmp(&(&other.name, &other.old, &other.new))
}

/// Orders objects by name, type of change, size and content.
pub(super) fn objects(one: &ObjectDiff, other: &ObjectDiff) -> Ordering {
    one.name
        .cmp(&other.name)
        .then_with(|| rank(one.diff_type).cmp(&rank(other.diff_type)))
        .then_with(|| one.fields.len().cmp(&other.fields.len()))
        .then_with(|| one.objects.len().cmp(&other.objects.len()))
        .then_with(|| first_difference(&one.fields, &other.fields, fields))
        .then_with(|| first_difference(&one.objects, &other.objects, objects))
}

fn rank(diff_type: DiffType) -> u8 {
    match diff_type {
        DiffType::Edited => 0,
        DiffType::Added => 1,
        DiffType::Deleted => 2,
        DiffType::None => 3,
    }
}

fn first_difference<T>(ones: &[T], others: &[T], order: fn(&T, &T) -> Ordering) -> Ordering {
    let pairs = ones.iter().zip(others);
    pairs.map(|(one, other)| order(one, other)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
