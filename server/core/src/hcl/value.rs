//! Values: numbers, flags, strings, lists and objects; anything else goes to the evaluator.

use super::cursor::{Cursor, begins_word, continues_word, describe_next};
use super::tree::{Member, Position, Value, ValueKind};
use super::{Dialect, Error, HCL_DEPTH_MAX, expression, text};

/// The value that is a whole JSON document.
pub(super) fn document(cursor: &mut Cursor<'_>) -> Result<Value, Error> {
    cursor.take_while(char::is_whitespace);
    let value = value(cursor, Dialect::Json, 0)?;
    cursor.take_while(char::is_whitespace);
    if cursor.at_end() { Ok(value) } else { Err(unexpected(cursor, "nothing more")) }
}

/// A value of any kind, beginning at the cursor.
pub(super) fn value(cursor: &mut Cursor<'_>, dialect: Dialect, depth: usize) -> Result<Value, Error> {
    let start = *cursor;
    let position = cursor.position();
    let kind = match cursor.peek() {
        Some('"') => ValueKind::Text(text::quoted(cursor, dialect)?),
        Some('<') if cursor.looks_at("<<") => ValueKind::Text(text::heredoc(cursor, dialect)?),
        Some('[') => list(cursor, dialect, depth + 1)?,
        Some('{') => object(cursor, dialect, depth + 1)?,
        Some(first) if first.is_ascii_digit() || negative_number(cursor) => number(cursor)?,
        Some(first) if begins_word(first) => match keyword(cursor) {
            Some(kind) => kind,
            None => return expression::value(cursor, dialect),
        },
        Some('(' | '!' | '-') => return expression::value(cursor, dialect),
        _ => return Err(unexpected(cursor, "a value")),
    };
    if dialect == Dialect::Jobspec && expression::goes_on(cursor) {
        *cursor = start;
        return expression::value(cursor, dialect);
    }
    Ok(Value { kind, position })
}

fn unexpected(cursor: &Cursor<'_>, wanted: &str) -> Error {
    Error::at(cursor.position(), format!("{wanted} has to stand here, not {}", describe_next(cursor)))
}

fn negative_number(cursor: &Cursor<'_>) -> bool {
    let mut characters = cursor.rest().chars();
    characters.next() == Some('-') && characters.next().is_some_and(|c| c.is_ascii_digit())
}

/// `true`, `false` and `null`; the cursor stays where it is if it is another word.
fn keyword(cursor: &mut Cursor<'_>) -> Option<ValueKind> {
    let mut ahead = *cursor;
    let kind = match ahead.take_while(continues_word) {
        "true" => ValueKind::Flag(true),
        "false" => ValueKind::Flag(false),
        "null" => ValueKind::Null,
        _ => return None,
    };
    *cursor = ahead;
    Some(kind)
}

fn number(cursor: &mut Cursor<'_>) -> Result<ValueKind, Error> {
    let position = cursor.position();
    let start = cursor.rest();
    cursor.take('-');
    if cursor.take_text("0x") || cursor.take_text("0X") {
        let digits = cursor.take_while(continues_word);
        return i64::from_str_radix(digits, 16).map(ValueKind::Integer).map_err(|_| {
            Error::at(position, format!("`0x{digits}` is not a hexadecimal number of 64 bits"))
        });
    }
    cursor.take_while(|c| c.is_ascii_digit());
    let mut whole = true;
    if cursor.looks_at(".") {
        whole = false;
        cursor.take('.');
        cursor.take_while(|c| c.is_ascii_digit());
    }
    if cursor.looks_at("e") || cursor.looks_at("E") {
        whole = false;
        cursor.bump();
        let _ = cursor.take('+') || cursor.take('-');
        cursor.take_while(|c| c.is_ascii_digit());
    }
    let tail = cursor.take_while(continues_word);
    let written = &start[..start.len() - cursor.rest().len()];
    let fault = |text: String| Err(Error::at(position, text));
    if !tail.is_empty() {
        return fault(format!("`{written}` is not a number; durations and words stand in quotes"));
    }
    if whole {
        match written.parse() {
            Ok(number) => Ok(ValueKind::Integer(number)),
            Err(_) => fault(format!("`{written}` is beyond a whole number of 64 bits")),
        }
    } else {
        match written.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(ValueKind::Float(number)),
            _ => fault(format!("`{written}` is not a number")),
        }
    }
}

fn check_depth(position: Position, depth: usize) -> Result<(), Error> {
    if depth <= HCL_DEPTH_MAX {
        return Ok(());
    }
    Err(Error::at(position, format!("lists and objects are nested deeper than {HCL_DEPTH_MAX} levels")))
}

fn list(cursor: &mut Cursor<'_>, dialect: Dialect, depth: usize) -> Result<ValueKind, Error> {
    let opened = cursor.position();
    check_depth(opened, depth)?;
    cursor.take('[');
    let mut items = Vec::new();
    loop {
        cursor.skip_blanks(true)?;
        if cursor.at_end() {
            return Err(Error::at(opened, "this `[` is never closed: `]` is missing"));
        }
        if cursor.take(']') {
            return Ok(ValueKind::List(items));
        }
        items.push(value(cursor, dialect, depth)?);
        if !separator(cursor, ']')? {
            return Err(unexpected(cursor, "`,` or `]`"));
        }
    }
}

fn object(cursor: &mut Cursor<'_>, dialect: Dialect, depth: usize) -> Result<ValueKind, Error> {
    let opened = cursor.position();
    check_depth(opened, depth)?;
    cursor.take('{');
    let mut members: Vec<Member> = Vec::new();
    loop {
        cursor.skip_blanks(true)?;
        if cursor.at_end() {
            return Err(Error::at(opened, "this `{` is never closed: `}` is missing"));
        }
        if cursor.take('}') {
            return Ok(ValueKind::Object(members));
        }
        let position = cursor.position();
        let key = member_key(cursor)?;
        cursor.skip_blanks(false)?;
        if !cursor.take('=') && !cursor.take(':') {
            return Err(unexpected(cursor, &format!("`=` after `{key}`")));
        }
        cursor.skip_blanks(true)?;
        let value = value(cursor, dialect, depth)?;
        members.push(Member { key, position, value });
        // HCL1 takes members that follow each other on one line, so a missing comma is no fault here.
        separator(cursor, '}')?;
    }
}

fn member_key(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    match cursor.peek() {
        Some('"') => text::quoted(cursor, Dialect::Configuration),
        // Ports and other numbers are written as keys without quotes.
        Some(first) if begins_word(first) || first.is_ascii_digit() => {
            Ok(cursor.take_while(continues_word).to_owned())
        }
        _ => Err(unexpected(cursor, "a key")),
    }
}

/// Skips blanks, line breaks and one comma. Whether a comma, a line break or the closing bracket was there.
fn separator(cursor: &mut Cursor<'_>, closing: char) -> Result<bool, Error> {
    let line = cursor.position().line;
    cursor.skip_blanks(true)?;
    let comma = cursor.take(',');
    Ok(comma || cursor.at_end() || cursor.peek() == Some(closing) || cursor.position().line > line)
}
