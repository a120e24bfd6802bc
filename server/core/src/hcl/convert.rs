//! Converts values to the types that readers expect. Errors name the key.

use super::duration::parse_duration_ns;
use super::tree::{Attribute, Body, Entry, Value, ValueKind};
use super::{Error, shortened};
use serde_json::Value as Json;

impl Value {
    fn refuse<T>(&self, key: &str, wanted: &str) -> Result<T, Error> {
        let is = match &self.kind {
            ValueKind::Null => "null".to_owned(),
            ValueKind::Flag(flag) => flag.to_string(),
            ValueKind::Integer(number) => number.to_string(),
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
            ValueKind::Text(text) => Ok(text.clone()),
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
        let attribute = |member: &super::Member| {
            let (key, value) = (member.key.clone(), member.value.clone());
            Entry::Attribute(Attribute { key, position: member.position, value })
        };
        Some(Body { entries: members.iter().map(attribute).collect(), position: self.position })
    }

    /// Converts the value to JSON.
    pub fn to_json(&self) -> Json {
        match &self.kind {
            ValueKind::Null => Json::Null,
            ValueKind::Flag(flag) => Json::from(*flag),
            ValueKind::Integer(number) => Json::from(*number),
            ValueKind::Float(number) => Json::from(*number),
            ValueKind::Text(text) => Json::from(text.as_str()),
            ValueKind::List(items) => items.iter().map(Value::to_json).collect(),
            ValueKind::Object(members) => {
                Json::Object(members.iter().map(|m| (m.key.clone(), m.value.to_json())).collect())
            }
        }
    }
}

impl Body {
    /// Converts a free-form body to JSON. Attributes keep their values. Blocks of one kind become a list of objects,
    /// with labels as enclosing objects.
    pub fn to_json(&self) -> Json {
        let mut object = serde_json::Map::new();
        for entry in &self.entries {
            match entry {
                Entry::Attribute(attribute) => {
                    object.insert(attribute.key.clone(), attribute.value.to_json());
                }
                Entry::Block(block) => {
                    let mut inner = block.body.to_json();
                    for label in block.labels.iter().rev() {
                        inner = serde_json::json!({ label.text.as_str(): [inner] });
                    }
                    match object.get_mut(&block.kind) {
                        Some(Json::Array(earlier)) => earlier.push(inner),
                        _ => {
                            object.insert(block.kind.clone(), Json::Array(vec![inner]));
                        }
                    }
                }
            }
        }
        Json::Object(object)
    }
}
