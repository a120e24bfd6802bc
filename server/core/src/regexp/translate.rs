//! The grammar of RE2: groups, flags, repetitions and literals.
//!
//! Flags are resolved here, so that each translated piece means the same wherever it stands, except for the folding of
//! case: pieces that fold are put into groups that do.

use super::class;
use super::escape::escape;
use super::{
    BAD_ESCAPE, BAD_FLAGS, BAD_NAME, BAD_REPEAT_COUNT, BAD_REPEAT_NESTING, Malformed, NESTING_MAX,
    NESTS_TOO_DEEPLY, NO_PAREN, NOTHING_TO_REPEAT, UNEXPECTED_PAREN,
};

/// Most copies of an operand that nested counted repetitions may make.
const COPIES_MAX: u32 = 1000;

/// Translates an expression to the syntax of the crate `regex`.
pub(super) fn translate(source: &str) -> Result<String, Malformed> {
    let mut parser = Parser { source, flags: Flags::default(), group: Group::default(), outer: Vec::new() };
    let mut rest = source;
    // The text from the last repetition operator on, if nothing followed it yet.
    let mut last_repeat = None;
    while !rest.is_empty() {
        let before = rest;
        let is_repeat;
        (rest, is_repeat) = parser.next(rest, last_repeat)?;
        last_repeat = is_repeat.then_some(before);
    }
    if !parser.outer.is_empty() {
        return Err(Malformed::new(NO_PAREN, source));
    }
    Ok(parser.group.close().text)
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    /// `i`
    folds_case: bool,
    /// `m`
    is_multiline: bool,
    /// `s`
    dot_takes_newline: bool,
    /// `U`
    is_lazy: bool,
}

/// A part of a concatenation that an operator may repeat.
#[derive(Debug)]
struct Piece {
    text: String,
    /// Whether it must stand in a group that folds case.
    folds_case: bool,
    /// Whether the text ends with a repetition operator.
    is_repeated: bool,
    /// Product of the counts of the nested repetitions.
    copies: u32,
    nesting: usize,
}

impl Piece {
    fn new(text: String, folds_case: bool) -> Piece {
        Piece { text, folds_case, is_repeated: false, copies: 1, nesting: 0 }
    }
}

/// A group that is not closed yet.
#[derive(Debug, Default)]
struct Group {
    /// Flags to be restored behind it.
    flags: Flags,
    /// Complete alternatives, each followed by `|`.
    alternatives: String,
    /// Pieces of the current alternative.
    pieces: Vec<Piece>,
    copies: u32,
    nesting: usize,
}

impl Group {
    /// Moves the pieces into the text of the alternatives.
    fn end_alternative(&mut self) {
        let mut folds_case = false;
        for piece in self.pieces.drain(..) {
            if piece.folds_case != folds_case {
                self.alternatives.push_str(if folds_case { ")" } else { "(?i:" });
                folds_case = piece.folds_case;
            }
            self.alternatives.push_str(&piece.text);
            self.copies = self.copies.max(piece.copies);
            self.nesting = self.nesting.max(piece.nesting);
        }
        if folds_case {
            self.alternatives.push(')');
        }
    }

    fn close(mut self) -> Piece {
        self.end_alternative();
        let (copies, nesting) = (self.copies.max(1), self.nesting + 1);
        Piece { text: self.alternatives, folds_case: false, is_repeated: false, copies, nesting }
    }
}

struct Parser<'p> {
    source: &'p str,
    flags: Flags,
    group: Group,
    /// The groups around `group`, the outermost first.
    outer: Vec<Group>,
}

