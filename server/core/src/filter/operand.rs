//! Parses the operands of a comparison: selectors, values and regular expressions.

use super::cursor::{Cursor, continues_word};
use super::error::FilterError;
use super::expression::{Base, Part, Selector, Test};
use super::parse::Parser;
use super::{FILTER_REGEX_BYTES_MAX, FILTER_REGEXES_MAX, FILTER_SELECTOR_NAMES_MAX};
use crate::regexp::Pattern;

/// What an error names as expected where only a selector is allowed.
const SELECTOR: &str = "a selector such as Status or \"/Status\"";

/// Left operand of a comparison. The operator decides whether it is a selector or a value.
pub(super) enum Operand {
    Selector(Selector),
    Quoted(String),
    Number(String),
}

impl<'t> Parser<'t> {
    pub(super) fn operand(&mut self) -> Result<Operand, FilterError> {
        match self.cursor.peek() {
            Some('"' | '`') => Ok(Operand::Quoted(self.cursor.quoted()?)),
            Some('-' | '0'..='9') => Ok(Operand::Number(self.number()?)),
            _ => {
                let expected = "a selector such as Status, a quoted value, `not` or `(`";
                Ok(Operand::Selector(self.bare_selector(expected)?))
            }
        }
    }

    /// Parses a selector: a path of names or a JSON pointer.
    pub(super) fn selector(&mut self) -> Result<Selector, FilterError> {
        self.cursor.skip_spaces();
        let start = self.cursor;
        match self.cursor.peek() {
            Some('"' | '`') => {
                let text = self.cursor.quoted()?;
                self.pointer(&text, start)
            }
            _ => self.bare_selector(SELECTOR),
        }
    }

    /// Parses a selector written as a path of names: `Meta.owner`, `Meta["a b"]`, `TaskGroups.0`.
    fn bare_selector(&mut self, expected: &str) -> Result<Selector, FilterError> {
        let start = self.cursor;
        let first = self.cursor.word();
        let is_bound = first != "_" && self.bound.contains(&first);
        if !is_bound && !first.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            return Err(start.expected(expected));
        }
        self.cursor.take(first);
        let mut names = vec![first.to_owned()];
        loop {
            if self.cursor.take(".") {
                let name = self.cursor.take_while(continues_word);
                if name.is_empty() {
                    return Err(self.cursor.expected("a name after the dot"));
                }
                names.push(name.to_owned());
            } else if self.cursor.take("[") {
                names.push(self.bracketed()?);
            } else {
                return self.selector_of(names, start);
            }
        }
    }

    /// Parses the content of brackets and the closing bracket.
    fn bracketed(&mut self) -> Result<String, FilterError> {
        const EXPECTED: &str = "a quoted name or a number, and `]`";
        let name = match self.cursor.peek() {
            Some('"' | '`') => self.cursor.quoted()?,
            Some('0'..='9') => self.cursor.take_while(|character| character.is_ascii_digit()).to_owned(),
            _ => return Err(self.cursor.expected(EXPECTED)),
        };
        if self.cursor.take("]") { Ok(name) } else { Err(self.cursor.expected(EXPECTED)) }
    }

    /// Converts the text of a JSON pointer to a selector.
    pub(super) fn pointer(&self, text: &str, start: Cursor<'t>) -> Result<Selector, FilterError> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(start.expected(SELECTOR));
        };
        let names = path.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect();
        self.selector_of(names, start)
    }

    fn selector_of(&self, names: Vec<String>, start: Cursor<'t>) -> Result<Selector, FilterError> {
        if names.len() > FILTER_SELECTOR_NAMES_MAX {
            return Err(start.error(format!("a selector of more than {FILTER_SELECTOR_NAMES_MAX} names")));
        }
        // The innermost binding shadows outer ones.
        let place = names
            .first()
            .and_then(|first| self.bound.iter().rposition(|bound| bound == first && first != "_"));
        let (base, path) = match place {
            Some(place) => (Base::Bound { place, name: names[0].clone() }, &names[1..]),
            None => (Base::Row, &names[..]),
        };
        Ok(Selector { base, path: path.iter().map(|name| Part::new(name)).collect() })
    }

    /// Parses a value: a quoted string, a number, or a word, which may contain dots like a selector.
    pub(super) fn value(&mut self) -> Result<String, FilterError> {
        let value = match self.cursor.peek() {
            Some('"' | '`') => return self.cursor.quoted(),
            Some('-' | '0'..='9') => self.number()?,
            _ => {
                let start = self.cursor;
                self.bare_selector("a value")?;
                self.cursor.since(start).to_owned()
            }
        };
        match self.cursor.peek() {
            Some(next) if !next.is_whitespace() && !matches!(next, ')' | '}') => {
                Err(self.cursor.expected(&format!("a space after `{value}`; other values are put in quotes")))
            }
            _ => Ok(value),
        }
    }

    fn number(&mut self) -> Result<String, FilterError> {
        let start = self.cursor;
        self.cursor.take("-");
        let mut digits = self.cursor.take_while(|character| character.is_ascii_digit()).len();
        if self.cursor.take(".") {
            digits = digits.min(self.cursor.take_while(|character| character.is_ascii_digit()).len());
        }
        if digits == 0 {
            return Err(start.expected("a number"));
        }
        Ok(self.cursor.since(start).to_owned())
    }

    pub(super) fn regex(&mut self) -> Result<Test, FilterError> {
        let start = self.cursor;
        let pattern = self.value()?;
        self.regexes += 1;
        if self.regexes > FILTER_REGEXES_MAX {
            return Err(start.error(format!("more than {FILTER_REGEXES_MAX} regular expressions")));
        }
        let compiled = Pattern::parse(&pattern)
            .and_then(|pattern| pattern.compile(FILTER_REGEX_BYTES_MAX, FILTER_REGEX_BYTES_MAX));
        compiled
            .map(Test::Matches)
            .map_err(|malformed| start.error(format!("this is not a regular expression: {malformed}")))
    }
}
