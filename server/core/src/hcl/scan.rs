//! Finds the end of an expression or a `${…}`, past the quotes, brackets, templates and heredocs in it. Syntax errors
//! inside are left to the expression parser.

use super::cursor::{Cursor, continues_word};

/// A section of the document.
pub(super) struct Extent<'a> {
    pub(super) text: &'a str,
    /// Number of `=` and `:` outside of quotes: an upper bound of the members of its objects.
    pub(super) members: usize,
    /// Upper estimate of the nesting depth.
    pub(super) depth: usize,
    /// Whether quotes are escaped with backslashes.
    pub(super) escaped_quotes: bool,
}

/// An unclosed delimiter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `(`, `[` or `{`
    Bracket,
    /// `${` or `%{` in a quoted string
    Template,
    /// `"`
    Quote,
    /// `\"`, with which HCL1 writes quotes within `${…}`
    EscapedQuote,
}

/// What ends a section.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// End of the line outside of brackets, a comma, a comment, or an unmatched closing bracket.
    ExpressionEnd,
    /// The `}` that closes the template whose `${` was consumed already.
    Brace,
    /// The bracket that closes the first bracket.
    Bracket,
}

#[derive(Default)]
struct Scan {
    open: Vec<Open>,
    members: usize,
    escaped_quotes: bool,
    nesting: Nesting,
}

/// Consumes the expression at the cursor.
pub(super) fn expression<'a>(cursor: &mut Cursor<'a>) -> Extent<'a> {
    take(cursor, Until::ExpressionEnd).0
}

/// Consumes the content of a template, whose `${` or `%{` was consumed already, and its `}`. Returns `None` if it is
/// never closed.
pub(super) fn interpolation<'a>(cursor: &mut Cursor<'a>) -> Option<Extent<'a>> {
    let (extent, closed) = take(cursor, Until::Brace);
    (closed && cursor.take('}')).then_some(extent)
}

/// Consumes the bracketed expression at the cursor, including the brackets.
pub(super) fn bracketed<'a>(cursor: &mut Cursor<'a>) -> Option<Extent<'a>> {
    let (extent, closed) = take(cursor, Until::Bracket);
    closed.then_some(extent)
}

fn take<'a>(cursor: &mut Cursor<'a>, until: Until) -> (Extent<'a>, bool) {
    let start = cursor.rest();
    let mut scan = Scan::default();
    let closed = scan.run(cursor, until);
    let text = &start[..start.len() - cursor.rest().len()];
    let (members, depth) = (scan.members, scan.nesting.deepest());
    (Extent { text, members, depth, escaped_quotes: scan.escaped_quotes }, closed)
}

impl Scan {
    /// Moves the cursor to the end of the section. Returns whether the end was found.
    fn run(&mut self, cursor: &mut Cursor<'_>, until: Until) -> bool {
        while let Some(character) = cursor.peek() {
            match self.open.last() {
                Some(Open::Quote | Open::EscapedQuote) if character == '\n' => return false,
                Some(Open::Quote) => self.in_quotes(cursor, character),
                Some(Open::EscapedQuote) => self.in_escaped_quotes(cursor),
                None if ends(cursor, character, until) => return true,
                _ => {
                    self.in_code(cursor, character);
                    if until == Until::Bracket && self.open.is_empty() {
                        return true;
                    }
                }
            }
        }
        until == Until::ExpressionEnd
    }

    fn in_quotes(&mut self, cursor: &mut Cursor<'_>, character: char) {
        if self.opens_template(cursor) {
            return;
        }
        cursor.bump();
        match character {
            '"' => _ = self.open.pop(),
            '\\' if cursor.peek() != Some('\n') => _ = cursor.bump(),
            _ => {}
        }
    }

    fn in_escaped_quotes(&mut self, cursor: &mut Cursor<'_>) {
        if self.opens_template(cursor) {
            return;
        }
        if cursor.take_text("\\\"") {
            self.open.pop();
        } else {
            cursor.bump();
        }
    }

    fn opens_template(&mut self, cursor: &mut Cursor<'_>) -> bool {
        if cursor.take_text("$${") || cursor.take_text("%%{") {
            return true;
        }
        if cursor.take_text("%{") {
            self.nesting.directive(cursor);
        } else if !cursor.take_text("${") {
            return false;
        }
        self.open.push(Open::Template);
        self.nesting.open();
        true
    }

