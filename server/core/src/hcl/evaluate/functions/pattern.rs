//! Regular expression functions, and `replace`, which takes its pattern literally.

use regex::{Regex, RegexBuilder};

use crate::hcl::shortened;
use crate::hcl::tree::ValueKind;

use super::super::call::Call;
use super::super::{Fault, Outcome};
use super::{Function, exactly};

pub(super) const TABLE: &[Function] = &[
    exactly("replace", 3, replace),
    exactly("regex_replace", 3, |call| {
        let (text, pattern, by) = (call.text(0)?, call.text(1)?, call.text(2)?);
        replace_matches(call, &text, &pattern, &by)
    }),
    exactly("regex", 2, regex),
    exactly("regexall", 2, regexall),
];

/// Length of a pattern, bytes.
const PATTERN_BYTES_MAX: usize = 1024;
/// Memory of a compiled pattern, bytes. Nested repetitions multiply it.
const PATTERN_SIZE_MAX: usize = 1 << 18;
/// Steps charged for compiling a pattern.
const STEPS_TO_COMPILE: usize = 16_384;
/// Steps charged for each byte searched: the matcher may follow many alternatives at once.
const STEPS_A_BYTE: usize = 32;

fn compile(call: &mut Call<'_>, pattern: &str, text: &str) -> Result<Regex, Fault> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("a regular expression has {PATTERN_BYTES_MAX} bytes at most").into());
    }
    call.budget.steps(STEPS_TO_COMPILE)?;
    call.budget.steps(text.len().saturating_mul(STEPS_A_BYTE))?;
    RegexBuilder::new(pattern).size_limit(PATTERN_SIZE_MAX).build().map_err(|error| {
        let cause = error.to_string();
        let cause = cause.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("`{}` is no regular expression: {cause}", shortened(pattern)).into()
    })
}

fn replace(call: &mut Call<'_>) -> Outcome {
    let (text, part, by) = (call.text(0)?, call.text(1)?, call.text(2)?);
    call.budget.bytes(text.len())?;
    let found = if part.is_empty() { text.len() + 1 } else { text.matches(&part).count() };
    call.budget.bytes(found.saturating_mul(by.len()))?;
    call.made(text.replace(&part, &by))
}

/// Replaces all matches; `$1` and `${name}` in `by` refer to capture groups.
fn replace_matches(call: &mut Call<'_>, text: &str, pattern: &str, by: &str) -> Outcome {
    let pattern = compile(call, pattern, text)?;
    let mut made = String::new();
    let mut end = 0;
    for captures in pattern.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        let before = made.len();
        made.push_str(&text[end..whole.start()]);
        captures.expand(by, &mut made);
        call.budget.bytes(made.len() - before)?;
        end = whole.end();
    }
    made.push_str(&text[end..]);
    call.made(made)
}

fn regex(call: &mut Call<'_>) -> Outcome {
    let (pattern, text) = (call.text(0)?, call.text(1)?);
    let compiled = compile(call, &pattern, &text)?;
    match compiled.captures(&text) {
        Some(captures) => found(call, &compiled, &captures),
        None => Err(format!("`{}` is not found in the text", shortened(&pattern)).into()),
    }
}

fn regexall(call: &mut Call<'_>) -> Outcome {
    let (pattern, text) = (call.text(0)?, call.text(1)?);
    let compiled = compile(call, &pattern, &text)?;
    let mut all = Vec::new();
    for captures in compiled.captures_iter(&text) {
        let kind = found(call, &compiled, &captures)?;
        all.push(call.value(kind));
    }
    Ok(ValueKind::List(all))
}

/// Returns the matched text; for a pattern with groups a list of their captures, with named groups an object.
fn found(call: &mut Call<'_>, pattern: &Regex, captures: &regex::Captures<'_>) -> Outcome {
    let kind = |found: Option<regex::Match<'_>>| match found {
        Some(found) => ValueKind::Text(found.as_str().to_owned()),
        None => ValueKind::Null,
    };
    if let Some(whole) = captures.get(0) {
        // Groups nest, so each may capture the whole match.
        call.budget.bytes(whole.len().saturating_mul(captures.len()))?;
        call.budget.steps(captures.len())?;
    }
    if captures.len() == 1 {
        return Ok(kind(captures.get(0)));
    }
    let mut names: Vec<&str> = pattern.capture_names().flatten().collect();
    if names.is_empty() {
        let groups = captures.iter().skip(1);
        return Ok(ValueKind::List(groups.map(|group| call.value(kind(group))).collect()));
    }
    names.sort_unstable();
    let member = |name: &&str| call.member((*name).to_owned(), kind(captures.name(name)));
    Ok(ValueKind::Object(names.iter().map(member).collect()))
}
