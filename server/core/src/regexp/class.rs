//! Character classes: `[…]`, `\d`, `\pN`, `[:alpha:]`.

use std::fmt::Write as _;

use super::escape::escape;
use super::{CLASS_RANGE, Malformed, NO_BRACKET};

/// Names of the POSIX classes. All contain ASCII characters only.
const POSIX_NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Unicode's general categories. All other names are those of scripts.
const CATEGORIES: [&str; 38] = [
    "Any", "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd",
    "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp",
    "Zs", "ASCII",
];

/// A class that no character is in.
pub(super) const NONE: &str = "[a&&b]";

const SURROGATES: std::ops::RangeInclusive<u32> = 0xD800..=0xDFFF;

/// Translates the bracketed class at the beginning of `text`. Returns the rest.
pub(super) fn bracketed(text: &str) -> Result<(String, &str), Malformed> {
    let mut class = "[".to_owned();
    let mut rest = &text[1..];
    if let Some(after) = rest.strip_prefix('^') {
        class.push('^');
        rest = after;
    }
    let empty_len = class.len();
    let start = rest;
    // A bracket in the first place is an item.
    while !rest.starts_with(']') || rest.len() == start.len() {
        rest = match item(rest)? {
            Some((item, after)) => {
                class.push_str(&item);
                after
            }
            None => range(&mut class, rest, text)?,
        };
    }
    if class.len() == empty_len {
        // Nothing but surrogates.
        class.push_str("a&&b");
    }
    class.push(']');
    Ok((class, &rest[1..]))
}

/// Reads a class within brackets.
fn item(text: &str) -> Result<Option<(String, &str)>, Malformed> {
    if let Some(inner) = text.strip_prefix("[:")
        && let Some((name, after)) = inner.split_once(":]")
    {
        if POSIX_NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Ok(Some((format!("[:{name}:]"), after)));
        }
        return Err(Malformed::new(CLASS_RANGE, &format!("[:{name}:]")));
    }
    escaped(text)
}

/// Translates a class that is written as an escape sequence, such as `\d` or `\p{Greek}`, if `text` begins with one.
/// The result is valid both within and outside of brackets.
pub(super) fn escaped(text: &str) -> Result<Option<(String, &str)>, Malformed> {
    let Some(after) = text.strip_prefix('\\') else { return Ok(None) };
    let mut rest = after.chars();
    let class = match rest.next() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\t\n\f\r\x20]",
        Some('S') => r"[^\t\n\f\r\x20]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some('p') => return unicode(text, false).map(Some),
        Some('P') => return unicode(text, true).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((class.to_owned(), rest.as_str())))
}

/// Translates a class by category or script: `\pN`, `\p{Greek}`, `\P{^Greek}`.
fn unicode(text: &str, mut is_negated: bool) -> Result<(String, &str), Malformed> {
    let mut rest = text[2..].chars();
    let (mut name, rest) = match rest.next() {
        Some('{') => rest.as_str().split_once('}').ok_or_else(|| Malformed::new(CLASS_RANGE, text))?,
        Some(c) => text[2..].split_at(c.len_utf8()),
        None => ("", ""),
    };
    let whole = &text[..text.len() - rest.len()];
    if let Some(positive) = name.strip_prefix('^') {
        (name, is_negated) = (positive, !is_negated);
    }
    let sign = if is_negated { "^" } else { "" };
    let class = match name {
        // Not all of `regex`'s category of the same name: it has the unassigned code points too.
        "C" => format!(r"[{sign}\p{{Cc}}\p{{Cf}}\p{{Co}}]"),
        "Cs" => format!("[{sign}a&&b]"),
        _ if CATEGORIES.contains(&name) => format!(r"[{sign}\p{{{name}}}]"),
        // No script's name has one letter.
        _ if name.len() > 1 && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') => {
            format!(r"[{sign}\p{{Script={name}}}]")
        }
        _ => return Err(Malformed::new(CLASS_RANGE, whole)),
    };
    Ok((class, rest))
}

/// Adds a character or a range to the class. `whole` is the text from the class's beginning on.
fn range<'t>(class: &mut String, text: &'t str, whole: &str) -> Result<&'t str, Malformed> {
    let (first, mut rest) = character(text, whole)?;
    let mut last = first;
    // A dash before the closing bracket stands for itself.
    if let Some(after) = rest.strip_prefix('-')
        && !after.is_empty()
        && !after.starts_with(']')
    {
        (last, rest) = character(after, whole)?;
        if last < first {
            return Err(Malformed::new(CLASS_RANGE, &text[..text.len() - rest.len()]));
        }
    }
    // No text contains surrogates, and `regex` does not take them.
    let first = if SURROGATES.contains(&first) { SURROGATES.end() + 1 } else { first };
    let last = if SURROGATES.contains(&last) { SURROGATES.start() - 1 } else { last };
    if first == last {
        let _ = write!(class, r"\x{{{first:x}}}");
    } else if first < last {
        let _ = write!(class, r"\x{{{first:x}}}-\x{{{last:x}}}");
    }
    Ok(rest)
}

fn character<'t>(text: &'t str, whole: &str) -> Result<(u32, &'t str), Malformed> {
    let mut rest = text.chars();
    match rest.next() {
        None => Err(Malformed::new(NO_BRACKET, whole)),
        Some('\\') => escape(text),
        Some(c) => Ok((c.into(), rest.as_str())),
    }
}
