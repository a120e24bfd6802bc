//! Converts values to the types that readers expect. Errors name the key.

use super::duration::parse_duration_ns;
use super::tree::{Attribute, Body, Entry, Member, Value, ValueKind};
use super::{Dialect, Error, shortened};
use serde_json::Value as Json;
use std::collections::BTreeSet;

impl Value {
    fn refuse<T>(&self, key: &str, wanted: &str) -> Result<T, Error> {
        let is = match &self.kind {
            ValueKind::Null => "null".to_owned(),
            ValueKind::Flag(flag) => flag.to_string(),
            ValueKind::Integer(number) => number.to_string(),
            ValueKind::Digits(digits) => shortened(digits),
            ValueKind::Float(number) => number.to_string(),
            ValueKind::Text(text) => format!("{:?}", shortened(text)),
            ValueKind::List(_) => "a list".to_owned(),
            ValueKind::Object(_) => "an object".to_owned(),
        };
        Err(Error::at(self.position, format!("`{}` has to be {wanted}, and is {is}", shortened(key))))
    }

    /// Returns a string; numbers and flags are formatted.
    ///
    /// # Errors
    /// The value is a list, an object or null.
    pub fn to_text(&self, key: &str) -> Result<String, Error> {
        match &self.kind {
            ValueKind::Text(text) | ValueKind::Digits(text) => Ok(text.clone()),
            ValueKind::Integer(number) => Ok(number.to_string()),
            ValueKind::Float(number) => Ok(number.to_string()),
            ValueKind::Flag(flag) => Ok(flag.to_string()),
            _ => self.refuse(key, "a string"),
        }
    }

    /// Returns an integer; a string that contains one is parsed.
    ///
    /// # Errors
    /// The value is not an integer.
    pub fn to_integer(&self, key: &str) -> Result<i64, Error> {
        let number = match &self.kind {
            ValueKind::Integer(number) => Some(*number),
            ValueKind::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
            ValueKind::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.map_or_else(|| self.refuse(key, "a whole number"), Ok)
    }

    /// Returns an integer within inclusive bounds.
    ///
    /// # Errors
    /// The value is not an integer or out of bounds.
    pub fn to_integer_in(&self, key: &str, least: i64, most: i64) -> Result<i64, Error> {
        match self.to_integer(key)? {
            number if (least..=most).contains(&number) => Ok(number),
            _ => self.refuse(key, &format!("between {least} and {most}")),
        }
    }

    /// Returns a flag; strings and numbers that represent one are converted.
    ///
    /// # Errors
    /// The value is not a flag.
    pub fn to_flag(&self, key: &str) -> Result<bool, Error> {
        match &self.kind {
            ValueKind::Flag(flag) => Ok(*flag),
            ValueKind::Integer(0) => Ok(false),
            ValueKind::Integer(1) => Ok(true),
            ValueKind::Text(text) => match text.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => self.refuse(key, "true or false"),
            },
            _ => self.refuse(key, "true or false"),
        }
    }

    /// Returns a duration in nanoseconds, from a string like `30s` or a number of nanoseconds.
    ///
    /// # Errors
    /// The value is not a duration.
    pub fn to_duration_ns(&self, key: &str) -> Result<i64, Error> {
        let duration = match &self.kind {
            ValueKind::Text(text) => parse_duration_ns(text),
            ValueKind::Integer(number) => Some(*number),
            _ => None,
        };
        duration.map_or_else(|| self.refuse(key, "a duration like \"30s\" or \"1h30m\""), Ok)
    }

    /// Returns a list of strings; a single string becomes a list of one.
    ///
    /// # Errors
    /// The value is neither.
    pub fn to_texts(&self, key: &str) -> Result<Vec<String>, Error> {
        match &self.kind {
            ValueKind::List(items) => items.iter().map(|item| item.to_text(key)).collect(),
            ValueKind::Text(text) => Ok(vec![text.clone()]),
            _ => self.refuse(key, "a list of strings"),
        }
    }