impl<'p> Parser<'p> {
    /// Reads one item of the grammar. Returns the rest, and whether the item was a repetition operator.
    fn next(&mut self, text: &'p str, last_repeat: Option<&str>) -> Result<(&'p str, bool), Malformed> {
        let mut rest = text.chars();
        let Some(first) = rest.next() else { return Ok((text, false)) };
        let mut rest = rest.as_str();
        match first {
            '(' if rest.starts_with('?') => rest = self.perl_group(text)?,
            '(' => self.open()?,
            '|' => {
                self.group.end_alternative();
                self.group.alternatives.push('|');
            }
            ')' => self.close()?,
            '^' => self.push(if self.flags.is_multiline { "(?m:^)" } else { r"\A" }),
            '$' => self.push(if self.flags.is_multiline { "(?m:$)" } else { r"\z" }),
            '.' => self.push(if self.flags.dot_takes_newline { "(?s:.)" } else { "." }),
            '[' => {
                let class;
                (class, rest) = class::bracketed(text)?;
                self.push_folding(class);
            }
            '*' => return Ok((self.repeat("*", 1, text, rest, last_repeat)?, true)),
            '+' => return Ok((self.repeat("+", 1, text, rest, last_repeat)?, true)),
            '?' => return Ok((self.repeat("?", 1, text, rest, last_repeat)?, true)),
            '{' => match Counts::read(rest) {
                Some((counts, after)) => {
                    let Some(copies) = counts.copies() else {
                        let part = &text[..text.len() - after.len()];
                        return Err(Malformed::new(BAD_REPEAT_COUNT, part));
                    };
                    let operator = &text[..text.len() - after.len()];
                    return Ok((self.repeat(operator, copies, text, after, last_repeat)?, true));
                }
                None => self.literal(first.into()),
            },
            '\\' => rest = self.escaped(text)?,
            _ => self.literal(first.into()),
        }
        Ok((rest, false))
    }

    fn push(&mut self, text: &str) {
        self.group.pieces.push(Piece::new(text.to_owned(), false));
    }

    fn push_folding(&mut self, text: String) {
        self.group.pieces.push(Piece::new(text, self.flags.folds_case));
    }

    fn literal(&mut self, code_point: u32) {
        match char::from_u32(code_point) {
            Some(c) => self.push_folding(regex::escape(c.encode_utf8(&mut [0; 4]))),
            None => self.push(class::NONE),
        }
    }

