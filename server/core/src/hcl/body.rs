//! Bodies: attributes and blocks in any order, on one line or many, with or without commas.

use super::cursor::{Cursor, begins_word, continues_word, describe_next};
use super::tree::{Attribute, Block, Body, Entry, Label, Position};
use super::{Dialect, Error, HCL_DEPTH_MAX, text, value};

/// The body that is the whole document.
pub(super) fn document(cursor: &mut Cursor<'_>, dialect: Dialect) -> Result<Body, Error> {
    let position = cursor.position();
    let mut entries = Vec::new();
    loop {
        cursor.skip_blanks(true)?;
        if cursor.at_end() {
            return Ok(Body { entries, position });
        }
        if cursor.peek() == Some('}') {
            return Err(Error::at(cursor.position(), "this `}` closes nothing"));
        }
        entries.push(entry(cursor, dialect, 0)?);
    }
}

/// The body of a block, from behind its `{` up to and with its `}`.
fn braced(cursor: &mut Cursor<'_>, opened: Position, dialect: Dialect, depth: usize) -> Result<Body, Error> {
    if depth > HCL_DEPTH_MAX {
        return Err(Error::at(opened, format!("blocks are nested deeper than {HCL_DEPTH_MAX} levels")));
    }
    let mut entries = Vec::new();
    loop {
        cursor.skip_blanks(true)?;
        if cursor.at_end() {
            return Err(Error::at(opened, "this `{` is never closed: `}` is missing"));
        }
        if cursor.take('}') {
            return Ok(Body { entries, position: opened });
        }
        entries.push(entry(cursor, dialect, depth)?);
        cursor.skip_blanks(true)?;
        cursor.take(',');
    }
}

fn entry(cursor: &mut Cursor<'_>, dialect: Dialect, depth: usize) -> Result<Entry, Error> {
    let position = cursor.position();
    let Some(key) = word(cursor)? else {
        let found = describe_next(cursor);
        return Err(Error::at(position, format!("a key or a block has to stand here, not {found}")));
    };
    cursor.skip_blanks(false)?;
    if cursor.take('=') {
        // The value may begin on the next line only inside of its own brackets, but an author who
        // breaks the line here means nothing else.
        cursor.skip_blanks(true)?;
        let value = value::value(cursor, dialect, depth)?;
        return Ok(Entry::Attribute(Attribute { key, position, value }));
    }
    let mut labels = Vec::new();
    loop {
        let at = cursor.position();
        if cursor.take('{') {
            let body = braced(cursor, at, dialect, depth + 1)?;
            return Ok(Entry::Block(Block { kind: key, labels, body, position }));
        }
        let Some(text) = word(cursor)? else {
            let found = describe_next(cursor);
            let wanted = if labels.is_empty() { "`=` or `{`" } else { "`{`" };
            return Err(Error::at(at, format!("{wanted} has to follow `{key}`, not {found}")));
        };
        labels.push(Label { text, position: at });
        cursor.skip_blanks(false)?;
    }
}

/// A key or label, bare or quoted; nothing if neither begins here.
fn word(cursor: &mut Cursor<'_>) -> Result<Option<String>, Error> {
    match cursor.peek() {
        Some('"') => text::quoted(cursor, Dialect::Configuration).map(Some),
        Some(first) if begins_word(first) => Ok(Some(cursor.take_while(continues_word).to_owned())),
        _ => Ok(None),
    }
}
