//! Strings: quoted ones with escapes, heredocs, and the `${…}` in both.

use super::cursor::{Cursor, continues_word, describe_next};
use super::{Dialect, Error, expression};

/// A quoted string with its escapes resolved, from its `"` up to and with its closing one.
pub(super) fn quoted(cursor: &mut Cursor<'_>, dialect: Dialect) -> Result<String, Error> {
    let opened = cursor.position();
    cursor.take('"');
    let mut text = String::new();
    loop {
        if dialect != Dialect::Json && template(cursor, dialect, &mut text)? {
            continue;
        }
        match cursor.peek() {
            None | Some('\n') => {
                return Err(Error::at(opened, "this string is never closed: `\"` is missing on its line"));
            }
            Some('"') => {
                cursor.bump();
                return Ok(text);
            }
            Some('\\') => text.push(escape(cursor)?),
            Some(character) => {
                cursor.bump();
                text.push(character);
            }
        }
    }
}

/// The character that an escape stands for.
fn escape(cursor: &mut Cursor<'_>) -> Result<char, Error> {
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
        Some('x') => code_point(cursor, 2).ok_or_else(|| bad_escape(position))?,
        Some('U') => code_point(cursor, 8).ok_or_else(|| bad_escape(position))?,
        Some('u') => short_unicode(cursor).ok_or_else(|| bad_escape(position))?,
        _ => return Err(bad_escape(position)),
    })
}

fn bad_escape(position: super::Position) -> Error {
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

/// `\uXXXX`, and JSON's pairs of them for characters beyond 16 bits.
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

/// A heredoc: `<<MARK`, or `<<-MARK` whose common indentation is taken away.
pub(super) fn heredoc(cursor: &mut Cursor<'_>, dialect: Dialect) -> Result<String, Error> {
    let opened = cursor.position();
    cursor.take_text("<<");
    let indented = cursor.take('-');
    let mark = cursor.take_while(continues_word);
    cursor.take_while(|c| c.is_whitespace() && c != '\n');
    if mark.is_empty() || cursor.peek() != Some('\n') {
        let found = describe_next(cursor);
        return Err(Error::at(
            opened,
            format!("a mark and the end of the line have to follow `<<`, not {found}"),
        ));
    }
    cursor.bump();
    let mut lines = Vec::new();
    loop {
        if cursor.at_end() {
            let text = format!("this heredoc is never closed: a line with nothing but `{mark}` is missing");
            return Err(Error::at(opened, text));
        }
        let mut end = *cursor;
        end.take_while(|c| c == ' ' || c == '\t');
        if end.rest().lines().next().is_some_and(|line| line.trim_end() == mark) {
            end.take_text(mark);
            *cursor = end;
            break;
        }
        lines.push(*cursor);
        cursor.take_line();
    }
    let indentation = if indented { common_indentation(&lines) } else { 0 };
    let mut text = String::new();
    for mut start in lines {
        let blanks = start.rest().chars().take_while(|c| matches!(c, ' ' | '\t')).count();
        for _ in 0..indentation.min(blanks) {
            start.bump();
        }
        // A line's own cursor, so that an unclosed `${` cannot reach over the end of the heredoc.
        let position = start.position();
        let mut line = Cursor::new(start.take_line(), position);
        while !line.at_end() {
            if !template(&mut line, dialect, &mut text)? {
                text.extend(line.bump());
            }
        }
    }
    Ok(text)
}

/// The least number of blanks that lines with anything else on them begin with.
fn common_indentation(lines: &[Cursor<'_>]) -> usize {
    let indentation = |line: &Cursor<'_>| {
        let line = line.rest().lines().next().unwrap_or_default();
        let blanks = line.chars().take_while(|c| matches!(c, ' ' | '\t')).count();
        (!line.trim().is_empty()).then_some(blanks)
    };
    lines.iter().filter_map(indentation).min().unwrap_or(0)
}

/// Takes a `${…}`, or the escape for one, if it is next; whether it was.
fn template(cursor: &mut Cursor<'_>, dialect: Dialect, text: &mut String) -> Result<bool, Error> {
    let position = cursor.position();
    let verbatim = dialect != Dialect::Jobspec;
    for (escaped, plain) in [("$${", "${"), ("%%{", "%{")] {
        if cursor.take_text(escaped) {
            text.push_str(if verbatim { escaped } else { plain });
            return Ok(true);
        }
    }
    if cursor.looks_at("%{") && !verbatim {
        return Err(Error::at(
            position,
            "template directives are not supported; `%{` itself is written `%%{`",
        ));
    }
    if !cursor.take_text("${") {
        return Ok(false);
    }
    let inside = template_inside(cursor)
        .ok_or_else(|| Error::at(position, "this `${` is never closed; `${` itself is written `$${`"))?;
    if verbatim || expression::is_runtime_reference(inside.trim()) {
        let inside = if verbatim { &inside } else { inside.trim() };
        text.push_str("${");
        text.push_str(inside);
        text.push('}');
    } else {
        text.push_str(&expression::text(&inside, position)?);
    }
    Ok(true)
}

/// What stands between `${` and its `}`, quotes and braces of its own included.
fn template_inside(cursor: &mut Cursor<'_>) -> Option<String> {
    let mut inside = String::new();
    let mut open_braces = 0usize;
    let mut in_quotes = false;
    loop {
        // HCL1 writes quotes in here with a backslash, HCL2 without.
        if cursor.take_text("\\\"") {
            in_quotes = !in_quotes;
            inside.push('"');
            continue;
        }
        let character = cursor.peek().filter(|c| *c != '\n')?;
        cursor.bump();
        match character {
            '"' => in_quotes = !in_quotes,
            '{' if !in_quotes => open_braces += 1,
            '}' if !in_quotes && open_braces == 0 => return Some(inside),
            '}' if !in_quotes => open_braces -= 1,
            _ => {}
        }
        inside.push(character);
    }
}
