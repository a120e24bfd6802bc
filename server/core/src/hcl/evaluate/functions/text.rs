//! Functions on strings.

use crate::hcl::tree::ValueKind;

use super::super::call::Call;
use super::super::{Outcome, values};
use super::{Function, at_least, between, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("upper", 1, |call| by(call, |text| text.to_uppercase())),
    exactly("lower", 1, |call| by(call, |text| text.to_lowercase())),
    exactly("title", 1, |call| by(call, title)),
    exactly("strrev", 1, |call| by(call, |text| text.chars().rev().collect())),
    exactly("trimspace", 1, |call| by(call, |text| text.trim().to_owned())),
    exactly("chomp", 1, |call| by(call, |text| text.trim_end_matches(['\r', '\n']).to_owned())),
    exactly("trim", 2, trim),
    exactly("trimprefix", 2, |call| {
        by_two(call, |text, prefix| text.strip_prefix(prefix).unwrap_or(text).to_owned())
    }),
    exactly("trimsuffix", 2, |call| {
        by_two(call, |text, suffix| text.strip_suffix(suffix).unwrap_or(text).to_owned())
    }),
    exactly("startswith", 2, |call| flag(call, |text, prefix| text.starts_with(prefix))),
    exactly("endswith", 2, |call| flag(call, |text, suffix| text.ends_with(suffix))),
    exactly("strcontains", 2, |call| flag(call, |text, part| text.contains(part))),
    exactly("strlen", 1, |call| count(call.text(0)?.chars().count())),
    exactly("substr", 3, substr),
    exactly("split", 2, split),
    at_least("join", 2, join),
    exactly("indent", 2, indent),
    exactly("basename", 1, |call| {
        by(call, |path| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned())
    }),
    exactly("dirname", 1, |call| {
        by(call, |path| match path.rsplit_once('/') {
            None => ".".to_owned(),
            Some(("", _)) => "/".to_owned(),
            Some((folder, _)) => folder.to_owned(),
        })
    }),
    exactly("tostring", 1, |call| match call.take(0) {
        ValueKind::Null => Ok(ValueKind::Null),
        value => {
            let text = values::to_text(&value, "argument 1 of `tostring`")?;
            call.made(text)
        }
    }),
    between("tobool", 1, 1, |call| match call.take(0) {
        ValueKind::Null => Ok(ValueKind::Null),
        value => Ok(ValueKind::Flag(values::to_flag(&value, "argument 1 of `tobool`")?)),
    }),
];

fn by(call: &mut Call<'_>, make: impl FnOnce(&str) -> String) -> Outcome {
    let text = call.text(0)?;
    // Charge first, so that repeated work on a long text is limited too.
    call.budget.bytes(text.len())?;
    call.made(make(&text))
}

fn by_two(call: &mut Call<'_>, make: impl FnOnce(&str, &str) -> String) -> Outcome {
    let (text, other) = (call.text(0)?, call.text(1)?);
    charge_both(call, &text, &other)?;
    call.made(make(&text, &other))
}

fn flag(call: &mut Call<'_>, holds: impl FnOnce(&str, &str) -> bool) -> Outcome {
    let (text, other) = (call.text(0)?, call.text(1)?);
    charge_both(call, &text, &other)?;
    Ok(ValueKind::Flag(holds(&text, &other)))
}

fn charge_both(call: &mut Call<'_>, text: &str, other: &str) -> Result<(), super::Fault> {
    call.budget.bytes(text.len().saturating_add(other.len()))
}

/// Size of a set of characters, bytes. The set is searched for each character of a text.
const SET_BYTES_MAX: usize = 256;

/// `trim(text, characters)`
fn trim(call: &mut Call<'_>) -> Outcome {
    let (text, set) = (call.text(0)?, call.text(1)?);
    if set.len() > SET_BYTES_MAX {
        return call.refuse(1, &format!("has {SET_BYTES_MAX} bytes at most"));
    }
    charge_both(call, &text, &set)?;
    call.budget.steps(text.len() / 16 * (1 + set.len() / 16))?;
    call.made(text.trim_matches(|c| set.contains(c)).to_owned())
}

pub(super) fn count(count: usize) -> Outcome {
    Ok(ValueKind::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
}

fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut in_word = false;
    for character in text.chars() {
        if in_word {
            titled.push(character);
        } else {
            titled.extend(character.to_uppercase());
        }
        in_word = character.is_alphanumeric() || matches!(character, '_' | '\'');
    }
    titled
}

/// `substr(text, offset, length)`: a negative offset counts from the end, a negative length takes the rest.
fn substr(call: &mut Call<'_>) -> Outcome {
    let (text, offset, length) = (call.text(0)?, call.integer(1)?, call.integer(2)?);
    call.budget.bytes(text.len())?;
    let characters = text.chars().count();
    let skipped = match usize::try_from(offset) {
        Ok(offset) => offset,
        Err(_) => characters.saturating_sub(usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let taken = usize::try_from(length).unwrap_or(usize::MAX);
    let part = text.chars().skip(skipped).take(taken).collect();
    call.made(part)
}

fn split(call: &mut Call<'_>) -> Outcome {
    let (separator, text) = (call.text(0)?, call.text(1)?);
    call.budget.bytes(text.len())?;
    let parts: Vec<String> = if separator.is_empty() {
        text.chars().map(String::from).collect()
    } else if text.is_empty() {
        Vec::new()
    } else {
        text.split(&separator).map(str::to_owned).collect()
    };
    call.budget.steps(parts.len())?;
    Ok(ValueKind::List(parts.into_iter().map(|part| call.text_value(part)).collect()))
}

/// `join(separator, list…)`
fn join(call: &mut Call<'_>) -> Outcome {
    let separator = call.text(0)?;
    let mut parts = Vec::new();
    for at in 1..call.count() {
        parts.extend(call.texts(at)?);
    }
    let separators = separator.len().saturating_mul(parts.len());
    call.budget.bytes(separators)?;
    call.made(parts.join(&separator))
}

/// `indent(spaces, text)`: indents every line but the first.
fn indent(call: &mut Call<'_>) -> Outcome {
    let (spaces, text) = (call.integer(0)?, call.text(1)?);
    let Ok(spaces) = usize::try_from(spaces) else {
        return call.refuse(0, "is below zero");
    };
    let lines = text.matches('\n').count();
    call.budget.bytes(lines.saturating_mul(spaces).saturating_add(text.len()))?;
    let blanks = " ".repeat(if lines == 0 { 0 } else { spaces });
    call.made(text.replace('\n', &format!("\n{blanks}")))
}
