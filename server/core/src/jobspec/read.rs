//! Walks a body along its schema and writes the API's object.

use super::schema::{Absent, Field, Kind, Schema};
use crate::hcl::{Attribute, Body, Entry, Error, Label, Position, Value, ValueKind};
use serde_json::{Map, Value as Json};

pub(super) type Object = Map<String, Json>;

/// The object of a body: every member that the schema has, those that are not written with their
/// absent value.
pub(super) fn object(schema: &Schema, body: &Body) -> Result<Object, Error> {
    let mut object = empty(schema);
    let mut written: Vec<(&str, Position)> = Vec::new();
    for entry in &body.entries {
        let (key, position) = (entry.key(), entry.position());
        let Some(field) = schema.fields.iter().find(|field| field.key == key) else {
            return Err(unknown(schema, key, position));
        };
        if !field.kind.may_repeat() {
            if let Some((_, first)) = written.iter().find(|(earlier, _)| *earlier == key) {
                let text = format!("`{key}` stands here again; it is on line {} already", first.line);
                return Err(Error::at(position, text));
            }
            written.push((key, position));
        }
        take(field, entry, &mut object)?;
    }
    if let Some(finish) = schema.finish {
        finish(&mut object);
    }
    Ok(object)
}

/// The object of a body in which nothing is written.
pub(super) fn empty(schema: &Schema) -> Object {
    let absent = |absent: &Absent| match absent {
        Absent::Omitted => None,
        Absent::Null => Some(Json::Null),
        Absent::Empty => Some(Json::from("")),
        Absent::Zero => Some(Json::from(0)),
        Absent::False => Some(Json::from(false)),
        Absent::Text(text) => Some(Json::from(*text)),
        Absent::True => Some(Json::from(true)),
        Absent::Nanoseconds(duration) => Some(Json::from(*duration)),
    };
    let fields = schema.fields.iter().map(|field| (field.api, &field.absent));
    let constants = schema.constants.iter().map(|(api, value)| (*api, value));
    let members = fields.chain(constants).filter(|(api, _)| !api.is_empty());
    members.filter_map(|(api, value)| Some((api.to_owned(), absent(value)?))).collect()
}

fn unknown(schema: &Schema, key: &str, position: Position) -> Error {
    let known = schema.fields.iter().map(|field| field.key);
    let hint = match crate::hcl::nearest(key, known) {
        Some(near) => format!("; is `{near}` meant?"),
        None => String::new(),
    };
    Error::at(position, format!("a {} has no `{key}`{hint}", schema.what))
}

/// Writes what one entry says.
fn take(field: &Field, entry: &Entry, object: &mut Object) -> Result<(), Error> {
    let key = field.key;
    let value = match &field.kind {
        Kind::Text => attribute(entry)?.value.to_text(key)?.into(),
        Kind::Integer => attribute(entry)?.value.to_integer(key)?.into(),
        Kind::Flag => attribute(entry)?.value.to_flag(key)?.into(),
        Kind::Duration => attribute(entry)?.value.to_duration_ns(key)?.into(),
        Kind::Texts => attribute(entry)?.value.to_texts(key)?.into(),
        Kind::TextMap => return merge(object, field.api, text_map(entry)?),
        Kind::TextsMap => return merge(object, field.api, texts_map(entry)?),
        Kind::Free => match body(entry)?.to_json() {
            Json::Object(free) => return merge(object, field.api, free),
            other => other,
        },
        Kind::One(schema) => {
            let labels = labels(entry);
            no_label(entry, labels)?;
            self::object(schema, &body(entry)?)?.into()
        }
        Kind::Many(schema) => {
            return each(entry, |body, label| append(object, field.api, labelled(schema, body, label)?));
        }
        Kind::ByName(schema) => {
            return each(entry, |body, label| {
                let value = labelled(schema, body, label)?;
                let name = label.map(|label| label.text.clone()).unwrap_or_default();
                merge(object, field.api, Map::from_iter([(name, Json::Object(value))]))
            });
        }
        Kind::ManyBy(read) => return each(entry, |body, _| append(object, field.api, read(body)?)),
    };
    object.insert(field.api.to_owned(), value);
    Ok(())
}