    /// Returns an object as a body of attributes, or `None` for any other value.
    pub fn as_body(&self) -> Option<Body> {
        let ValueKind::Object(members) = &self.kind else { return None };
        let attribute = |member: &Member| {
            let (key, value) = (member.key.clone(), member.value.clone());
            Entry::Attribute(Attribute { key, position: member.position, value })
        };
        Some(Body { entries: members.iter().map(attribute).collect(), position: self.position })
    }

    /// Returns an integer; the fraction of a number is cut off, and beyond 64 bits it is the nearest one.
    ///
    /// # Errors
    /// The value is not a number.
    pub fn to_truncated(&self, key: &str) -> Result<i64, Error> {
        match &self.kind {
            ValueKind::Float(number) => Ok(*number as i64),
            ValueKind::Digits(digits) => Ok(if digits.starts_with('-') { i64::MIN } else { i64::MAX }),
            _ => self.to_integer(key),
        }
    }

    /// Converts a value of free-form content to JSON. As in Nomad, an object becomes a list of one object, unless it is
    /// an item of a list.
    fn to_free_form(&self) -> Json {
        match &self.kind {
            ValueKind::Object(members) => Json::Array(vec![free_form_object(members)]),
            ValueKind::List(items) => items
                .iter()
                .map(|item| match &item.kind {
                    ValueKind::Object(members) => free_form_object(members),
                    _ => item.to_free_form(),
                })
                .collect(),
            _ => self.to_json(),
        }
    }

    /// Converts the value to JSON.
    pub fn to_json(&self) -> Json {
        match &self.kind {
            ValueKind::Null => Json::Null,
            ValueKind::Flag(flag) => Json::from(*flag),
            ValueKind::Integer(number) => Json::from(*number),
            ValueKind::Digits(digits) => digits.parse::<f64>().map_or(Json::Null, Json::from),
            ValueKind::Float(number) => Json::from(*number),
            ValueKind::Text(text) => Json::from(text.as_str()),
            ValueKind::List(items) => items.iter().map(Value::to_json).collect(),
            ValueKind::Object(members) => {
                Json::Object(members.iter().map(|m| (m.key.clone(), m.value.to_json())).collect())
            }
        }
    }
}

fn free_form_object(members: &[Member]) -> Json {
    Json::Object(members.iter().map(|member| (member.key.clone(), member.value.to_free_form())).collect())
}

impl Body {
    /// Converts free-form content to JSON. Blocks of one kind become a list of objects, with labels as enclosing
    /// objects. In HCL1, objects given as attributes of that name belong to the list; in HCL2, the blocks replace them.
    pub fn to_free_form(&self, dialect: Dialect) -> Json {
        let old = dialect == Dialect::Configuration;
        let blocks: BTreeSet<&str> =
            self.entries.iter().filter(|entry| matches!(entry, Entry::Block(_))).map(Entry::key).collect();
        let mut object = serde_json::Map::new();
        for entry in &self.entries {
            let (added, joins) = match entry {
                Entry::Attribute(attribute) if !old && blocks.contains(attribute.key.as_str()) => continue,
                Entry::Attribute(attribute) => {
                    let is_object = matches!(attribute.value.kind, ValueKind::Object(_));
                    (attribute.value.to_free_form(), old && is_object)
                }
                Entry::Block(block) => {
                    let mut inner = block.body.to_free_form(dialect);
                    for label in block.labels.iter().rev() {
                        inner = serde_json::json!({ label.text.as_str(): [inner] });
                    }
                    (Json::Array(vec![inner]), true)
                }
            };
            match (object.get_mut(entry.key()), added) {
                (Some(Json::Array(earlier)), Json::Array(added)) if joins => earlier.extend(added),
                (_, added) => _ = object.insert(entry.key().to_owned(), added),
            }
        }
        Json::Object(object)
    }
}
