//! Compares two documents by the schema of their kind.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::api::job::{DiffType, FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};
use serde_json::Value;

use super::fields::{self, Budget, Fields, TooLarge};
use super::order;
use super::pairs::pairs;
use super::schema::{GROUP, Identity, JOB, Schema, Shape, TASK, TypeBy};

/// A value on one side, if present.
type Side<'v> = Option<&'v Value>;

/// Compares documents.
pub(super) struct Differ {
    contextual: bool,
    budget: Budget,
}

impl Differ {
    /// Creates a differ that uses at most `bytes_max` for a diff.
    pub(super) fn new(contextual: bool, bytes_max: usize) -> Differ {
        Differ { contextual, budget: Budget(bytes_max) }
    }

    pub(super) fn job(&mut self, id: &str, old: Side<'_>, new: Side<'_>) -> Result<JobDiff, TooLarge> {
        let fields = self.fields(&JOB, old, new, false)?;
        let objects = self.changed_children(&JOB, old, new)?;
        let groups = pairs(member(old, "TaskGroups"), member(new, "TaskGroups"), BY_NAME, &mut self.budget)?;
        let groups = groups.into_iter().map(|(old, new)| self.group(old, new));
        let mut task_groups = groups.collect::<Result<Vec<_>, _>>()?;
        task_groups.sort_by(|one, other| one.name.cmp(&other.name));

        let changed_group = task_groups.iter().any(|group| group.diff_type != DiffType::None);
        let diff_type = by_presence(old, new, changed_group || changed(&fields, &objects));
        Ok(JobDiff { diff_type, id: id.to_owned(), fields, objects, task_groups })
    }

    fn group(&mut self, old: Side<'_>, new: Side<'_>) -> Result<TaskGroupDiff, TooLarge> {
        let tasks = pairs(member(old, "Tasks"), member(new, "Tasks"), BY_NAME, &mut self.budget)?;
        let tasks = tasks.into_iter().map(|(old, new)| self.task(old, new));
        let mut tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        tasks.sort_by(|one, other| one.name.cmp(&other.name));
        let (diff_type, fields, objects) = self.unit(&GROUP, old, new)?;
        Ok(TaskGroupDiff { diff_type, name: name(old, new), fields, objects, tasks, updates: None })
    }

    fn task(&mut self, old: Side<'_>, new: Side<'_>) -> Result<TaskDiff, TooLarge> {
        let (diff_type, fields, objects) = self.unit(&TASK, old, new)?;
        Ok(TaskDiff { diff_type, name: name(old, new), fields, objects, annotations: Vec::new() })
    }

    /// Compares two groups or tasks. They count as edited by any change, even of hidden members.
    fn unit(
        &mut self,
        schema: &Schema,
        old: Side<'_>,
        new: Side<'_>,
    ) -> Result<(DiffType, Vec<FieldDiff>, Vec<ObjectDiff>), TooLarge> {
        if old == new {
            return Ok((DiffType::None, Vec::new(), Vec::new()));
        }
        let fields = self.fields(schema, old, new, false)?;
        let objects = self.changed_children(schema, old, new)?;
        Ok((by_presence(old, new, true), fields, objects))
    }

    /// Compares the plain values of two documents of one kind.
    fn fields(
        &mut self,
        schema: &Schema,
        old: Side<'_>,
        new: Side<'_>,
        contextual: bool,
    ) -> Result<Vec<FieldDiff>, TooLarge> {
        let old = self.values(schema, old)?;
        let new = self.values(schema, new)?;
        Ok(fields::diff(&old, &new, contextual))
    }

    fn values(&mut self, schema: &Schema, document: Side<'_>) -> Result<Fields, TooLarge> {
        let mut values = Fields::new();
        for (name, value) in schema.members(document) {
            match value {
                Value::Array(items) if schema.joined.contains(&name) => {
                    let texts: Vec<String> = items.iter().map(fields::text).collect();
                    fields::flatten(name.to_owned(), &texts.join(",").into(), &mut values, &mut self.budget)?;
                }
                value if schema.shape(name, value).is_none() => {
                    fields::flatten(name.to_owned(), value, &mut values, &mut self.budget)?;
                }
                _ => {}
            }
        }
        Ok(values)
    }

    /// Compares the nested objects of two documents of one kind.
    fn children(
        &mut self,
        schema: &Schema,
        old: Side<'_>,
        new: Side<'_>,
    ) -> Result<Vec<ObjectDiff>, TooLarge> {
        let listed = schema.children.iter().map(|(name, _)| *name);
        let members = schema.members(old).chain(schema.members(new)).map(|(name, _)| name);
        let others: BTreeSet<&str> = members.filter(|name| schema.listed(name).is_none()).collect();
        let mut diffs = Vec::new();
        for name in listed.chain(others) {
            let (old, new) = (member(old, name), member(new, name));
            let was = old.and_then(|old| schema.shape(name, old));
            let is = new.and_then(|new| schema.shape(name, new));
            match (was, is) {
                (Some(was), Some(is)) if was.alike(is) => self.child(was, old, new, &mut diffs)?,
                // A value with a new shape, possible in free-form JSON, replaces the old one.
                (was, is) => {
                    if let Some(was) = was {
                        self.child(was, old, None, &mut diffs)?;
                    }
                    if let Some(is) = is {
                        self.child(is, None, new, &mut diffs)?;
                    }
                }
            }
        }
        Ok(diffs)
    }

