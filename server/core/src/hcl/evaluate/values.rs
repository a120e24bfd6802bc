//! Conversion and comparison of values. HCL2 converts strings and numbers to each other where needed, and has a single
//! type of number.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::hcl::shortened;
use crate::hcl::tree::{Member, Value, ValueKind};

use super::{Fault, Outcome};

/// Number, stored as an integer or a float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Float(f64),
}

/// Integers up to this magnitude are exact as floats.
const EXACT_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

impl Number {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Number::Integer(number) => number as f64,
            Number::Float(number) => number,
        }
    }

    pub(super) fn compare(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Integer(one), Number::Integer(two)) => one.cmp(&two),
            _ => self.as_f64().total_cmp(&other.as_f64()),
        }
    }
}

/// Converts a number to a value; a whole number becomes an integer.
pub(super) fn from_float(number: f64) -> Outcome {
    if !number.is_finite() {
        return Err("the result is beyond what a number can be".into());
    }
    if number.fract() == 0.0 && number.abs() <= EXACT_FLOAT_MAX {
        return Ok(ValueKind::Integer(number as i64));
    }
    Ok(ValueKind::Float(number))
}

pub(super) fn from_number(number: &hcl::Number) -> Outcome {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Ok(ValueKind::Integer(whole)),
        (None, Some(float)) => from_float(float),
        (None, None) => Err("this number is beyond 64 bits".into()),
    }
}

/// Describes a value in an error.
pub(super) fn describe(value: &ValueKind) -> String {
    match value {
        ValueKind::Null => "null".to_owned(),
        ValueKind::Flag(flag) => flag.to_string(),
        ValueKind::Integer(number) => number.to_string(),
        ValueKind::Digits(digits) => digits.clone(),
        ValueKind::Float(number) => number.to_string(),
        ValueKind::Text(text) => format!("{:?}", shortened(text)),
        ValueKind::List(_) => "a list".to_owned(),
        ValueKind::Object(_) => "an object".to_owned(),
    }
}

fn refuse<T>(value: &ValueKind, what: &str, wanted: &str) -> Result<T, Fault> {
    Err(format!("{what} has to be {wanted}, and is {}", describe(value)).into())
}

pub(super) fn to_text(value: &ValueKind, what: &str) -> Result<String, Fault> {
    match value {
        ValueKind::Text(text) | ValueKind::Digits(text) => Ok(text.clone()),
        ValueKind::Integer(number) => Ok(number.to_string()),
        ValueKind::Float(number) => Ok(number.to_string()),
        ValueKind::Flag(flag) => Ok(flag.to_string()),
        _ => refuse(value, what, "a string"),
    }
}

pub(super) fn to_flag(value: &ValueKind, what: &str) -> Result<bool, Fault> {
    match value {
        ValueKind::Flag(flag) => Ok(*flag),
        ValueKind::Text(text) if text == "true" => Ok(true),
        ValueKind::Text(text) if text == "false" => Ok(false),
        _ => refuse(value, what, "true or false"),
    }
}

/// Returns the value as a number; strings that contain a number are converted.
pub(super) fn as_number(value: &ValueKind) -> Option<Number> {
    match value {
        ValueKind::Integer(number) => Some(Number::Integer(*number)),
        ValueKind::Float(number) => Some(Number::Float(*number)),
        ValueKind::Digits(text) | ValueKind::Text(text) => match text.parse::<i64>() {
            Ok(number) => Some(Number::Integer(number)),
            // Require a leading digit or minus sign: Rust's parser would accept "inf" and "nan" too.
            Err(_) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Number::Float)
            }
            Err(_) => None,
        },
        _ => None,
    }
}

pub(super) fn to_number(value: &ValueKind, what: &str) -> Result<Number, Fault> {
    as_number(value).map_or_else(|| refuse(value, what, "a number"), Ok)
}

pub(super) fn to_integer(value: &ValueKind, what: &str) -> Result<i64, Fault> {
    match as_number(value) {
        Some(Number::Integer(number)) => Ok(number),
        Some(Number::Float(number)) if number.fract() == 0.0 && number.abs() <= EXACT_FLOAT_MAX => {
            Ok(number as i64)
        }
        _ => refuse(value, what, "a whole number"),
    }
}

pub(super) fn to_list(value: ValueKind, what: &str) -> Result<Vec<Value>, Fault> {
    match value {
        ValueKind::List(items) => Ok(items),
        other => refuse(&other, what, "a list"),
    }
}

pub(super) fn to_object(value: ValueKind, what: &str) -> Result<Vec<Member>, Fault> {
    match value {
        ValueKind::Object(members) => Ok(members),
        other => refuse(&other, what, "an object"),
    }
}

/// Whether two values are equal. A number never equals a string.
pub(super) fn equal(one: &ValueKind, two: &ValueKind) -> bool {
    match (one, two) {
        (ValueKind::Integer(one), ValueKind::Float(two))
        | (ValueKind::Float(two), ValueKind::Integer(one)) => *one as f64 == *two,
        (ValueKind::Null, ValueKind::Null) => true,
        (ValueKind::Flag(one), ValueKind::Flag(two)) => one == two,
        (ValueKind::Integer(one), ValueKind::Integer(two)) => one == two,
        (ValueKind::Float(one), ValueKind::Float(two)) => one == two,
        (ValueKind::Text(one), ValueKind::Text(two)) | (ValueKind::Digits(one), ValueKind::Digits(two)) => {
            one == two
        }
        (ValueKind::List(one), ValueKind::List(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| equal(&one.kind, &two.kind))
        }
        (ValueKind::Object(one), ValueKind::Object(two)) => {
            one.len() == two.len()
                && one
                    .iter()
                    .zip(two)
                    .all(|(one, two)| one.key == two.key && equal(&one.value.kind, &two.value.kind))
        }
        _ => false,
    }
}

/// Returns a key that two values share only if they are equal.
pub(super) fn identity(value: &ValueKind) -> String {
    match value {
        // Whole numbers are stored as integers, except those too large to be exact.
        ValueKind::Float(number) => format!("{number:e}"),
        ValueKind::List(items) => {
            let items: Vec<String> = items.iter().map(|item| identity(&item.kind)).collect();
            format!("[{}]", items.join(","))
        }
        ValueKind::Object(members) => {
            let member = |member: &Member| format!("{:?}:{}", member.key, identity(&member.value.kind));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
        ValueKind::Text(text) => format!("{text:?}"),
        other => describe(other),
    }
}

/// Looks up a member. Objects have sorted members once they are evaluated.
pub(super) fn member<'v>(members: &'v [Member], name: &str) -> Option<&'v Value> {
    let at = members.binary_search_by(|member| member.key.as_str().cmp(name)).ok()?;
    Some(&members[at].value)
}

/// Sorts the members of all objects in a value and removes duplicate names; the last member of a name wins.
pub(in crate::hcl) fn normalise(value: &mut Value) {
    match &mut value.kind {
        ValueKind::List(items) => items.iter_mut().for_each(normalise),
        ValueKind::Object(members) => {
            let mut ordered: BTreeMap<String, Member> = BTreeMap::new();
            for mut member in members.drain(..) {
                normalise(&mut member.value);
                ordered.insert(member.key.clone(), member);
            }
            members.extend(ordered.into_values());
        }
        ValueKind::Float(number) => {
            if let Ok(kind) = from_float(*number) {
                value.kind = kind;
            }
        }
        _ => {}
    }
}
