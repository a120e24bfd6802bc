//! Jobspecs in JSON: an object whose members are the attributes and blocks of a body. The labels of a block are nested
//! objects, several blocks of a kind are a list, and strings may contain `${…}`.

use super::syntax::{Attribute, Block, Body, Entry, Key, Kind, Member, Reader, Value};
use super::tree::{Label, Position};
use super::{Dialect, Error, document, shortened, value};

/// Whether a jobspec is written in JSON. No body of HCL begins with a brace.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('{')
}

/// Parses the document.
pub(super) fn read(text: &str) -> Result<Body<'_>, Error> {
    let mut cursor = document::begin(text)?;
    check(text.trim_start_matches('\u{feff}'))?;
    let value = value::document(&mut cursor, &mut Reader::new(Dialect::Jobspec))?;
    let position = value.position;
    let mut entries = Vec::new();
    for member in members(value)? {
        let has_label = match key(&member)? {
            "job" | "variable" => true,
            "locals" | "variables" => false,
            other => {
                let text = format!("`{}` has no place beside the `job` block", shortened(other));
                return Err(Error::at(member.position, text));
            }
        };
        blocks(member, has_label, &mut entries)?;
    }
    Ok(Body { entries, position })
}

/// Checks that a text is JSON: our own parser accepts more.
pub(super) fn check(text: &str) -> Result<(), Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(drop).map_err(|error| {
        let position = Position { line: error.line() as u32, column: error.column() as u32 };
        Error::at(position, format!("this is not JSON: {error}"))
    })
}

/// Appends the blocks that a member stands for: one for each label, or one for each object. The objects in them remain
/// values, which the reader of the schema takes as blocks.
fn blocks<'a>(member: Member<'a>, has_label: bool, entries: &mut Vec<Entry<'a>>) -> Result<(), Error> {
    let (kind, position) = (key(&member)?.to_owned(), member.position);
    let objects = match member.value.kind {
        Kind::List(items) => items,
        _ => vec![member.value],
    };
    for object in objects {
        let mut add = |labels: Vec<Label>, body: Value<'a>| {
            let body_position = body.position;
            let attributes = members(body)?.into_iter().map(|member| {
                let key = key(&member)?.to_owned();
                Ok(Entry::Attribute(Attribute { key, position: member.position, value: member.value }))
            });
            let body = Body { entries: attributes.collect::<Result<_, Error>>()?, position: body_position };
            entries.push(Entry::Block(Block { kind: kind.clone(), labels, body, position }));
            Ok::<(), Error>(())
        };
        if !has_label {
            add(Vec::new(), object)?;
            continue;
        }
        for member in members(object)? {
            let label = Label { text: key(&member)?.to_owned(), position: member.position };
            add(vec![label], member.value)?;
        }
    }
    Ok(())
}

fn members(value: Value<'_>) -> Result<Vec<Member<'_>>, Error> {
    match value.kind {
        Kind::Object(members) => Ok(members),
        _ => Err(Error::at(value.position, "a JSON object has to stand here")),
    }
}

fn key<'m>(member: &'m Member<'_>) -> Result<&'m str, Error> {
    match &member.key {
        Key::Plain(key) => Ok(key),
        Key::Computed(_) => Err(Error::at(member.position, "the name of a block holds no `${…}`")),
    }
}
