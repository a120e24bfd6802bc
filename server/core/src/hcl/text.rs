//! Strings: quoted strings with escapes, heredocs, and `${…}` in both.

use super::cursor::{Cursor, continues_word, describe_next};
use super::fragment::Fragment;
use super::scan::{self, Extent, Nesting};
use super::syntax::{Kind, Piece};
use super::tree::{Position, ValueKind};
use super::{Dialect, Error, escape};

/// A partly parsed string.
#[derive(Default)]
struct Pieces<'a> {
    done: Vec<Piece<'a>>,
    text: String,
    /// Upper bound of object members, see [`Extent`].
    members: usize,
    nesting: Nesting,
    /// Whether it contains a `%{…}` or a `~`, so that it must be parsed as one template.
    is_template: bool,
}

impl<'a> Pieces<'a> {
    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Piece::Text(std::mem::take(&mut self.text)));
        }
    }

    /// Returns the whole source text as a template.
    fn template<'t>(&self, text: &'t str, position: Position) -> Result<Extent<'t>, Error> {
        if self.nesting.has_open_directive() {
            let text = "a `%{ if … }` or `%{ for … }` in this text is never ended: `%{ endif }` or `%{ endfor }` \
                        is missing; `%{` itself is written `%%{`";
            return Err(Error::at(position, text));
        }
        let (members, depth) = (self.members, self.nesting.deepest());
        Ok(Extent { text, members, depth, escaped_quotes: false })
    }

    fn into_kind(mut self) -> Kind<'a> {
        if self.done.is_empty() {
            return Kind::Plain(ValueKind::Text(self.text));
        }
        self.flush();
        Kind::Pieces(self.done)
    }
}

/// Parses a quoted string, including both quotes.
pub(super) fn quoted<'a>(cursor: &mut Cursor<'a>, dialect: Dialect) -> Result<Kind<'a>, Error> {
    let start = *cursor;
    cursor.take('"');
    let mut pieces = Pieces::default();
    loop {
        let found = match dialect {
            Dialect::Jobspec => template(cursor, &mut pieces)?,
            Dialect::Configuration => verbatim_template(cursor, &mut pieces.text)?,
            Dialect::Json => false,
        };
        if found {
            continue;
        }
        match cursor.peek() {
            None | Some('\n') => return Err(never_closed(start.position())),
            Some('"') => {
                cursor.bump();
                break;
            }
            Some('\\') => pieces.text.push(escape::character(cursor)?),
            Some(character) => {
                cursor.bump();
                pieces.text.push(character);
            }
        }
    }
    if !pieces.is_template {
        return Ok(pieces.into_kind());
    }
    let text = &start.rest()[..start.rest().len() - cursor.rest().len()];
    let extent = pieces.template(text, start.position())?;
    Ok(Kind::Fragment(Fragment::expression(extent, start.position())))
}

/// Parses a quoted string; resolves escapes but evaluates nothing.
pub(super) fn verbatim(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    match quoted(cursor, Dialect::Configuration)? {
        Kind::Plain(ValueKind::Text(text)) => Ok(text),
        _ => Err(never_closed(cursor.position())),
    }
}

fn never_closed(position: Position) -> Error {
    Error::at(position, "this string is never closed: `\"` is missing on its line")
}

/// Parses a heredoc: `<<MARK`, or `<<-MARK`, which removes the common indentation. The dialects differ in what that is.
pub(super) fn heredoc<'a>(cursor: &mut Cursor<'a>, dialect: Dialect) -> Result<Kind<'a>, Error> {
    let opened = cursor.position();
    cursor.take_text("<<");
    let indented = cursor.take('-');
    let mark = cursor.take_while(continues_word);
    cursor.take_while(|c| c.is_whitespace() && c != '\n');
    if mark.is_empty() || cursor.peek() != Some('\n') {
        let found = describe_next(cursor);
        let text = format!("a mark and the end of the line have to follow `<<`, not {found}");
        return Err(Error::at(opened, text));
    }
    cursor.bump();
    let start = *cursor;
    let (text, before_mark) = loop {
        if cursor.at_end() {
            let text = format!(
                "this heredoc is never closed: a line with nothing but `{}` is missing",
                super::shortened(mark)
            );
            return Err(Error::at(opened, text));
        }
        if cursor.rest().lines().next().is_some_and(|line| line.trim() == mark) {
            let text = &start.rest()[..start.rest().len() - cursor.rest().len()];
            let before_mark = cursor.take_while(|c| c.is_whitespace() && c != '\n');
            cursor.take_text(mark);
            break (text, before_mark);
        }
        cursor.take_line();
    };
    if dialect == Dialect::Configuration {
        return Ok(Kind::Plain(ValueKind::Text(of_hcl1(text, before_mark, indented))));
    }
    let indentation = if indented { common_indentation(text) } else { 0 };
    if indentation == 0 {
        return inside_heredoc(text, start.position(), dialect);
    }
    let dedented: String = text.split_inclusive('\n').map(|line| without(line, indentation)).collect();
    let columns = u32::try_from(indentation).unwrap_or(u32::MAX);
    let moved = |mut error: Error| {
        error.column = error.column.saturating_add(columns);
        error
    };
    let kind = inside_heredoc(&dedented, start.position(), dialect).map_err(moved)?;
    Ok(into_owned(kind, columns))
}

