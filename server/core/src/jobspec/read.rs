//! Reads a body by its schema and writes the API's object.

use std::borrow::Cow;

use super::schema::{Absent, Field, Kind, Schema};
use crate::hcl::{Attribute, Body, Dialect, Entry, Error, Label, Position, Value, ValueKind};
use serde_json::{Map, Value as Json};

pub(super) use crate::hcl::shortened;

pub(super) type Object = Map<String, Json>;

/// Converts a body to an object with every member of the schema. Members that are not written have their absent value.
pub(super) fn object(schema: &Schema, body: &Body, dialect: Dialect) -> Result<Object, Error> {
    let mut object = empty(schema);
    let mut written: Vec<(&str, Position)> = Vec::new();
    for entry in &body.entries {
        let (key, position) = (entry.key(), entry.position());
        let Some(field) = schema.fields.iter().find(|field| field.key == key) else {
            if schema.passes_over_unknown(dialect) {
                continue;
            }
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
            take(field, entry, &mut object, dialect)?;
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
fn take(field: &Field, entry: &Entry, object: &mut Object, dialect: Dialect) -> Result<(), Error> {
    let key = field.key;
    let scalar = || attribute(entry).map(|attribute| Scalar { value: &attribute.value, dialect });
    let value = match &field.kind {
        Kind::Text => scalar()?.to_text(key)?.into(),
        Kind::Integer => scalar()?.to_integer(key)?.into(),
        Kind::IntegerIn(least, most) => scalar()?.number().to_integer_in(key, *least, *most)?.into(),
        Kind::Flag => scalar()?.to_flag(key)?.into(),
        Kind::Duration => scalar()?.value.to_duration_ns(key)?.into(),
        Kind::Texts => scalar()?.to_texts(key)?.into(),
        Kind::TextMap => {
            return merge(
                object,
                field.api,
                map(entry, |key, value| Ok(Scalar { value, dialect }.to_text(key)?.into()))?,
            );
        }
        Kind::TextsMap => {
            return merge(
                object,
                field.api,
                map(entry, |key, value| Ok(Scalar { value, dialect }.to_texts(key)?.into()))?,
            );
        }
        Kind::Free => match body(entry)?.to_free_form(dialect) {
            Json::Object(free) => return merge(object, field.api, free),
            other => other,
        },
        Kind::One(schema) => {
            let labels = labels(entry);
            no_label(entry, labels)?;
            self::object(schema, body(entry)?.as_ref(), dialect)?.into()
        }
        Kind::Many(schema) => {
            return each(entry, schema, |body, label| {
                append(object, field.api, labelled(schema, body, label, dialect)?)
            });
        }
        Kind::ByName(schema) => {
            return each(entry, schema, |body, label| {
                let value = labelled(schema, body, label, dialect)?;
                let name = label.map(|label| label.text.clone()).unwrap_or_default();
                merge(object, field.api, Map::from_iter([(name, Json::Object(value))]))
            });
        }
        Kind::ManyBy(read, schema) => {
            return each(entry, schema, |body, label| match read(body, label, dialect)? {
                Some(value) => append(object, field.api, value),
                None => Ok(()),
            });
        }
    };
    object.insert(field.api.to_owned(), value);
    Ok(())
}

/// Converts a body, and stores the label in the member that the schema names.
fn labelled(schema: &Schema, body: &Body, label: Option<&Label>, dialect: Dialect) -> Result<Object, Error> {
    let mut value = object(schema, body, dialect)?;
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
/// (`check = { … }`, `check = [{ … }]`). If the blocks have labels, these are the keys of the attribute's objects.
fn each(
    entry: &Entry,
    schema: &Schema,
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
    let key = &attribute.key;
    for object in objects(&attribute.value) {
        let (ValueKind::Object(members), Some(_)) = (&object.kind, schema.label) else {
            read(&object_body(key, object)?, None)?;
            continue;
        };
        for member in members {
            let label = Label { text: member.key.clone(), position: member.position };
            for inner in objects(&member.value) {
                read(&object_body(key, inner)?, Some(&label))?;
            }
        }
    }
    Ok(())
}

/// Returns the items of a list, or the value itself.
fn objects(value: &Value) -> &[Value] {
    match &value.kind {
        ValueKind::List(items) => items,
        _ => std::slice::from_ref(value),
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

/// Converts names and values to an object; null values are dropped.
fn map(entry: &Entry, read: impl Fn(&str, &Value) -> Result<Json, Error>) -> Result<Object, Error> {
    no_label(entry, labels(entry))?;
    let body = body(entry)?;
    let member = |entry: &Entry| {
        let attribute = attribute(entry)?;
        Ok((attribute.key.clone(), read(&attribute.key, &attribute.value)?))
    };
    body.entries.iter().filter(|entry| !is_null(entry)).map(member).collect()
}

/// A value and the dialect whose rules convert it. HCL1 is weakly typed: a flag is 1 or 0, as a number and as a text; any
/// number but 0 is a set flag; the fraction of a number is cut off.
pub(super) struct Scalar<'v> {
    pub(super) value: &'v Value,
    pub(super) dialect: Dialect,
}

impl Scalar<'_> {
    pub(super) fn to_text(&self, key: &str) -> Result<String, Error> {
        match self.value.kind {
            ValueKind::Flag(flag) if self.is_weak() => Ok(u8::from(flag).to_string()),
            _ => self.value.to_text(key),
        }
    }

    fn to_texts(&self, key: &str) -> Result<Vec<String>, Error> {
        match &self.value.kind {
            ValueKind::List(items) => {
                items.iter().map(|value| Scalar { value, dialect: self.dialect }.to_text(key)).collect()
            }
            _ => self.value.to_texts(key),
        }
    }

    pub(super) fn to_flag(&self, key: &str) -> Result<bool, Error> {
        match self.value.kind {
            ValueKind::Integer(number) if self.is_weak() => Ok(number != 0),
            _ => self.value.to_flag(key),
        }
    }

    fn to_integer(&self, key: &str) -> Result<i64, Error> {
        self.number().to_integer(key)
    }

    /// Returns the value for a reader of integers.
    pub(super) fn number(&self) -> Cow<'_, Value> {
        let number = match self.value.kind {
            ValueKind::Flag(flag) if self.is_weak() => i64::from(flag),
            ValueKind::Float(number) if self.is_weak() => number as i64,
            _ => return Cow::Borrowed(self.value),
        };
        Cow::Owned(Value { kind: ValueKind::Integer(number), position: self.value.position })
    }

    fn is_weak(&self) -> bool {
        self.dialect == Dialect::Configuration
    }
}
