//! HCL in both dialects: a tolerant reader of bodies in which every node knows its line and column.
//!
//! Nomad's documents put several attributes and blocks on one line, quote keys, and write lists over
//! lines, which readers of strict HCL2 refuse. The body grammar here is our own and takes all of it; what
//! is more than a plain value is read by a maintained crate and evaluated here, within bounds.
//!
//! A document goes text → `syntax` (as it is written) → [`Body`] (as it is meant).

mod body;
mod convert;
mod cursor;
mod document;
mod duration;
mod escape;
mod evaluate;
mod fragment;
mod resolve;
mod scan;
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

/// A document of more bytes than this is refused: Nomad's own bound for a job's source.
pub const HCL_BYTES_MAX: usize = 1 << 20;
/// Blocks, lists and objects within each other; deeper is refused before the stack is in danger.
pub const HCL_DEPTH_MAX: usize = 32;
/// Bytes of one expression: room for any that is written by hand, and for a table within a function's call.
pub const HCL_EXPRESSION_BYTES_MAX: usize = 64 * 1024;
/// Members of the objects in one expression. The parser of expressions compares each with all before it.
pub const HCL_EXPRESSION_MEMBERS_MAX: usize = 512;
/// Brackets, templates and conditionals within each other in one expression: the parser of expressions takes
/// a good part of the stack for each.
pub const HCL_EXPRESSION_DEPTH_MAX: usize = 24;
/// Expressions within each other, locals that they refer to included: each is some frames on the stack.
pub const HCL_EVALUATION_DEPTH_MAX: usize = 64;
/// Lists and objects within each other in a value that was made: what walks through them walks the stack.
pub const HCL_VALUE_DEPTH_MAX: usize = 64;
/// Steps that evaluating one document may take: expressions, values that are made or copied, and bytes of
/// expressions that are read. A document of the greatest size that only says plain values takes a quarter.
pub const HCL_EVALUATION_STEPS_MAX: usize = 4_000_000;
/// Bytes of text that evaluating one document may make: eight times the greatest document.
pub const HCL_EVALUATION_BYTES_MAX: usize = 8 * HCL_BYTES_MAX;

/// What is wrong with a document, and where. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {text}")]
pub struct Error {
    /// Line of the fault.
    pub line: u32,
    /// Column of the fault.
    pub column: u32,
    /// A sentence for the author of the document.
    pub text: String,
}

impl Error {
    /// An error at a position.
    pub fn at(position: Position, text: impl Into<String>) -> Error {
        Error { line: position.line, column: position.column, text: text.into() }
    }
}

/// How the values of a document are read; the body grammar is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Jobspecs: `${…}` is resolved or, where only the node that runs the task can, kept verbatim;
    /// expressions are evaluated.
    Jobspec,
    /// Agent configuration: strings are taken as they stand, expressions are refused.
    Configuration,
    /// A JSON document: one object. Strings are taken as they stand.
    Json,
}

/// Reads a document. A jobspec's variables have their defaults.
///
/// # Errors
/// The first fault, with its line and column.
pub fn parse(text: &str, dialect: Dialect) -> Result<Body, Error> {
    let mut reader = Reader::new(dialect);
    match dialect {
        Dialect::Jobspec => parse_with(text, &Variables::new()).map(|document| document.body),
        Dialect::Configuration => {
            let written = document::read(text, &mut reader)?;
            Evaluator::new().body(&written, dialect)
        }
        Dialect::Json => {
            let mut cursor = document::begin(text)?;
            // The strict check first: our own reader would take more than JSON.
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
                let position = Position { line: error.line() as u32, column: error.column() as u32 };
                return Err(Error::at(position, format!("this is not JSON: {error}")));
            }
            let written = value::document(&mut cursor, &mut reader)?;
            let value = Evaluator::new().value(&written)?;
            let text = "the document has to be one JSON object";
            value.as_body().ok_or_else(|| Error::at(Position { line: 1, column: 1 }, text))
        }
    }
}

/// Reads a jobspec with the values that are given for its variables.
///
/// # Errors
/// The first fault, with its line and column.
pub fn parse_with(text: &str, variables: &Variables) -> Result<Document, Error> {
    document::evaluate(text, variables)
}

/// Reads a jobspec in HCL1: nothing in its strings is evaluated, and there are no expressions.
///
/// # Errors
/// The first fault, with its line and column.
pub fn parse_hcl1(text: &str) -> Result<Document, Error> {
    let mut reader = Reader::new(Dialect::Configuration);
    let written = document::read(text, &mut reader)?;
    let body = Evaluator::new().body(&written, Dialect::Configuration)?;
    Ok(Document { body, old_layout: reader.old_layout })
}

/// At most the first forty characters of the first line, for an error's text.
pub(crate) fn shortened(written: &str) -> String {
    let line = written.lines().next().unwrap_or_default();
    match line.char_indices().nth(40) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}