    fn in_code(&mut self, cursor: &mut Cursor<'_>, character: char) {
        if skip_comment(cursor) || skip_heredoc(cursor) {
            return;
        }
        if cursor.take_text("\\\"") {
            self.escaped_quotes = true;
            self.open.push(Open::EscapedQuote);
            return;
        }
        cursor.bump();
        match character {
            '"' => self.open.push(Open::Quote),
            '(' | '[' | '{' => {
                self.open.push(Open::Bracket);
                self.nesting.open();
            }
            ')' | ']' | '}' => {
                self.open.pop();
                self.nesting.close();
            }
            '=' | ':' => self.members += 1,
            _ => {}
        }
        self.nesting.sign(character, cursor.peek());
    }
}

/// Estimates the nesting depth of an expression: nested brackets, templates and directives, conditionals chained by
/// `:`, and repeated unary operators.
#[derive(Default)]
pub(super) struct Nesting {
    /// For each open bracket, the number of `?` in the enclosing item before it.
    open: Vec<usize>,
    conditionals: usize,
    depth: usize,
    signs: usize,
    most: usize,
    directives: usize,
    most_directives: usize,
}

impl Nesting {
    pub(super) fn deepest(&self) -> usize {
        self.most + self.most_directives
    }

    /// Whether a `%{ if … }` or `%{ for … }` is not ended.
    pub(super) fn has_open_directive(&self) -> bool {
        self.directives > 0
    }

    fn open(&mut self) {
        self.open.push(std::mem::take(&mut self.conditionals));
        self.depth += 1;
        self.note();
    }

    fn close(&mut self) {
        if let Some(outer) = self.open.pop() {
            self.depth -= 1 + self.conditionals;
            self.conditionals = outer;
        }
    }

    fn note(&mut self) {
        self.most = self.most.max(self.depth + self.signs);
    }

    /// Processes a character outside of quotes, with one character of look-ahead.
    fn sign(&mut self, character: char, next: Option<char>) {
        match character {
            '?' => {
                self.conditionals += 1;
                self.depth += 1;
            }
            // Start of a new item or of a member's value.
            ',' => self.end_item(),
            '=' if !matches!(next, Some('=' | '>')) => self.end_item(),
            _ => {}
        }
        match character {
            '!' | '-' => self.signs += 1,
            c if c.is_whitespace() => {}
            _ => self.signs = 0,
        }
        self.note();
    }

    fn end_item(&mut self) {
        self.depth -= std::mem::take(&mut self.conditionals);
    }

    /// Processes the keyword of a `%{` directive.
    pub(super) fn directive(&mut self, cursor: &Cursor<'_>) {
        let word = cursor.rest().trim_start_matches('~').trim_start();
        if word.starts_with("if") || word.starts_with("for") {
            self.directives += 1;
            self.most_directives = self.most_directives.max(self.directives);
        } else if word.starts_with("end") {
            self.directives = self.directives.saturating_sub(1);
        }
    }

    /// Includes the depth of a nested section.
    pub(super) fn join(&mut self, extent: &Extent<'_>) {
        self.most = self.most.max(extent.depth);
    }
}

fn ends(cursor: &Cursor<'_>, character: char, until: Until) -> bool {
    match until {
        Until::ExpressionEnd => {
            matches!(character, '\n' | ',' | ']' | '}' | ')' | '#')
                || cursor.looks_at("//")
                || cursor.looks_at("/*")
        }
        Until::Brace => character == '}',
        Until::Bracket => false,
    }
}

fn skip_comment(cursor: &mut Cursor<'_>) -> bool {
    if cursor.looks_at("#") || cursor.looks_at("//") {
        cursor.take_while(|c| c != '\n');
        return true;
    }
    if !cursor.looks_at("/*") {
        return false;
    }
    let rest = cursor.rest();
    let end = rest[2..].find("*/").map_or(rest.len(), |at| at + 4);
    cursor.advance_to(&rest[end..]);
    true
}

fn skip_heredoc(cursor: &mut Cursor<'_>) -> bool {
    let Some(rest) = cursor.rest().strip_prefix("<<") else { return false };
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    let mark_end = rest.find(|c| !continues_word(c)).unwrap_or(rest.len());
    let (mark, behind) = rest.split_at(mark_end);
    if mark.is_empty() || !behind.trim_start_matches([' ', '\t', '\r']).starts_with('\n') {
        return false;
    }
    cursor.take_line();
    while !cursor.at_end() {
        if cursor.rest().lines().next().is_some_and(|line| line.trim() == mark) {
            cursor.take_while(|c| c == ' ' || c == '\t');
            cursor.take_text(mark);
            return true;
        }
        cursor.take_line();
    }
    true
}