    /// Compares the nested objects of two jobs, groups or tasks, which show only those that have changed.
    fn changed_children(
        &mut self,
        schema: &Schema,
        old: Side<'_>,
        new: Side<'_>,
    ) -> Result<Vec<ObjectDiff>, TooLarge> {
        let mut objects = self.children(schema, old, new)?;
        objects.retain(|object| object.diff_type != DiffType::None);
        Ok(objects)
    }

    fn child(
        &mut self,
        shape: Shape<'_>,
        old: Side<'_>,
        new: Side<'_>,
        diffs: &mut Vec<ObjectDiff>,
    ) -> Result<(), TooLarge> {
        match shape {
            Shape::Object(name, schema) => diffs.extend(self.object(name, schema, old, new)?),
            Shape::Texts(name) => diffs.extend(self.texts(name, old, new)?),
            Shape::Flat(name) => diffs.extend(self.flat(name, old, new)?),
            Shape::List(name, schema, identity) => {
                let mut items = Vec::new();
                let pairs = pairs(old, new, identity, &mut self.budget)?;
                for (old, new) in pairs.into_iter().filter(|(old, new)| old != new) {
                    items.extend(self.object(name, schema, old, new)?);
                }
                items.sort_by(order::objects);
                diffs.append(&mut items);
            }
        }
        Ok(())
    }

    fn object(
        &mut self,
        name: &str,
        schema: &Schema,
        old: Side<'_>,
        new: Side<'_>,
    ) -> Result<Option<ObjectDiff>, TooLarge> {
        let fields = self.fields(schema, old, new, self.contextual)?;
        let objects = self.children(schema, old, new)?;
        let diff_type = match schema.type_by {
            TypeBy::Presence => by_presence(old, new, changed(&fields, &objects)),
            TypeBy::Fields => by_fields(&fields),
        };
        Ok(object(diff_type, name, fields, objects))
    }

    fn flat(&mut self, name: &str, old: Side<'_>, new: Side<'_>) -> Result<Option<ObjectDiff>, TooLarge> {
        let mut values = [Fields::new(), Fields::new()];
        for (side, values) in [old, new].into_iter().zip(&mut values) {
            if let Some(value) = side {
                fields::flatten(String::new(), value, values, &mut self.budget)?;
            }
        }
        let fields = fields::diff(&values[0], &values[1], self.contextual);
        let diff_type = by_presence(old, new, changed(&fields, &[]));
        Ok(object(diff_type, name, fields, Vec::new()))
    }

    fn texts(&mut self, name: &str, old: Side<'_>, new: Side<'_>) -> Result<Option<ObjectDiff>, TooLarge> {
        // Occurrences of each text on the old and the new side.
        let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        for (index, side) in [old, new].into_iter().enumerate() {
            for item in side.and_then(Value::as_array).into_iter().flatten() {
                let text = fields::text(item);
                self.budget.take(name.len() + text.len() + Budget::FIELD_BYTES)?;
                counts.entry(text).or_default()[index] += 1;
            }
        }
        let mut fields = Vec::new();
        for (text, [was, is]) in counts {
            let both = was.min(is);
            fields.extend((0..both).filter_map(|_| fields::field(name, &text, &text, self.contextual)));
            fields.extend((both..was).filter_map(|_| fields::field(name, &text, "", self.contextual)));
            fields.extend((both..is).filter_map(|_| fields::field(name, "", &text, self.contextual)));
        }
        fields.sort_by(order::fields);
        // As in Nomad, a contextual diff shows an unchanged list of texts too.
        let shown = !fields.is_empty();
        Ok(shown.then(|| ObjectDiff {
            diff_type: by_fields(&fields),
            name: name.to_owned(),
            fields,
            objects: Vec::new(),
        }))
    }
}

const BY_NAME: Identity = Identity::Member("Name");

/// Returns the value of a member unless it is absent or null.
fn member<'v>(document: Side<'v>, name: &str) -> Side<'v> {
    document.and_then(|document| document.get(name)).filter(|value| !value.is_null())
}

fn name(old: Side<'_>, new: Side<'_>) -> String {
    let name = member(new, "Name").or_else(|| member(old, "Name"));
    name.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Whether any field or object differs.
fn changed(fields: &[FieldDiff], objects: &[ObjectDiff]) -> bool {
    objects.iter().any(|object| object.diff_type != DiffType::None)
        || fields.iter().any(|field| field.diff_type != DiffType::None)
}

fn by_presence(old: Side<'_>, new: Side<'_>, changed: bool) -> DiffType {
    match (old, new) {
        (None, None) => DiffType::None,
        (None, Some(_)) => DiffType::Added,
        (Some(_), None) => DiffType::Deleted,
        (Some(_), Some(_)) if changed => DiffType::Edited,
        (Some(_), Some(_)) => DiffType::None,
    }
}

fn by_fields(fields: &[FieldDiff]) -> DiffType {
    let some = |diff_type| fields.iter().any(|field| field.diff_type == diff_type);
    match (some(DiffType::Edited), some(DiffType::Added), some(DiffType::Deleted)) {
        (true, ..) | (_, true, true) => DiffType::Edited,
        (_, true, _) => DiffType::Added,
        (.., true) => DiffType::Deleted,
        _ => DiffType::None,
    }
}

/// Builds an object diff; `None` for an unchanged object.
fn object(
    diff_type: DiffType,
    name: &str,
    fields: Vec<FieldDiff>,
    objects: Vec<ObjectDiff>,
) -> Option<ObjectDiff> {
    (diff_type != DiffType::None).then(|| ObjectDiff { diff_type, name: name.to_owned(), fields, objects })
}
