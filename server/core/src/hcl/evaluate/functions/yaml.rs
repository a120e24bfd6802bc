//! `yamlencode` and `yamldecode`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use crate::hcl::HCL_VALUE_DEPTH_MAX;
use crate::hcl::tree::{Member, Value, ValueKind};

use super::super::budget::Budget;
use super::super::call::Call;
use super::super::{Fault, Outcome, values};
use super::{Function, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("yamlencode", 1, |call| {
        let kind = call.take(0);
        call.budget.copy(&kind)?;
        let mut writer = Writer { text: String::new(), budget: &mut *call.budget };
        writer.value(&kind, 0)?;
        writer.text.push('\n');
        let text = writer.text;
        call.made(text)
    }),
    exactly("yamldecode", 1, |call| {
        let text = call.text(0)?;
        call.budget.steps(text.len())?;
        call.budget.bytes(text.len())?;
        read(call, &text)
    }),
];

/// YAML that is being written.
struct Writer<'b> {
    text: String,
    budget: &'b mut Budget,
}

impl Writer<'_> {
    /// Writes a value of which the first line begins where the text ends; its further lines are indented.
    fn value(&mut self, kind: &ValueKind, indentation: usize) -> Result<(), Fault> {
        match kind {
            ValueKind::List(items) if !items.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    self.begin_line(at, indentation)?;
                    self.text.push_str("- ");
                    self.value(&item.kind, indentation + 2)?;
                }
            }
            ValueKind::Object(members) if !members.is_empty() => {
                for (at, member) in members.iter().enumerate() {
                    self.begin_line(at, indentation)?;
                    write_quoted(&member.key, &mut self.text);
                    self.text.push(':');
                    self.member(&member.value.kind, indentation)?;
                }
            }
            ValueKind::List(_) => self.text.push_str("[]"),
            ValueKind::Object(_) => self.text.push_str("{}"),
            ValueKind::Text(content) if is_block(content) => self.block(content, indentation)?,
            ValueKind::Text(content) => write_quoted(content, &mut self.text),
            other => self.text.push_str(&values::describe(other)),
        }
        Ok(())
    }

    /// Writes the value of a member behind its colon. Lists are not indented within objects.
    fn member(&mut self, kind: &ValueKind, indentation: usize) -> Result<(), Fault> {
        let inner = match kind {
            ValueKind::List(items) if !items.is_empty() => indentation,
            ValueKind::Object(members) if !members.is_empty() => indentation + 2,
            _ => {
                self.text.push(' ');
                return self.value(kind, indentation + 2);
            }
        };
        self.line_break(inner)?;
        self.value(kind, inner)
    }

    fn begin_line(&mut self, at: usize, indentation: usize) -> Result<(), Fault> {
        if at == 0 { Ok(()) } else { self.line_break(indentation) }
    }

    /// Charges for the indentation: that of a deep value is longer than the value.
    fn line_break(&mut self, indentation: usize) -> Result<(), Fault> {
        self.budget.bytes(indentation)?;
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', indentation));
        Ok(())
    }

    fn block(&mut self, content: &str, indentation: usize) -> Result<(), Fault> {
        let lines = content.trim_end_matches('\n');
        self.text.push_str(match content.len() - lines.len() {
            0 => "|-",
            1 => "|",
            _ => "|+",
        });
        for line in content.strip_suffix('\n').unwrap_or(content).split('\n') {
            self.line_break(if line.is_empty() { 0 } else { indentation.max(2) })?;
            self.text.push_str(line);
        }
        Ok(())
    }
}

/// Whether a text of several lines can be written as a block (`|`).
fn is_block(content: &str) -> bool {
    content.contains('\n')
        && !content.starts_with([' ', '\n', '\t'])
        && content.lines().all(|line| !line.ends_with([' ', '\t']))
        && content.chars().all(|c| c == '\n' || !c.is_control())
}

