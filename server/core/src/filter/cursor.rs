//! Where the reader of an expression stands: characters, words and quoted texts.

use super::error::FilterError;

/// Characters of what was found that an error shows.
const SHOWN_MAX: usize = 24;

/// A place in the text. It is small and copied to come back to a place.
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

    /// Takes the text if it is next.
    pub(super) fn take(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    /// Takes characters while they are wanted.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|character| !wanted(character)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// The word that is next, if any is: a letter or `_`, then letters, digits and `_`.
    pub(super) fn word(&self) -> &'t str {
        match self.peek() {
            Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                let mut ahead = *self;
                ahead.take_while(continues_word)
            }
            _ => "",
        }
    }

    /// Takes the word if it is next, whole.
    pub(super) fn take_word(&mut self, wanted: &str) -> bool {
        self.word() == wanted && self.take(wanted)
    }

    /// What was read since an earlier place.
    pub(super) fn since(&self, start: Cursor<'t>) -> &'t str {
        &self.text[start.at..self.at]
    }

    /// An error at this place.
    pub(super) fn error(&self, text: impl Into<String>) -> FilterError {
        let column = self.text[..self.at].chars().count() + 1;
        FilterError::Syntax { column, text: text.into() }
    }

    /// An error that says what should stand here, and what does.
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

    /// Takes a text in double quotes, its escapes undone, or in backticks, as it stands.
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

    /// Takes an escape, as Go's texts have them.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), FilterError> {
        let start = *self;
        self.take("\\");
        let Some(kind) = self.peek() else { return Err(start.error("this escape has no end")) };
        // Octal escapes have no letter that says so.
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

/// Whether a word may go on with the character.
pub(super) fn continues_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
