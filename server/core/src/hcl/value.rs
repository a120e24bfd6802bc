//! Parses values: numbers, flags, strings, lists and objects. Anything else is an expression.

use super::cursor::{Cursor, begins_word, continues_word, describe_next};
use super::fragment::Fragment;
use super::syntax::{Key, Kind, Member, Reader, Value};
use super::tree::{Position, ValueKind};
use super::{Dialect, Error, HCL_DEPTH_MAX, scan, shortened, text};

/// Length of a whole number, bytes. Longer ones are beyond every float.
const DIGITS_MAX: usize = 300;

/// Parses a complete JSON document.
pub(super) fn document<'a>(cursor: &mut Cursor<'a>, reader: &mut Reader) -> Result<Value<'a>, Error> {
    cursor.skip_blanks(true)?;
    let value = value(cursor, reader, 0)?;
    cursor.skip_blanks(true)?;
    if cursor.at_end() { Ok(value) } else { Err(unexpected(cursor, "nothing more")) }
}

/// Parses the value at the cursor.
pub(super) fn value<'a>(
    cursor: &mut Cursor<'a>,
    reader: &mut Reader,
    depth: usize,
) -> Result<Value<'a>, Error> {
    let start = *cursor;
    let position = cursor.position();
    let kind = match cursor.peek() {
        Some('"') => text::quoted(cursor, reader.dialect)?,
        Some('<') if cursor.looks_at("<<") => text::heredoc(cursor, reader.dialect)?,
        Some('[' | '{') if reader.dialect == Dialect::Jobspec && begins_loop(*cursor)? => {
            return expression(cursor, reader.dialect);
        }
        Some('[') => list(cursor, reader, depth + 1)?,
        Some('{') => object(cursor, reader, depth + 1)?,
        Some(first) if first.is_ascii_digit() || negative_number(cursor) => {
            Kind::Plain(number(cursor, reader.dialect)?)
        }
        Some(first) if begins_word(first) => match keyword(cursor) {
            Some(kind) => Kind::Plain(kind),
            None => return expression(cursor, reader.dialect),
        },
        Some('(' | '!' | '-') => return expression(cursor, reader.dialect),
        _ => return Err(unexpected(cursor, "a value")),
    };
    if reader.dialect == Dialect::Jobspec && goes_on(cursor, &kind) {
        *cursor = start;
        return expression(cursor, reader.dialect);
    }
    Ok(Value { kind, position })
}

fn unexpected(cursor: &Cursor<'_>, wanted: &str) -> Error {
    Error::at(cursor.position(), format!("{wanted} has to stand here, not {}", describe_next(cursor)))
}

/// Parses an expression up to its end.
fn expression<'a>(cursor: &mut Cursor<'a>, dialect: Dialect) -> Result<Value<'a>, Error> {
    let position = cursor.position();
    let extent = scan::expression(cursor);
    if dialect != Dialect::Jobspec {
        let text = format!("`{}` is not a value; words stand in quotes", shortened(extent.text.trim()));
        return Err(Error::at(position, text));
    }
    Ok(Value { kind: Kind::Fragment(Fragment::expression(extent, position)), position })
}

/// Whether an operator follows, so that the parsed value is only the start of an expression.
fn goes_on(cursor: &Cursor<'_>, kind: &Kind<'_>) -> bool {
    if matches!(kind, Kind::List(_) | Kind::Object(_)) && (cursor.looks_at("[") || cursor.looks_at(".")) {
        return true;
    }
    let rest = cursor.rest().trim_start_matches([' ', '\t']);
    if rest.starts_with("//") || rest.starts_with("/*") {
        return false;
    }
    ["+", "-", "*", "/", "%", "?", "<", ">", "==", "!=", "&&", "||"].iter().any(|o| rest.starts_with(o))
}

/// Whether the bracket at the cursor starts `[for … in …]` or `{for … in …}`.
fn begins_loop(mut cursor: Cursor<'_>) -> Result<bool, Error> {
    cursor.bump();
    cursor.skip_blanks(true)?;
    if !cursor.take_text("for") || !cursor.peek().is_some_and(char::is_whitespace) {
        return Ok(false);
    }
    cursor.skip_blanks(true)?;
    Ok(cursor.peek().is_some_and(begins_word))
}

fn negative_number(cursor: &Cursor<'_>) -> bool {
    let mut characters = cursor.rest().chars();
    characters.next() == Some('-') && characters.next().is_some_and(|c| c.is_ascii_digit())
}

/// Parses `true`, `false` or `null`; leaves the cursor in place at any other word.
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