    fn escaped(&mut self, text: &'p str) -> Result<&'p str, Malformed> {
        let after = text.get(2..).unwrap_or_default();
        match text.as_bytes().get(1) {
            Some(b'A') => self.push(r"\A"),
            Some(b'z') => self.push(r"\z"),
            Some(b'b') => self.push(r"(?-u:\b)"),
            Some(b'B') => self.push(r"(?-u:\B)"),
            Some(b'C') => return Err(Malformed::new(BAD_ESCAPE, &text[..2])),
            Some(b'Q') => {
                let (quoted, after) = after.split_once(r"\E").unwrap_or((after, ""));
                quoted.chars().for_each(|c| self.literal(c.into()));
                return Ok(after);
            }
            _ => {
                if let Some((class, rest)) = class::escaped(text)? {
                    self.push_folding(class);
                    return Ok(rest);
                }
                let (code_point, rest) = escape(text)?;
                self.literal(code_point);
                return Ok(rest);
            }
        }
        Ok(after)
    }

    fn open(&mut self) -> Result<(), Malformed> {
        if self.outer.len() >= NESTING_MAX {
            return Err(Malformed::new(NESTS_TOO_DEEPLY, self.source));
        }
        let inner = Group { flags: self.flags, ..Group::default() };
        self.outer.push(std::mem::replace(&mut self.group, inner));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Malformed> {
        let Some(outer) = self.outer.pop() else {
            return Err(Malformed::new(UNEXPECTED_PAREN, self.source));
        };
        let closed = std::mem::replace(&mut self.group, outer);
        self.flags = closed.flags;
        let mut piece = closed.close();
        piece.text = format!("(?:{})", piece.text);
        self.push_nested(piece)
    }

    fn push_nested(&mut self, piece: Piece) -> Result<(), Malformed> {
        if piece.nesting > NESTING_MAX {
            return Err(Malformed::new(NESTS_TOO_DEEPLY, self.source));
        }
        self.group.pieces.push(piece);
        Ok(())
    }

    /// Repeats the last piece. `text` is the text from the operator on, `rest` the text behind it.
    fn repeat(
        &mut self,
        operator: &str,
        copies: u32,
        text: &'p str,
        mut rest: &'p str,
        last_repeat: Option<&str>,
    ) -> Result<&'p str, Malformed> {
        let mut is_lazy = self.flags.is_lazy;
        if let Some(after) = rest.strip_prefix('?') {
            rest = after;
            is_lazy = !is_lazy;
        }
        let part = |from: &str| from[..from.len() - rest.len()].to_owned();
        if let Some(last) = last_repeat {
            return Err(Malformed { cause: BAD_REPEAT_NESTING, part: part(last) });
        }
        let Some(mut piece) = self.group.pieces.pop() else {
            return Err(Malformed { cause: NOTHING_TO_REPEAT, part: part(text) });
        };
        piece.copies = if operator == "{0}" || operator == "{0,0}" { 1 } else { piece.copies * copies };
        if piece.copies > COPIES_MAX {
            return Err(Malformed { cause: BAD_REPEAT_COUNT, part: part(text) });
        }
        if piece.is_repeated {
            piece.text = format!("(?:{})", piece.text);
            piece.nesting += 1;
        }
        piece.text.push_str(operator);
        if is_lazy {
            piece.text.push('?');
        }
        piece.is_repeated = true;
        self.push_nested(piece)?;
        Ok(rest)
    }

    /// Reads the beginning of a group with `(?`, or a change of flags.
    fn perl_group(&mut self, text: &'p str) -> Result<&'p str, Malformed> {
        let name = text.strip_prefix("(?P<").or_else(|| text.strip_prefix("(?<"));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            let Some((name, rest)) = name.split_once('>') else {
                return Err(Malformed::new(BAD_NAME, text));
            };
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(Malformed::new(BAD_NAME, &text[..text.len() - rest.len()]));
            }
            self.open()?;
            return Ok(rest);
        }
        let mut flags = self.flags;
        let (mut is_set, mut is_flag_seen) = (true, false);
        let mut rest = text[2..].chars();
        while let Some(c) = rest.next() {
            let flag = match c {
                'i' => &mut flags.folds_case,
                'm' => &mut flags.is_multiline,
                's' => &mut flags.dot_takes_newline,
                'U' => &mut flags.is_lazy,
                '-' if is_set => {
                    (is_set, is_flag_seen) = (false, false);
                    continue;
                }
                ':' | ')' if is_set || is_flag_seen => {
                    if c == ':' {
                        self.open()?;
                    }
                    self.flags = flags;
                    return Ok(rest.as_str());
                }
                _ => break,
            };
            *flag = is_set;
            is_flag_seen = true;
        }
        Err(Malformed::new(BAD_FLAGS, &text[..text.len() - rest.as_str().len()]))
    }
}

/// The numbers of a counted repetition.
struct Counts {
    min: u64,
    /// `None` in `{3,}`.
    max: Option<u64>,
}

impl Counts {
    /// Reads `3}`, `3,}` or `3,5}`; returns `None` for anything else, in which the brace stands for itself.
    fn read(text: &str) -> Option<(Counts, &str)> {
        let (min, rest) = number(text)?;
        let (max, rest) = match rest.strip_prefix(',') {
            None => (Some(min), rest),
            Some(rest) if rest.starts_with('}') => (None, rest),
            Some(rest) => {
                let (max, rest) = number(rest)?;
                (Some(max), rest)
            }
        };
        Some((Counts { min, max }, rest.strip_prefix('}')?))
    }

    /// Returns how many copies of the operand the repetition makes; `None` if the numbers are invalid.
    fn copies(&self) -> Option<u32> {
        let max = self.max.unwrap_or(self.min);
        let is_valid = self.min <= max && max <= COPIES_MAX.into();
        is_valid.then(|| u32::try_from(max).unwrap_or(COPIES_MAX).max(1))
    }
}

/// Reads a number without leading zeros.
fn number(text: &str) -> Option<(u64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u64::MAX), rest))
}
