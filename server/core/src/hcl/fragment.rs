//! Pieces of the document that the parser of expressions reads, each with its place.

use std::borrow::Cow;

use hcl::edit::expr::Expression;
use hcl::edit::parser;
use hcl::edit::template::Template;

use super::evaluate::Fault;
use super::scan::Extent;
use super::tree::Position;
use super::{
    Error, HCL_EXPRESSION_BYTES_MAX, HCL_EXPRESSION_DEPTH_MAX, HCL_EXPRESSION_MEMBERS_MAX, shortened,
};

/// An expression or a template as text.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    text: Cow<'a, str>,
    position: Position,
    /// Columns that were taken away at the beginning of each of its lines.
    indentation: u32,
    form: Form,
    /// See [`Extent`].
    members: usize,
    /// See [`Extent`].
    depth: usize,
}

/// How a fragment is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Expression,
    /// What stands in a `${…}`.
    Interpolation,
    /// The inside of a heredoc that has directives.
    Template,
}

/// A fragment that was read.
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

    /// The inside of a heredoc, whose blanks at the end count.
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

    /// What stands in a `${…}` that begins at the position. HCL1 writes quotes in there with a backslash.
    pub(super) fn interpolation(extent: Extent<'a>, position: Position) -> Fragment<'a> {
        let trimmed = extent.text.trim();
        let blanks = extent.text.len() - extent.text.trim_start().len();
        let mut position = advanced(position, &extent.text[..blanks], 0);
        let mut text = Cow::Borrowed(trimmed);
        if extent.escaped_quotes {
            text = Cow::Owned(trimmed.replace("\\\"", "\""));
        }
        if text.contains('\n') {
            // Lines end nothing in there, as in brackets.
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

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Moves it to the right, for what was read without its indentation.
    pub(super) fn shift(&mut self, columns: u32) {
        self.position.column = self.position.column.saturating_add(columns);
        self.indentation = columns;
    }

    /// Reads it.
    pub(super) fn parse(&self) -> Result<Parsed, Error> {
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
        let parsed = match self.form {
            Form::Expression | Form::Interpolation => parser::parse_expr(&self.text).map(Parsed::Expression),
            Form::Template => parser::parse_template(&self.text).map(Parsed::Template),
        };
        parsed.map_err(|error| {
            // Programs and shells have a `${…}` of their own.
            let hint = match self.form {
                Form::Interpolation => "; `${` itself is written `$${`",
                _ => "",
            };
            let cause = error.message().replace('\n', " ");
            let text = format!("the expression `{}` cannot be read: {cause}{hint}", shortened(&self.text));
            Error::at(self.position_of(error.location().offset()), text)
        })
    }

    /// The error that a fault in here is.
    pub(super) fn place(&self, fault: Fault) -> Error {
        match fault {
            Fault::Placed(error) => error,
            Fault::Told { offset, text } => Error::at(self.position_of(offset.unwrap_or(0)), text),
        }
    }

    /// The place of a byte of the text.
    fn position_of(&self, offset: usize) -> Position {
        advanced(self.position, self.text.get(..offset).unwrap_or(&self.text), self.indentation)
    }
}

/// The place behind a text that begins at a place, and whose further lines begin behind an indentation.
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