/// Returns the content of a heredoc by HCL1's rule: the blanks before the closing mark belong to it, except with `<<-`,
/// which removes them from each line if every line begins with them, and otherwise removes nothing.
fn of_hcl1(text: &str, before_mark: &str, indented: bool) -> String {
    if !indented {
        return [text, before_mark].concat();
    }
    let lines = || text.split_inclusive('\n');
    match lines().all(|line| line.starts_with(before_mark)) {
        true => lines().map(|line| &line[before_mark.len()..]).collect(),
        false => text.to_owned(),
    }
}

fn inside_heredoc(text: &str, position: Position, dialect: Dialect) -> Result<Kind<'_>, Error> {
    let mut pieces = Pieces::default();
    if dialect != Dialect::Jobspec {
        pieces.text.push_str(text);
        return Ok(pieces.into_kind());
    }
    let mut cursor = Cursor::new(text, position);
    while !cursor.at_end() {
        if !template(&mut cursor, &mut pieces)? {
            // Consume in one go what cannot begin a template.
            pieces.text.extend(cursor.bump());
            pieces.text.push_str(cursor.take_while(|c| c != '$' && c != '%'));
        }
    }
    if !pieces.is_template {
        return Ok(pieces.into_kind());
    }
    let extent = pieces.template(text, position)?;
    Ok(Kind::Fragment(Fragment::template(extent, position)))
}

/// Returns an owned copy whose fragments are shifted to their columns in the document.
fn into_owned(kind: Kind<'_>, columns: u32) -> Kind<'static> {
    let owned = |fragment: Fragment<'_>| {
        let mut fragment = fragment.into_owned();
        fragment.shift(columns);
        fragment
    };
    match kind {
        Kind::Plain(value) => Kind::Plain(value),
        Kind::Fragment(fragment) => Kind::Fragment(owned(fragment)),
        Kind::Pieces(pieces) => Kind::Pieces(
            pieces
                .into_iter()
                .map(|piece| match piece {
                    Piece::Text(text) => Piece::Text(text),
                    Piece::Interpolation(fragment) => Piece::Interpolation(owned(fragment)),
                })
                .collect(),
        ),
        // A heredoc is neither a list nor an object.
        Kind::List(_) | Kind::Object(_) => Kind::Plain(ValueKind::Null),
    }
}

/// Returns the line without its first `indentation` blanks; a blank line stays as it is.
fn without(line: &str, indentation: usize) -> &str {
    if line.trim().is_empty() {
        return line;
    }
    let blanks = line.bytes().take(indentation).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &line[blanks..]
}

/// Returns the smallest indentation of the non-blank lines.
fn common_indentation(text: &str) -> usize {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.len() - line.trim_start_matches([' ', '\t']).len()).min().unwrap_or(0)
}

/// Consumes a `${…}` or `%{…}`, or an escaped one, if it is next. Returns whether it was.
fn template<'a>(cursor: &mut Cursor<'a>, pieces: &mut Pieces<'a>) -> Result<bool, Error> {
    let position = cursor.position();
    for (escaped, plain) in [("$${", "${"), ("%%{", "%{")] {
        if cursor.take_text(escaped) {
            pieces.text.push_str(plain);
            return Ok(true);
        }
    }
    if cursor.take_text("%{") {
        pieces.nesting.directive(cursor);
        let inside = scan::interpolation(cursor).ok_or_else(|| unclosed(position, '%'))?;
        pieces.members += inside.members;
        pieces.nesting.join(&inside);
        pieces.is_template = true;
        return Ok(true);
    }
    if !cursor.take_text("${") {
        return Ok(false);
    }
    let start = cursor.position();
    let inside = scan::interpolation(cursor).ok_or_else(|| unclosed(position, '$'))?;
    pieces.members += inside.members;
    pieces.nesting.join(&inside);
    if inside.text.starts_with('~') || inside.text.ends_with('~') {
        pieces.is_template = true;
    }
    pieces.flush();
    pieces.done.push(Piece::Interpolation(Fragment::interpolation(inside, start)));
    Ok(true)
}

fn unclosed(position: Position, sign: char) -> Error {
    Error::at(
        position,
        format!("this `{sign}{{` is never closed; `{sign}{{` itself is written `{sign}{sign}{{`"),
    )
}

/// Like `template`, but copies the `${…}` verbatim, so that quotes in it do not end the string.
fn verbatim_template(cursor: &mut Cursor<'_>, text: &mut String) -> Result<bool, Error> {
    let position = cursor.position();
    for escaped in ["$${", "%%{"] {
        if cursor.take_text(escaped) {
            text.push_str(escaped);
            return Ok(true);
        }
    }
    if !cursor.take_text("${") {
        return Ok(false);
    }
    let inside = scan::interpolation(cursor).ok_or_else(|| unclosed(position, '$'))?;
    text.push_str("${");
    text.push_str(&inside.text.replace("\\\"", "\""));
    text.push('}');
    Ok(true)
}
