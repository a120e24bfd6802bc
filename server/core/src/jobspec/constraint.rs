//! Constraints and affinities. The operator may be written as the key (`regexp = "…"`).

use super::read::{Object, Scalar, shortened};
use crate::hcl::{Body, Dialect, Entry, Error, Label};
use serde_json::{Value as Json, json};

/// Keys that name an operator; their value is the right operand.
const OPERATORS: [&str; 6] =
    ["version", "semver", "regexp", "set_contains", "set_contains_all", "set_contains_any"];

/// `constraint { … }`
pub(super) fn constraint(
    body: &Body,
    label: Option<&Label>,
    dialect: Dialect,
) -> Result<Option<Object>, Error> {
    no_name("constraint", label, dialect)?;
    let mut sides = Sides::new(dialect);
    for entry in &body.entries {
        let (key, value) = sides.attribute(entry)?;
        match key {
            "distinct_hosts" if value.to_flag(key)? => sides.operand = key.to_owned(),
            // HCL1 drops a constraint that is switched off.
            "distinct_hosts" if dialect == Dialect::Configuration => return Ok(None),
            "distinct_hosts" => {}
            "distinct_property" => {
                sides.operand = key.to_owned();
                sides.left = value.to_text(key)?;
            }
            _ if sides.take(key, value)? => {}
            _ => return Err(unknown("constraint", entry)),
        }
    }
    Ok(Some(sides.object()))
}

/// `affinity { … }`
pub(super) fn affinity(
    body: &Body,
    label: Option<&Label>,
    dialect: Dialect,
) -> Result<Option<Object>, Error> {
    no_name("affinity", label, dialect)?;
    let mut sides = Sides::new(dialect);
    let mut weight = Json::Null;
    for entry in &body.entries {
        let (key, value) = sides.attribute(entry)?;
        match key {
            // The API's weight has eight bits, and Nomad keeps the lowest ones.
            "weight" => weight = json!(value.to_truncated(key)? as i8),
            _ if sides.take(key, value)? => {}
            _ => return Err(unknown("affinity", entry)),
        }
    }
    let mut object = sides.object();
    object.insert("Weight".to_owned(), weight);
    Ok(Some(object))
}

struct Sides {
    left: String,
    operand: String,
    right: String,
    keys: Vec<String>,
    dialect: Dialect,
}

impl Sides {
    fn new(dialect: Dialect) -> Sides {
        let (left, right) = (String::new(), String::new());
        Sides { left, operand: "=".to_owned(), right, keys: Vec::new(), dialect }
    }

    fn attribute<'a>(&mut self, entry: &'a Entry) -> Result<(&'a str, &'a crate::hcl::Value), Error> {
        let Entry::Attribute(attribute) = entry else {
            let text = format!("`{0}` is not a block; it is set with `{0} = …`", shortened(entry.key()));
            return Err(Error::at(entry.position(), text));
        };
        if self.keys.contains(&attribute.key) {
            return Err(Error::at(
                attribute.position,
                format!("`{}` stands here again", shortened(&attribute.key)),
            ));
        }
        self.keys.push(attribute.key.clone());
        Ok((&attribute.key, &attribute.value))
    }

    /// Reads a key that constraints and affinities have in common. Returns whether it is one.
    fn take(&mut self, key: &str, value: &crate::hcl::Value) -> Result<bool, Error> {
        let value = Scalar { value, dialect: self.dialect };
        match key {
            "attribute" => self.left = value.to_text(key)?,
            "operator" => self.operand = value.to_text(key)?,
            "value" => self.right = value.to_text(key)?,
            _ if OPERATORS.contains(&key) => {
                self.operand = key.to_owned();
                self.right = value.to_text(key)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn object(self) -> Object {
        Object::from_iter([
            ("LTarget".to_owned(), self.left.into()),
            ("Operand".to_owned(), self.operand.into()),
            ("RTarget".to_owned(), self.right.into()),
        ])
    }
}

fn unknown(what: &str, entry: &Entry) -> Error {
    Error::at(entry.position(), format!("a {what} has no `{}`", shortened(entry.key())))
}

/// Refuses a label, which HCL1 passes over.
fn no_name(what: &str, label: Option<&Label>, dialect: Dialect) -> Result<(), Error> {
    match label {
        None => Ok(()),
        Some(_) if dialect == Dialect::Configuration => Ok(()),
        Some(label) => Err(Error::at(label.position, format!("a {what} has no name behind it"))),
    }
}
