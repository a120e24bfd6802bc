//! Fragments: parts of the document that the expression parser reads, with their positions.

use std::borrow::Cow;

use hcl::edit::expr::Expression;
use hcl::edit::parser;
use hcl::edit::template::Template;

use super::evaluate::Fault;
use super::scan::Extent;
use super::stack::on_large_stack;
use super::tree::Position;
use super::{
    Error, HCL_EXPRESSION_BYTES_MAX, HCL_EXPRESSION_DEPTH_MAX, HCL_EXPRESSION_MEMBERS_MAX,
    HCL_SHALLOW_EXPRESSION_DEPTH_MAX, shortened,
};

/// Text of an expression or a template.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    text: Cow<'a, str>,
    position: Position,
    /// Columns of indentation that were removed from each line.
    indentation: u32,
    form: Form,
    /// See [`Extent`].
    members: usize,
    /// See [`Extent`].
    depth: usize,
}

/// Syntax of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Expression,
    /// The content of a `${…}`.
    Interpolation,
    /// The content of a heredoc with directives.
    Template,
}

/// A parsed fragment.
pub(super) enum Parsed {
    Expression(Expression),
    Template(Template),
}

impl<'a> Fragment<'a> {
    pub(super) fn expression(extent: Extent<'a>, position: Position) -> Fragment<'a> {
        let text = extent.text.trim_end();
        Fragment {
            text: Cow::Borrowed(text),
            position,
            indentation: 0,
            form: Form::Expression,
            members: extent.members,
            depth: extent.depth,
        }
    }

    /// Creates a fragment from the content of a heredoc, whose trailing blanks are significant.
    pub(super) fn template(extent: Extent<'a>, position: Position) -> Fragment<'a> {
        Fragment {
            text: Cow::Borrowed(extent.text),
            position,
            indentation: 0,
            form: Form::Template,
            members: extent.members,
            depth: extent.depth,
        }
    }

    /// Creates a fragment from the content of a `${…}`. HCL1 escapes quotes there with a backslash.
    pub(super) fn interpolation(extent: Extent<'a>, position: Position) -> Fragment<'a> {
        let trimmed = extent.text.trim();
        let blanks = extent.text.len() - extent.text.trim_start().len();
        let mut position = advanced(position, &extent.text[..blanks], 0);
        let mut text = Cow::Borrowed(trimmed);
        if extent.escaped_quotes {
            text = Cow::Owned(trimmed.replace("\\\"", "\""));
        }
        if text.contains('\n') {
            // Line breaks do not end an expression there, so put it in parentheses.
            text = Cow::Owned(format!("({text}\n)"));
            position.column = position.column.saturating_sub(1);
        }
        let (members, depth) = (extent.members, extent.depth);
        Fragment { text, position, indentation: 0, form: Form::Interpolation, members, depth }
    }

    pub(super) fn into_owned(self) -> Fragment<'static> {
        Fragment { text: Cow::Owned(self.text.into_owned()), ..self }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is the content of a `${…}`.
    pub(super) fn is_interpolation(&self) -> bool {
        self.form == Form::Interpolation
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Shifts the position to the right by the indentation that was removed before parsing.
    pub(super) fn shift(&mut self, columns: u32) {
        self.position.column = self.position.column.saturating_add(columns);
        self.indentation = columns;
    }

    /// Whether the fragment is to be parsed and evaluated on a large stack.
    pub(super) fn is_deep(&self) -> bool {
        self.depth > HCL_SHALLOW_EXPRESSION_DEPTH_MAX
    }

    /// Runs `inner`, which parses or evaluates the fragment, on a large stack.
    pub(super) fn on_large_stack<T: Send>(
        &self,
        inner: impl FnOnce() -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        on_large_stack(inner).unwrap_or_else(|error| {
            let text = format!("there is no room to read an expression that is nested this deeply: {error}");
            Err(Error::at(self.position, text))
        })
    }

    /// Parses the fragment.
    pub(super) fn parse(&self) -> Result<Parsed, Error> {
        self.check()?;
        if self.is_deep() { self.on_large_stack(|| self.parse_here()) } else { self.parse_here() }
    }

    /// Checks that the fragment can be parsed at limited cost.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.text.len() > HCL_EXPRESSION_BYTES_MAX {
            let text = format!(
                "this expression has {} bytes; {HCL_EXPRESSION_BYTES_MAX} are the most",
                self.text.len()
            );
            return Err(Error::at(self.position, text));
        }
        if self.members > HCL_EXPRESSION_MEMBERS_MAX {
            let text = format!(
                "the objects in this expression have {} members; {HCL_EXPRESSION_MEMBERS_MAX} are the most",
                self.members
            );
            return Err(Error::at(self.position, text));
        }
        if self.depth > HCL_EXPRESSION_DEPTH_MAX {
            let text = format!("this expression is nested deeper than {HCL_EXPRESSION_DEPTH_MAX} levels");
            return Err(Error::at(self.position, text));
        }
        Ok(())
    }

    /// Parses the fragment, which was checked, on this stack.
    pub(super) fn parse_here(&self) -> Result<Parsed, Error> {
        let parsed = match self.form {
            Form::Expression | Form::Interpolation => parser::parse_expr(&self.text).map(Parsed::Expression),
            Form::Template => parser::parse_template(&self.text).map(Parsed::Template),
        };
        parsed.map_err(|error| {
            // Programs and shells use `${…}` too.
            let hint = match self.form {
                Form::Interpolation => "; `${` itself is written `$${`",
                _ => "",
            };
            let cause = error.message().replace('\n', " ");
            let text = format!("the expression `{}` cannot be read: {cause}{hint}", shortened(&self.text));
            Error::at(self.position_of(error.location().offset()), text)
        })
    }

    /// Converts a fault in this fragment to an error with a position.
    pub(super) fn place(&self, fault: Fault) -> Error {
        match fault {
            Fault::Placed(error) => error,
            Fault::Told { offset, text } => Error::at(self.position_of(offset.unwrap_or(0)), text),
        }
    }

    /// Returns the position in the document of a byte of the text.
    fn position_of(&self, offset: usize) -> Position {
        advanced(self.position, self.text.get(..offset).unwrap_or(&self.text), self.indentation)
    }
}

/// Returns the position at the end of a text that starts at `position`; its further lines start after `indentation`.
fn advanced(mut position: Position, text: &str, indentation: u32) -> Position {
    for character in text.chars() {
        if character == '\n' {
            position = Position { line: position.line + 1, column: indentation.saturating_add(1) };
        } else {
            position.column += 1;
        }
    }
    position
}