fn number(cursor: &mut Cursor<'_>, dialect: Dialect) -> Result<ValueKind, Error> {
    let position = cursor.position();
    let start = cursor.rest();
    cursor.take('-');
    if cursor.take_text("0x") || cursor.take_text("0X") {
        let digits = cursor.take_while(continues_word);
        return i64::from_str_radix(digits, 16).map(ValueKind::Integer).map_err(|_| {
            let text = format!("`0x{}` is not a hexadecimal number of 64 bits", shortened(digits));
            Error::at(position, text)
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
    let fault = |text: &str| Err(Error::at(position, format!("`{}` {text}", shortened(written))));
    if !tail.is_empty() {
        return fault("is not a number; durations and words stand in quotes");
    }
    if whole {
        match written.parse() {
            Ok(number) if dialect == Dialect::Configuration => {
                Ok(ValueKind::Integer(octal(written).unwrap_or(number)))
            }
            Ok(number) => Ok(ValueKind::Integer(number)),
            Err(_) if dialect == Dialect::Jobspec && written.len() <= DIGITS_MAX => {
                Ok(ValueKind::Digits(written.to_owned()))
            }
            Err(_) => fault("is beyond a whole number of 64 bits"),
        }
    } else {
        match written.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(ValueKind::Float(number)),
            _ => fault("is not a number"),
        }
    }
}

/// Returns the number that HCL1 reads from digits with a leading zero.
fn octal(written: &str) -> Option<i64> {
    let (sign, digits) = match written.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, written),
    };
    let digits = digits.strip_prefix('0').filter(|digits| !digits.is_empty())?;
    i64::from_str_radix(digits, 8).ok().map(|number| sign * number)
}

fn check_depth(position: Position, depth: usize) -> Result<(), Error> {
    if depth <= HCL_DEPTH_MAX {
        return Ok(());
    }
    Err(Error::at(position, format!("lists and objects are nested deeper than {HCL_DEPTH_MAX} levels")))
}

fn list<'a>(cursor: &mut Cursor<'a>, reader: &mut Reader, depth: usize) -> Result<Kind<'a>, Error> {
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
            return Ok(Kind::List(items));
        }
        items.push(value(cursor, reader, depth)?);
        let end = cursor.position();
        match separator(cursor, ']')? {
            Separator::Comma | Separator::Closing => {}
            Separator::LineEnd => reader.note_old_layout(end),
            Separator::None => return Err(unexpected(cursor, "`,` or `]`")),
        }
    }
}

fn object<'a>(cursor: &mut Cursor<'a>, reader: &mut Reader, depth: usize) -> Result<Kind<'a>, Error> {
    let opened = cursor.position();
    check_depth(opened, depth)?;
    cursor.take('{');
    let mut members: Vec<Member<'a>> = Vec::new();
    loop {
        cursor.skip_blanks(true)?;
        if cursor.at_end() {
            return Err(Error::at(opened, "this `{` is never closed: `}` is missing"));
        }
        if cursor.take('}') {
            return Ok(Kind::Object(members));
        }
        let position = cursor.position();
        let key = member_key(cursor, reader)?;
        cursor.skip_blanks(false)?;
        if !cursor.take('=') && !cursor.take(':') {
            let key = match &key {
                Key::Plain(key) => shortened(key),
                Key::Computed(_) => "the key".to_owned(),
            };
            return Err(unexpected(cursor, &format!("`=` after `{key}`")));
        }
        cursor.skip_blanks(true)?;
        let value = value(cursor, reader, depth)?;
        members.push(Member { key, position, value });
        let end = cursor.position();
        // HCL1 accepts members on one line without commas, so a missing comma is not an error.
        if separator(cursor, '}')? == Separator::None {
            reader.note_old_layout(end);
        }
    }
}

fn member_key<'a>(cursor: &mut Cursor<'a>, reader: &Reader) -> Result<Key<'a>, Error> {
    let position = cursor.position();
    match cursor.peek() {
        Some('"') => match text::quoted(cursor, reader.dialect)? {
            Kind::Plain(ValueKind::Text(key)) => Ok(Key::Plain(key)),
            kind => Ok(Key::Computed(Value { kind, position })),
        },
        Some('(') if reader.dialect == Dialect::Jobspec => {
            let extent = scan::bracketed(cursor)
                .filter(|extent| extent.text.ends_with(')'))
                .ok_or_else(|| Error::at(position, "this `(` is never closed: `)` is missing"))?;
            let kind = Kind::Fragment(Fragment::expression(extent, position));
            Ok(Key::Computed(Value { kind, position }))
        }
        // Keys may be unquoted numbers, such as ports.
        Some(first) if begins_word(first) || first.is_ascii_digit() => {
            Ok(Key::Plain(cursor.take_while(continues_word).to_owned()))
        }
        _ => Err(unexpected(cursor, "a key")),
    }
}

/// What separates two items of a list or members of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Separator {
    Comma,
    LineEnd,
    /// No separator, and the closing bracket follows.
    Closing,
    None,
}

/// Skips blanks, line breaks and one comma.
fn separator(cursor: &mut Cursor<'_>, closing: char) -> Result<Separator, Error> {
    let line = cursor.position().line;
    cursor.skip_blanks(true)?;
    Ok(if cursor.take(',') {
        Separator::Comma
    } else if cursor.at_end() || cursor.peek() == Some(closing) {
        Separator::Closing
    } else if cursor.position().line > line {
        Separator::LineEnd
    } else {
        Separator::None
    })
}
