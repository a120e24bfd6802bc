//! HCL1 and HCL2: a tolerant parser whose nodes all know their line and column.
//!
//! Nomad jobspecs put several attributes and blocks on one line, quote keys, and break lists over lines, which parsers
//! of strict HCL2 reject. The grammar of bodies is implemented here and accepts all of these. Expressions are parsed by
//! an external crate and evaluated here, within limits.
//!
//! Stages: text → `syntax` (as written) → [`Body`] (evaluated).

mod body;
mod convert;
mod cursor;
mod document;
mod duration;
mod escape;
mod evaluate;
mod fragment;
mod json;
mod resolve;
mod scan;
mod stack;
mod suggest;
mod syntax;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod value;

pub use document::{Document, Variables};
pub use duration::parse_duration_ns;
pub use suggest::nearest;
pub use tree::{Attribute, Block, Body, Entry, Label, Member, Position, Value, ValueKind};

use evaluate::Evaluator;
use syntax::Reader;

/// Size of a document, bytes; Nomad's limit for the source of a job.
pub const HCL_BYTES_MAX: usize = 1 << 20;
/// Nesting depth of blocks, lists and objects; protects the stack.
pub const HCL_DEPTH_MAX: usize = 32;
/// Size of one expression, bytes. Enough for any written by hand, and for a table as a function argument.
pub const HCL_EXPRESSION_BYTES_MAX: usize = 64 * 1024;
/// Members of the objects in one expression. The expression parser compares each member with all earlier ones.
pub const HCL_EXPRESSION_MEMBERS_MAX: usize = 512;
/// Nesting depth of brackets, templates and conditionals in one expression: that which the expression parser reads.
pub const HCL_EXPRESSION_DEPTH_MAX: usize = 64;
/// Nesting depth up to which an expression is parsed on the caller's stack, and beyond which on a large one. The
/// expression parser uses much stack for each level.
const HCL_SHALLOW_EXPRESSION_DEPTH_MAX: usize = 24;
/// Nesting depth of evaluation, including locals that expressions refer to. Each level takes several stack frames.
pub const HCL_EVALUATION_DEPTH_MAX: usize = 64;
/// Nesting depth of evaluation on a large stack.
const HCL_DEEP_EVALUATION_DEPTH_MAX: usize = 4 * HCL_EXPRESSION_DEPTH_MAX;
/// Nesting depth of lists and objects in a computed value. Code that traverses values is recursive.
pub const HCL_VALUE_DEPTH_MAX: usize = 64;
/// Steps for evaluating one document: expressions, values made or copied, and bytes of parsed expressions. A document
/// of the maximum size with plain values only takes a quarter.
pub const HCL_EVALUATION_STEPS_MAX: usize = 4_000_000;
/// Text made by evaluating one document, bytes: eight times the size of the largest document.
pub const HCL_EVALUATION_BYTES_MAX: usize = 8 * HCL_BYTES_MAX;

/// Error in a document and its position. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {text}")]
pub struct Error {
    /// Line of the fault.
    pub line: u32,
    /// Column of the fault.
    pub column: u32,
    /// Message for the author of the document.
    pub text: String,
}

impl Error {
    /// Creates an error at a position.
    pub fn at(position: Position, text: impl Into<String>) -> Error {
        Error { line: position.line, column: position.column, text: text.into() }
    }
}

/// How the values of a document are read. The grammar of bodies is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Jobspec: expressions are evaluated. A `${…}` is evaluated too, or kept verbatim if only the node that runs the
    /// task can resolve it.
    Jobspec,
    /// HCL1, of agent configurations and old jobspecs: strings are literal, expressions are rejected.
    Configuration,
    /// JSON document with a single object. Strings are literal.
    Json,
}

/// Parses a document. The variables of a jobspec take their defaults.
///
/// # Errors
/// The first fault, with its line and column.
pub fn parse(text: &str, dialect: Dialect) -> Result<Body, Error> {
    let mut reader = Reader::new(dialect);
    match dialect {
        Dialect::Jobspec => parse_with(text, &Variables::new()).map(|document| document.body),
        Dialect::Configuration => {
            let text = document::unix_lines(text);
            let written = document::read(&text, &mut reader)?;
            Evaluator::new(None).body(&written, dialect)
        }
        Dialect::Json => {
            let mut cursor = document::begin(text)?;
            json::check(text)?;
            let written = value::document(&mut cursor, &mut reader)?;
            let value = Evaluator::new(None).value(&written)?;
            let text = "the document has to be one JSON object";
            value.as_body().ok_or_else(|| Error::at(Position { line: 1, column: 1 }, text))
        }
    }
}

/// Parses a jobspec with the given variables.
///
/// # Errors
/// The first fault, with its line and column.
pub fn parse_with(text: &str, variables: &Variables) -> Result<Document, Error> {
    document::evaluate(text, variables)
}

/// Parses an HCL1 jobspec: strings are literal and there are no expressions.
///
/// # Errors
/// The first fault, with its line and column.
pub fn parse_hcl1(text: &str) -> Result<Document, Error> {
    let dialect = Dialect::Configuration;
    let mut reader = Reader::new(dialect);
    let text = document::unix_lines(text);
    let written = document::read(&text, &mut reader)?;
    let body = Evaluator::new(None).body(&written, dialect)?;
    Ok(Document { body, dialect, old_layout: reader.old_layout })
}

/// Returns at most the first forty characters of the first line, for an error text.
pub(crate) fn shortened(written: &str) -> String {
    let line = written.lines().next().unwrap_or_default();
    match line.char_indices().nth(40) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}
