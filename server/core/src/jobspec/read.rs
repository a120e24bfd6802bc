//! Reads a body by its schema and writes the API's object.

use std::borrow::Cow;

use super::schema::{Absent, Field, Kind, Schema};
use crate::hcl::{Attribute, Body, Entry, Error, Label, Position, Value, ValueKind};
use serde_json::{Map, Value as Json};

pub(super) use crate::hcl::shortened;

pub(super) type Object = Map<String, Json>;

/// Converts a body to an object with every member of the schema. Members that are not written have their absent value.
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
        // As in HCL2, a null value counts as not written.
        if !is_null(entry) {
            take(field, entry, &mut object)?;
        }
    }
    if let Some(finish) = schema.finish {
        finish(&mut object, body.position)?;
    }
    Ok(object)
}

/// Converts an empty body.
pub(super) fn empty(schema: &Schema) -> Object {
    let fields = schema.fields.iter().map(|field| (field.api, &field.absent));
    let constants = schema.constants.iter().map(|constant| (constant.api, &constant.absent));
    fields.chain(constants).filter_map(|(api, value)| Some((api.to_owned(), value.to_json()?))).collect()
}

impl Absent {
    /// Returns the JSON of the value, or `None` if the member is omitted.
    pub(super) fn to_json(self) -> Option<Json> {
        Some(match self {
            Absent::Omitted => return None,
            // The object is created when its defaults are filled in.
            Absent::Null | Absent::Object => Json::Null,
            Absent::Empty => Json::from(""),
            Absent::Zero => Json::from(0),
            Absent::False => Json::from(false),
            Absent::True => Json::from(true),
            Absent::Text(text) => Json::from(text),
            Absent::Integer(number) => Json::from(number),
        })
    }
}

fn is_null(entry: &Entry) -> bool {
    matches!(entry, Entry::Attribute(attribute) if attribute.value.kind == ValueKind::Null)
}

fn unknown(schema: &Schema, key: &str, position: Position) -> Error {
    let known = schema.fields.iter().map(|field| field.key);
    let hint = match crate::hcl::nearest(key, known) {
        Some(near) => format!("; is `{near}` meant?"),
        None => String::new(),
    };
    Error::at(position, format!("a {} has no `{}`{hint}", schema.what, shortened(key)))
}

/// Writes the value of one entry.
fn take(field: &Field, entry: &Entry, object: &mut Object) -> Result<(), Error> {
    let key = field.key;
    let value = match &field.kind {
        Kind::Text => attribute(entry)?.value.to_text(key)?.into(),
        Kind::Integer => attribute(entry)?.value.to_integer(key)?.into(),
        Kind::IntegerIn(least, most) => attribute(entry)?.value.to_integer_in(key, *least, *most)?.into(),
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
            self::object(schema, body(entry)?.as_ref())?.into()
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
        Kind::ManyBy(read, _) => {
            return each(entry, |body, label| append(object, field.api, read(body, label)?));
        }
    };
    object.insert(field.api.to_owned(), value);
    Ok(())
}

/// Converts a body, and stores the label in the member that the schema names.
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

/// Calls `read` for each body of the entry: one for a block, and as many as there are objects for an attribute
/// (`port_map = { … }`, `check = [{ … }]`).
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

fn body(entry: &Entry) -> Result<Cow<'_, Body>, Error> {
    match entry {
        Entry::Block(block) => Ok(Cow::Borrowed(&block.body)),
        Entry::Attribute(attribute) => match &attribute.value.kind {
            // HCL1 allows the body of a block as a value.
            ValueKind::List(items) if items.len() == 1 => object_body(&attribute.key, &items[0]),
            _ => object_body(&attribute.key, &attribute.value),
        }
        .map(Cow::Owned),
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
    map(entry, |key, value| Ok(value.to_text(key)?.into()))
}

fn texts_map(entry: &Entry) -> Result<Object, Error> {
    map(entry, |key, value| Ok(value.to_texts(key)?.into()))
}

/// Converts names and values to an object; null values are dropped.
fn map(entry: &Entry, read: fn(&str, &Value) -> Result<Json, Error>) -> Result<Object, Error> {
    no_label(entry, labels(entry))?;
    let body = body(entry)?;
    let member = |entry: &Entry| {
        let attribute = attribute(entry)?;
        Ok((attribute.key.clone(), read(&attribute.key, &attribute.value)?))
    };
    body.entries.iter().filter(|entry| !is_null(entry)).map(member).collect()
}
