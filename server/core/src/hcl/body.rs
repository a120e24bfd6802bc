//! Parses bodies: attributes and blocks in any order, on one or many lines, with or without commas.

use super::cursor::{Cursor, begins_word, continues_word, describe_next};
use super::syntax::{Attribute, Block, Body, Entry, Reader};
use super::tree::{Label, Position};
use super::{Error, HCL_DEPTH_MAX, shortened, text, value};

/// Parses the body that is the whole document.
pub(super) fn document<'a>(cursor: &mut Cursor<'a>, reader: &mut Reader) -> Result<Body<'a>, Error> {
    let position = cursor.position();
    let mut entries = Vec::new();
    let mut last_line = 0;
    loop {
        cursor.skip_blanks(true)?;
        if cursor.at_end() {
            return Ok(Body { entries, position });
        }
        if cursor.peek() == Some('}') {
            return Err(Error::at(cursor.position(), "this `}` closes nothing"));
        }
        if cursor.position().line == last_line {
            reader.note_old_layout(cursor.position());
        }
        entries.push(entry(cursor, reader, 0)?);
        last_line = cursor.position().line;
    }
}

/// Parses the body of a block, whose `{` was consumed already, including its `}`.
fn braced<'a>(
    cursor: &mut Cursor<'a>,
    opened: Position,
    reader: &mut Reader,
    depth: usize,
) -> Result<Body<'a>, Error> {
    if depth > HCL_DEPTH_MAX {
        return Err(Error::at(opened, format!("blocks are nested deeper than {HCL_DEPTH_MAX} levels")));
    }
    let mut entries = Vec::new();
    let mut last_line = opened.line;
    loop {
        cursor.skip_blanks(true)?;
        let here = cursor.position();
        if cursor.at_end() {
            return Err(Error::at(opened, "this `{` is never closed: `}` is missing"));
        }
        if cursor.take('}') {
            // HCL2 allows a block on one line only if it contains nothing but one attribute.
            let on_one_line = here.line == opened.line && matches!(entries[..], [Entry::Attribute(_)]);
            let first_line = entries.first().map(|entry: &Entry<'_>| entry.position().line);
            let begins_late = first_line.is_some_and(|line| line == opened.line);
            let ends_early = !entries.is_empty() && here.line == last_line;
            if (begins_late || ends_early) && !on_one_line {
                reader.note_old_layout(here);
            }
            return Ok(Body { entries, position: opened });
        }
        if !entries.is_empty() && here.line == last_line {
            reader.note_old_layout(here);
        }
        entries.push(entry(cursor, reader, depth)?);
        last_line = cursor.position().line;
        cursor.skip_blanks(true)?;
        let comma = cursor.position();
        if cursor.take(',') {
            reader.note_old_layout(comma);
        }
    }
}

fn entry<'a>(cursor: &mut Cursor<'a>, reader: &mut Reader, depth: usize) -> Result<Entry<'a>, Error> {
    let position = cursor.position();
    let quoted = cursor.peek() == Some('"');
    let Some(key) = word(cursor)? else {
        let found = describe_next(cursor);
        return Err(Error::at(position, format!("a key or a block has to stand here, not {found}")));
    };
    cursor.skip_blanks(false)?;
    if cursor.take('=') {
        let line = cursor.position().line;
        // Strictly, a value must begin on the line of its `=`, but a line break here has no other plausible meaning.
        cursor.skip_blanks(true)?;
        if quoted || cursor.position().line > line {
            reader.note_old_layout(position);
        }
        let value = value::value(cursor, reader, depth)?;
        return Ok(Entry::Attribute(Attribute { key, position, value }));
    }
    let mut labels = Vec::new();
    loop {
        let at = cursor.position();
        if cursor.take('{') {
            let body = braced(cursor, at, reader, depth + 1)?;
            return Ok(Entry::Block(Block { kind: key, labels, body, position }));
        }
        let Some(text) = word(cursor)? else {
            let found = describe_next(cursor);
            let wanted = if labels.is_empty() { "`=` or `{`" } else { "`{`" };
            let text = format!("{wanted} has to follow `{}`, not {found}", shortened(&key));
            return Err(Error::at(at, text));
        };
        labels.push(Label { text, position: at });
        cursor.skip_blanks(false)?;
    }
}

/// Parses a key or label, bare or quoted. Returns `None` if neither begins here.
fn word(cursor: &mut Cursor<'_>) -> Result<Option<String>, Error> {
    match cursor.peek() {
        Some('"') => text::verbatim(cursor).map(Some),
        Some(first) if begins_word(first) => Ok(Some(cursor.take_while(continues_word).to_owned())),
        _ => Ok(None),
    }
}
