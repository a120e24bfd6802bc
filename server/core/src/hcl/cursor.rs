//! Cursor over the text of a document, with one character of look-ahead, positions, and skipping of blanks and
//! comments.

use super::{Error, Position};

/// Position in the text. Copy it to be able to backtrack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a str,
    position: Position,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, position: Position) -> Cursor<'a> {
        Cursor { rest: text, position }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn looks_at(&self, text: &str) -> bool {
        self.rest.starts_with(text)
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.rest = &self.rest[character.len_utf8()..];
        if character == '\n' {
            self.position = Position { line: self.position.line + 1, column: 1 };
        } else {
            self.position.column += 1;
        }
        Some(character)
    }

    /// Consumes `character` if it is next.
    pub(super) fn take(&mut self, character: char) -> bool {
        let found = self.peek() == Some(character);
        if found {
            self.bump();
        }
        found
    }

    /// Consumes `text` if it is next.
    pub(super) fn take_text(&mut self, text: &str) -> bool {
        let found = self.looks_at(text);
        if found {
            self.advance_to(&self.rest[text.len()..]);
        }
        found
    }

    /// Consumes and returns characters while `wanted` accepts them.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !wanted(character)).unwrap_or(self.rest.len());
        let taken = &self.rest[..end];
        self.advance_to(&self.rest[end..]);
        taken
    }

    /// Consumes and returns the rest of the line, with its line break.
    pub(super) fn take_line(&mut self) -> &'a str {
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let taken = &self.rest[..end];
        self.advance_to(&self.rest[end..]);
        taken
    }

    /// Advances until only `rest` is left.
    pub(super) fn advance_to(&mut self, rest: &str) {
        while self.rest.len() > rest.len() {
            self.bump();
        }
    }

    /// Skips blanks and comments, and line breaks if `over_lines`.
    ///
    /// # Errors
    /// A `/*` is never closed.
    pub(super) fn skip_blanks(&mut self, over_lines: bool) -> Result<(), Error> {
        loop {
            self.take_while(|c| c.is_whitespace() && (over_lines || c != '\n'));
            if self.looks_at("/*") {
                let start = self.position;
                let Some(end) = self.rest[2..].find("*/") else {
                    return Err(Error::at(start, "this comment is never closed: `*/` is missing"));
                };
                self.advance_to(&self.rest[end + 4..]);
            } else if self.looks_at("#") || self.looks_at("//") {
                self.take_while(|c| c != '\n');
            } else {
                return Ok(());
            }
        }
    }
}

/// Whether a bare key or label may begin with the character.
pub(super) fn begins_word(character: char) -> bool {
    character.is_alphabetic() || character == '_'
}

/// Whether a bare key or label may continue with the character.
pub(super) fn continues_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.')
}

/// Describes the next character, or the end of the document, for an error.
pub(super) fn describe_next(cursor: &Cursor<'_>) -> String {
    match cursor.peek() {
        None => "the end of the document".to_owned(),
        Some('\n') => "the end of the line".to_owned(),
        Some(character) => format!("`{}`", character.escape_debug()),
    }
}
