//! Values as the types that their readers want, with an error that names the key.

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

    /// A text; numbers and flags as they are written.
    ///
    /// # Errors
    /// It is a list, an object or null.
    pub fn to_text(&self, key: &str) -> Result<String, Error> {
        match &self.kind {
            ValueKind::Text(text) => Ok(text.clone()),
            ValueKind::Integer(number) => Ok(number.to_string()),
            ValueKind::Float(number) => Ok(number.to_string()),
            ValueKind::Flag(flag) => Ok(flag.to_string()),
            _ => self.refuse(key, "a string"),
        }
    }

    /// A whole number, also as the text of one.
    ///
    /// # Errors
    /// It is none.
    pub fn to_integer(&self, key: &str) -> Result<i64, Error> {
        let number = match &self.kind {
            ValueKind::Integer(number) => Some(*number),
            ValueKind::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
            ValueKind::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.map_or_else(|| self.refuse(key, "a whole number"), Ok)
    }

    /// A whole number between two bounds, both allowed.
    ///
    /// # Errors
    /// It is none, or beyond the bounds.
    pub fn to_integer_in(&self, key: &str, least: i64, most: i64) -> Result<i64, Error> {
        match self.to_integer(key)? {
            number if (least..=most).contains(&number) => Ok(number),
            _ => self.refuse(key, &format!("between {least} and {most}")),
        }
    }

    /// A flag, also as the text or number of one.
    ///
    /// # Errors
    /// It is none.
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

    /// A duration in nanoseconds: a text like `30s`, or a number that is nanoseconds already.
    ///
    /// # Errors
    /// It is none.
    pub fn to_duration_ns(&self, key: &str) -> Result<i64, Error> {
        let duration = match &self.kind {
            ValueKind::Text(text) => parse_duration_ns(text),
            ValueKind::Integer(number) => Some(*number),
            _ => None,
        };
        duration.map_or_else(|| self.refuse(key, "a duration like \"30s\" or \"1h30m\""), Ok)
    }

    /// A list of texts; a single text is a list of one.
    ///
    /// # Errors
    /// It is neither.
    pub fn to_texts(&self, key: &str) -> Result<Vec<String>, Error> {
        match &self.kind {
            ValueKind::List(items) => items.iter().map(|item| item.to_text(key)).collect(),
            ValueKind::Text(text) => Ok(vec![text.clone()]),
            _ => self.refuse(key, "a list of strings"),
        }
    }

    /// The object as a body of attributes; nothing if it is no object.
    pub fn as_body(&self) -> Option<Body> {
        let ValueKind::Object(members) = &self.kind else { return None };
        let attribute = |member: &super::Member| {
            let (key, value) = (member.key.clone(), member.value.clone());
            Entry::Attribute(Attribute { key, position: member.position, value })
        };
        Some(Body { entries: members.iter().map(attribute).collect(), position: self.position })
    }

    /// The value as JSON.
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
    /// A free-form body as JSON: attributes as they are, each nested block as a list with one object
    /// for every time that it stands there, labels as objects around it.
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
