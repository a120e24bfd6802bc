//! Escape sequences in quoted strings.

use super::Error;
use super::cursor::Cursor;
use super::tree::Position;

/// Reads the escape sequence at the cursor and returns its character.
pub(super) fn character(cursor: &mut Cursor<'_>) -> Result<char, Error> {
    let position = cursor.position();
    cursor.take('\\');
    let letter = cursor.peek();
    cursor.bump();
    Ok(match letter {
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('a') => '\u{7}',
        Some('v') => '\u{b}',
        Some(same @ ('"' | '\\' | '/')) => same,
        Some('x') => code_point(cursor, 2).ok_or_else(|| unknown(position))?,
        Some('U') => code_point(cursor, 8).ok_or_else(|| unknown(position))?,
        Some('u') => short_unicode(cursor).ok_or_else(|| unknown(position))?,
        _ => return Err(unknown(position)),
    })
}

fn unknown(position: Position) -> Error {
    Error::at(position, "this escape is not known; a backslash itself is written `\\\\`")
}

fn hexadecimal(cursor: &mut Cursor<'_>, digits: usize) -> Option<u32> {
    let text = cursor.rest().get(..digits)?;
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    cursor.take_text(text);
    u32::from_str_radix(text, 16).ok()
}

fn code_point(cursor: &mut Cursor<'_>, digits: usize) -> Option<char> {
    char::from_u32(hexadecimal(cursor, digits)?)
}

/// Reads `\uXXXX`, or a surrogate pair of these as in JSON.
fn short_unicode(cursor: &mut Cursor<'_>) -> Option<char> {
    let first = hexadecimal(cursor, 4)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    if !cursor.take_text("\\u") {
        return None;
    }
    let second = hexadecimal(cursor, 4)?;
    if !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}
