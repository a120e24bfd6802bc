//! Functions that encode, decode and hash.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use serde_json::Value as Json;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use std::collections::BTreeMap;
use std::fmt::Write;

use crate::hcl::shortened;
use crate::hcl::tree::{Value, ValueKind};

use super::super::call::Call;
use super::super::{Fault, Outcome, values};
use super::{Function, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("jsonencode", 1, |call| {
        let kind = call.take(0);
        call.budget.copy(&kind)?;
        let text = go_json(&call.value(kind));
        call.made(text)
    }),
    exactly("jsondecode", 1, |call| {
        let text = call.text(0)?;
        call.budget.steps(text.len())?;
        call.budget.bytes(text.len())?;
        match serde_json::from_str::<Json>(&text) {
            Ok(json) => from_json(call, json),
            Err(error) => call.refuse(0, &format!("is not JSON: {error}")),
        }
    }),
    exactly("csvdecode", 1, |call| {
        let text = call.text(0)?;
        call.budget.steps(text.len())?;
        csv_rows(call, &text)
    }),
    exactly("base64encode", 1, |call| {
        let text = call.text(0)?;
        call.made(STANDARD.encode(text))
    }),
    exactly("base64decode", 1, |call| {
        let text = call.text(0)?;
        match STANDARD.decode(text).map(String::from_utf8) {
            Ok(Ok(text)) => call.made(text),
            Ok(Err(_)) => call.refuse(0, "holds bytes that are no text"),
            Err(error) => call.refuse(0, &format!("is not base64: {error}")),
        }
    }),
    exactly("urlencode", 1, |call| {
        let text = call.text(0)?;
        call.made(urlencode(&text))
    }),
    exactly("md5", 1, |call| {
        let text = call.text(0)?;
        digest::<Md5>(call, &text)
    }),
    exactly("sha1", 1, |call| {
        let text = call.text(0)?;
        digest::<Sha1>(call, &text)
    }),
    exactly("sha256", 1, |call| {
        let text = call.text(0)?;
        digest::<Sha256>(call, &text)
    }),
    exactly("sha512", 1, |call| {
        let text = call.text(0)?;
        digest::<Sha512>(call, &text)
    }),
];

/// Writes a value as JSON with the escapes that Go sets, so that digests of it are those that Nomad computes.
pub(super) fn go_json(value: &Value) -> String {
    let text = value.to_json().to_string();
    let escaped = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
    if !text.contains(escaped) {
        return text;
    }
    let mut made = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match escaped(character) {
            // Writing to a `String` cannot fail.
            true => _ = write!(made, "\\u{:04x}", u32::from(character)),
            false => made.push(character),
        }
    }
    made
}

/// Returns an object for each row of a CSV text, whose first row names the columns.
fn csv_rows(call: &mut Call<'_>, text: &str) -> Outcome {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names: Vec<String> = match reader.headers() {
        Ok(names) => names.iter().map(str::to_owned).collect(),
        Err(error) => return call.refuse(0, &format!("is not CSV: {error}")),
    };
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => return call.refuse(0, &format!("is not CSV: {error}")),
        };
        call.budget.steps(1 + names.len())?;
        let mut members = BTreeMap::new();
        for (name, field) in names.iter().zip(&row) {
            call.budget.bytes(name.len() + field.len())?;
            if members.insert(name.clone(), ValueKind::Text(field.to_owned())).is_some() {
                return call.refuse(0, &format!("has two columns named `{}`", shortened(name)));
            }
        }
        let members = members.into_iter().map(|(name, kind)| call.member(name, kind)).collect();
        rows.push(call.value(ValueKind::Object(members)));
    }
    Ok(ValueKind::List(rows))
}

fn digest<D: Digest>(call: &mut Call<'_>, text: &str) -> Outcome {
    call.budget.bytes(text.len())?;
    let mut hexadecimal = String::new();
    for byte in D::digest(text.as_bytes()) {
        // Writing to a `String` cannot fail.
        let _ = write!(hexadecimal, "{byte:02x}");
    }
    call.made(hexadecimal)
}

/// Encodes a URL query component; a space becomes `+`.
fn urlencode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            b' ' => encoded.push('+'),
            other => _ = write!(encoded, "%{other:02X}"),
        }
    }
    encoded
}

fn from_json(call: &Call<'_>, json: Json) -> Outcome {
    Ok(match json {
        Json::Null => ValueKind::Null,
        Json::Bool(flag) => ValueKind::Flag(flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => ValueKind::Integer(whole),
            (None, float) => values::from_float(float.unwrap_or(f64::INFINITY))?,
        },
        Json::String(text) => ValueKind::Text(text),
        Json::Array(items) => {
            let item = |item| Ok(call.value(from_json(call, item)?));
            ValueKind::List(items.into_iter().map(item).collect::<Result<_, Fault>>()?)
        }
        Json::Object(members) => {
            let mut members: Vec<(String, Json)> = members.into_iter().collect();
            members.sort_by(|one, two| one.0.cmp(&two.0));
            let member = |(key, value)| Ok(call.member(key, from_json(call, value)?));
            ValueKind::Object(members.into_iter().map(member).collect::<Result<_, Fault>>()?)
        }
    })
}