/// An object under the label that its schema wants.
fn labelled(schema: &Schema, body: &Body, label: Option<&Label>) -> Result<Object, Error> {
    let mut value = object(schema, body)?;
    match (schema.label, label) {
        (Some(api), Some(label)) => {
            value.insert(api.to_owned(), label.text.as_str().into());
        }
        (None, None) => {}
        (Some(_), None) => {
            let text = format!("a {0} has a name: `{0} \"name\" {{ … }}`", schema.what);
            return Err(Error::at(body.position, text));
        }
        (None, Some(label)) => {
            return Err(Error::at(label.position, format!("a {} has no name behind it", schema.what)));
        }
    }
    Ok(value)
}

fn append(object: &mut Object, api: &str, value: Object) -> Result<(), Error> {
    let list = object.entry(api).or_insert(Json::Null);
    match list {
        Json::Array(items) => items.push(Json::Object(value)),
        other => *other = Json::Array(vec![Json::Object(value)]),
    }
    Ok(())
}

fn merge(object: &mut Object, api: &str, members: Object) -> Result<(), Error> {
    let map = object.entry(api).or_insert(Json::Null);
    match map {
        Json::Object(earlier) => earlier.extend(members),
        other => *other = Json::Object(members),
    }
    Ok(())
}

/// Calls for every body that the entry stands for: a block is one, an attribute (`port_map = { … }`,
/// `check = [{ … }]`) as many as it has objects.
fn each(
    entry: &Entry,
    mut read: impl FnMut(&Body, Option<&Label>) -> Result<(), Error>,
) -> Result<(), Error> {
    let attribute = match entry {
        Entry::Block(block) => {
            if let [_, second, ..] = block.labels.as_slice() {
                return Err(Error::at(
                    second.position,
                    format!("a `{}` has one name, not several", block.kind),
                ));
            }
            return read(&block.body, block.labels.first());
        }
        Entry::Attribute(attribute) => attribute,
    };
    match &attribute.value.kind {
        ValueKind::List(items) => {
            items.iter().try_for_each(|item| read(&object_body(&attribute.key, item)?, None))
        }
        _ => read(&object_body(&attribute.key, &attribute.value)?, None),
    }
}

fn object_body(key: &str, value: &Value) -> Result<Body, Error> {
    value.as_body().ok_or_else(|| Error::at(value.position, format!("`{key}` is a block: `{key} {{ … }}`")))
}

fn attribute(entry: &Entry) -> Result<&Attribute, Error> {
    match entry {
        Entry::Attribute(attribute) => Ok(attribute),
        Entry::Block(block) => {
            let text = format!("`{0}` is not a block; it is set with `{0} = …`", block.kind);
            Err(Error::at(block.position, text))
        }
    }
}

fn body(entry: &Entry) -> Result<Body, Error> {
    match entry {
        Entry::Block(block) => Ok(block.body.clone()),
        Entry::Attribute(attribute) => match &attribute.value.kind {
            // HCL1's own way to write a block's body as a value.
            ValueKind::List(items) if items.len() == 1 => object_body(&attribute.key, &items[0]),
            _ => object_body(&attribute.key, &attribute.value),
        },
    }
}

fn labels(entry: &Entry) -> &[Label] {
    match entry {
        Entry::Block(block) => &block.labels,
        Entry::Attribute(_) => &[],
    }
}

fn no_label(entry: &Entry, labels: &[Label]) -> Result<(), Error> {
    match labels.first() {
        None => Ok(()),
        Some(label) => Err(Error::at(label.position, format!("`{}` has no name behind it", entry.key()))),
    }
}

fn text_map(entry: &Entry) -> Result<Object, Error> {
    no_label(entry, labels(entry))?;
    let body = body(entry)?;
    let member = |entry: &Entry| {
        let attribute = attribute(entry)?;
        Ok((attribute.key.clone(), attribute.value.to_text(&attribute.key)?.into()))
    };
    body.entries.iter().map(member).collect()
}

fn texts_map(entry: &Entry) -> Result<Object, Error> {
    no_label(entry, labels(entry))?;
    let body = body(entry)?;
    let member = |entry: &Entry| {
        let attribute = attribute(entry)?;
        Ok((attribute.key.clone(), attribute.value.to_texts(&attribute.key)?.into()))
    };
    body.entries.iter().map(member).collect()
}
