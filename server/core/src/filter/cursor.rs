//! Cursor over the text of an expression: reads characters, words and quoted strings.

use super::error::FilterError;

/// Characters of the unexpected text that an error shows.
const SHOWN_MAX: usize = 24;

/// Position in the text. Copy it to be able to backtrack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Consumes `wanted` if the text continues with it.
    pub(super) fn take(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    /// Consumes characters while `wanted` accepts them.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|character| !wanted(character)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Returns the next word (a letter or `_`, then letters, digits and `_`) without consuming it; empty if there is
    /// none.
    pub(super) fn word(&self) -> &'t str {
        match self.peek() {
            Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                let mut ahead = *self;
                ahead.take_while(continues_word)
            }
            _ => "",
        }
    }

    /// Consumes the next word if it equals `wanted` as a whole.
    pub(super) fn take_word(&mut self, wanted: &str) -> bool {
        self.word() == wanted && self.take(wanted)
    }

    /// Returns the text between an earlier position and this one.
    pub(super) fn since(&self, start: Cursor<'t>) -> &'t str {
        &self.text[start.at..self.at]
    }

    /// Returns a syntax error at this position.
    pub(super) fn error(&self, text: impl Into<String>) -> FilterError {
        let column = self.text[..self.at].chars().count() + 1;
        FilterError::Syntax { column, text: text.into() }
    }

    /// Returns a syntax error that names what was expected here and what was found.
    pub(super) fn expected(&self, expected: &str) -> FilterError {
        let mut next = self.rest().trim_start().chars();
        let visible = |character: char| if character.is_control() { ' ' } else { character };
        let shown: String = next.by_ref().take(SHOWN_MAX).map(visible).collect();
        let cut = if next.next().is_some() { "…" } else { "" };
        match shown.is_empty() {
            true => self.error(format!("expected {expected}, found the end")),
            false => self.error(format!("expected {expected}, found `{shown}{cut}`")),
        }
    }

    /// Reads a string in double quotes, with escapes, or in backticks, without.
    pub(super) fn quoted(&mut self) -> Result<String, FilterError> {
        let start = *self;
        if self.take("`") {
            let text = self.take_while(|character| character != '`');
            return if self.take("`") { Ok(text.to_owned()) } else { Err(start.unclosed()) };
        }
        if !self.take("\"") {
            return Err(self.expected("a quoted text"));
        }
        let mut bytes = Vec::new();
        loop {
            bytes.extend_from_slice(self.take_while(|character| !matches!(character, '"' | '\\')).as_bytes());
            if self.take("\"") {
                return String::from_utf8(bytes)
                    .map_err(|_| start.error("the escapes of this text are no UTF-8"));
            }
            if self.peek().is_none() {
                return Err(start.unclosed());
            }
            self.escape(&mut bytes)?;
        }
    }

    fn unclosed(&self) -> FilterError {
        self.error("this text is never closed: its second quote is missing")
    }

    /// Reads an escape sequence as in Go string literals.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), FilterError> {
        let start = *self;
        self.take("\\");
        let Some(kind) = self.peek() else { return Err(start.error("this escape has no end")) };
        // In an octal escape, the digits follow the backslash directly.
        if !kind.is_digit(8) {
            self.at += kind.len_utf8();
        }
        let simple = match kind {
            'a' => Some(0x07),
            'b' => Some(0x08),
            'f' => Some(0x0C),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(0x0B),
            '\\' => Some(b'\\'),
            '"' => Some(b'"'),
            _ => None,
        };
        if let Some(byte) = simple {
            bytes.push(byte);
            return Ok(());
        }
        let read = match kind {
            'x' => self.digits(2, 16),
            'u' => self.digits(4, 16),
            'U' => self.digits(8, 16),
            '0'..='7' => self.digits(3, 8),
            _ => {
                return Err(
                    start.error(format!("there is no escape `\\{kind}`; in backticks there are none at all"))
                );
            }
        };
        let number = read.ok_or_else(|| start.error("this escape has too few digits"))?;
        if matches!(kind, 'u' | 'U') {
            let character =
                char::from_u32(number).ok_or_else(|| start.error("this escape is no character"))?;
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            bytes.push(u8::try_from(number).map_err(|_| start.error("this escape is no byte"))?);
        }
        Ok(())
    }

    fn digits(&mut self, count: usize, radix: u32) -> Option<u32> {
        let digits =
            self.rest().get(..count).filter(|digits| digits.chars().all(|digit| digit.is_digit(radix)))?;
        self.at += count;
        u32::from_str_radix(digits, radix).ok()
    }
}

/// Whether `character` may continue a word.
pub(super) fn continues_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