fn write_quoted(content: &str, text: &mut String) {
    text.push('"');
    for character in content.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // Writing to a `String` cannot fail.
            other if other.is_control() => _ = write!(text, "\\u{:04x}", u32::from(other)),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// A list or an object that is being read.
struct Open {
    kind: OpenKind,
    anchor: usize,
}

enum OpenKind {
    List(Vec<Value>),
    Object {
        members: BTreeMap<String, ValueKind>,
        /// Members of `<<`, which those of the object itself override.
        merged: BTreeMap<String, ValueKind>,
        /// The key whose value comes next.
        key: Option<String>,
    },
}

/// Reads the only document of a text.
fn read(call: &mut Call<'_>, text: &str) -> Outcome {
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: BTreeMap<usize, ValueKind> = BTreeMap::new();
    let mut whole = None;
    for event in Parser::new_from_str(text) {
        let event = match event {
            Ok((event, _)) => event,
            Err(error) => return call.refuse(0, &format!("is not YAML: {error}")),
        };
        call.budget.steps(1)?;
        let (kind, anchor) = match event {
            Event::DocumentStart(_) if whole.is_some() => {
                return call.refuse(0, "holds several YAML documents, and one is read");
            }
            Event::SequenceStart(anchor, _) => {
                open.push(Open { kind: OpenKind::List(Vec::new()), anchor });
                check_depth(call, &open)?;
                continue;
            }
            Event::MappingStart(anchor, _) => {
                let (members, merged) = (BTreeMap::new(), BTreeMap::new());
                open.push(Open { kind: OpenKind::Object { members, merged, key: None }, anchor });
                check_depth(call, &open)?;
                continue;
            }
            Event::Scalar(text, style, anchor, tag) => (scalar(call, text, style, tag.as_deref())?, anchor),
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some(kind) => {
                    call.budget.copy(kind)?;
                    (kind.clone(), 0)
                }
                None => return call.refuse(0, "refers to an anchor within itself"),
            },
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open { kind: OpenKind::List(items), anchor }) => (ValueKind::List(items), anchor),
                Some(Open { kind: OpenKind::Object { members, mut merged, .. }, anchor }) => {
                    merged.extend(members);
                    let members = merged.into_iter().map(|(key, kind)| call.member(key, kind));
                    (ValueKind::Object(members.collect()), anchor)
                }
                None => continue,
            },
            _ => continue,
        };
        if anchor > 0 {
            call.budget.copy(&kind)?;
            anchors.insert(anchor, kind.clone());
        }
        match open.last_mut() {
            Some(parent) => add(call, parent, kind)?,
            None => whole = Some(kind),
        }
    }
    Ok(whole.unwrap_or(ValueKind::Null))
}

fn check_depth(call: &Call<'_>, open: &[Open]) -> Result<(), Fault> {
    if open.len() <= HCL_VALUE_DEPTH_MAX {
        return Ok(());
    }
    call.refuse(0, &format!("is nested deeper than {HCL_VALUE_DEPTH_MAX} levels"))
}

/// Adds a value to the list or object around it.
fn add(call: &mut Call<'_>, parent: &mut Open, kind: ValueKind) -> Result<(), Fault> {
    match &mut parent.kind {
        OpenKind::List(items) => items.push(call.value(kind)),
        OpenKind::Object { members, merged, key } => match key.take() {
            None => *key = Some(values::to_text(&kind, "a key of the YAML document")?),
            Some(name) if name == "<<" => merge(merged, kind),
            Some(name) => _ = members.insert(name, kind),
        },
    }
    Ok(())
}

/// Adds the members of an object, or of each object of a list, of which earlier ones win.
fn merge(merged: &mut BTreeMap<String, ValueKind>, kind: ValueKind) {
    match kind {
        ValueKind::Object(members) => {
            for Member { key, value, .. } in members {
                merged.entry(key).or_insert(value.kind);
            }
        }
        ValueKind::List(items) => items.into_iter().for_each(|item| merge(merged, item.kind)),
        _ => {}
    }
}

/// Returns what a scalar stands for by the core schema of YAML 1.2.
fn scalar(call: &Call<'_>, text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Outcome {
    let is_text = match tag {
        None => style != ScalarStyle::Plain,
        Some(tag) if tag.is_yaml_core_schema() => tag.suffix == "str",
        Some(tag) => {
            return call.refuse(
                0,
                &format!("has the tag `{}`, which is not known", crate::hcl::shortened(&tag.suffix)),
            );
        }
    };
    if is_text {
        return Ok(ValueKind::Text(text.into_owned()));
    }
    Ok(match &*text {
        "" | "~" | "null" | "Null" | "NULL" => ValueKind::Null,
        "true" | "True" | "TRUE" => ValueKind::Flag(true),
        "false" | "False" | "FALSE" => ValueKind::Flag(false),
        plain => number(plain).unwrap_or_else(|| ValueKind::Text(plain.to_owned())),
    })
}

fn number(plain: &str) -> Option<ValueKind> {
    let radix = |prefix, radix| i64::from_str_radix(plain.strip_prefix(prefix)?, radix).ok();
    if let Some(whole) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Some(ValueKind::Integer(whole));
    }
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(plain);
    // Rust's parser would accept "inf" and "nan" too.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    match plain.parse::<i64>() {
        Ok(whole) => Some(ValueKind::Integer(whole)),
        Err(_) => values::from_float(plain.parse().ok()?).ok(),
    }
}
