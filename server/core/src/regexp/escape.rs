//! Escape sequences of single characters, which are the same within and outside of classes.

use super::{BAD_ESCAPE, Malformed, TRAILING_BACKSLASH};

const CHARACTER_MAX: u32 = char::MAX as u32;

/// Reads the escape sequence at the beginning of `text`, which is a backslash. Returns the code point, which may be a
/// surrogate, and the rest.
pub(super) fn escape(text: &str) -> Result<(u32, &str), Malformed> {
    let mut rest = text[1..].chars();
    let Some(first) = rest.next() else { return Err(Malformed::new(TRAILING_BACKSLASH, "")) };
    let after = rest.as_str();
    let found = match first {
        'a' => Ok((7, after)),
        'f' => Ok((12, after)),
        'n' => Ok((10, after)),
        'r' => Ok((13, after)),
        't' => Ok((9, after)),
        'v' => Ok((11, after)),
        'x' => hexadecimal(after),
        '0' => Ok(octal(&text[1..])),
        // One digit alone would refer to a group.
        '1'..='7' if after.starts_with(|c: char| c.is_digit(8)) => Ok(octal(&text[1..])),
        _ if first.is_ascii() && !first.is_ascii_alphanumeric() => Ok((first.into(), after)),
        _ => Err(after),
    };
    found.map_err(|rest| Malformed::new(BAD_ESCAPE, &text[..text.len() - rest.len()]))
}

/// Reads up to three octal digits.
fn octal(text: &str) -> (u32, &str) {
    let length = text.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let value = text[..length].bytes().fold(0, |value, digit| value * 8 + u32::from(digit - b'0'));
    (value, &text[length..])
}

/// Reads what follows `\x`: two digits, or any number in braces. An error is the rest behind the offending character.
fn hexadecimal(text: &str) -> Result<(u32, &str), &str> {
    let mut rest = text.chars();
    let Some(digits) = text.strip_prefix('{') else {
        let (first, second) = (rest.next(), rest.next());
        let digit = |c: Option<char>| c.and_then(|c| c.to_digit(16)).ok_or(rest.as_str());
        return Ok((digit(first)? * 16 + digit(second)?, rest.as_str()));
    };
    rest = digits.chars();
    let mut value = 0;
    while let Some(c) = rest.next() {
        if c == '}' && digits.len() > rest.as_str().len() + 1 {
            return Ok((value, rest.as_str()));
        }
        value = value * 16 + c.to_digit(16).ok_or(rest.as_str())?;
        if value > CHARACTER_MAX {
            return Err(rest.as_str());
        }
    }
    Err("")
}
