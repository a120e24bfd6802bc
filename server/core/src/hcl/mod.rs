//! HCL in both dialects: a tolerant reader of bodies in which every node knows its line and column.
//!
//! Nomad's documents put several attributes and blocks on one line, quote keys, and write lists over
//! lines, which readers of strict HCL2 refuse. The body grammar here is our own and takes all of it;
//! only expressions (arithmetic, conditionals) are handed to a maintained crate.

mod body;
mod convert;
mod cursor;
mod duration;
mod expression;
mod suggest;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod value;

pub use duration::parse_duration_ns;
pub use suggest::nearest;
pub use tree::{Attribute, Block, Body, Entry, Label, Member, Position, Value, ValueKind};

use cursor::Cursor;

/// A document of more bytes than this is refused: Nomad's own bound for a job's source.
pub const HCL_BYTES_MAX: usize = 1 << 20;
/// Blocks, lists and objects within each other; deeper is refused before the stack is in danger.
pub const HCL_DEPTH_MAX: usize = 32;
/// Bytes of one expression (`1 + 2`) that are handed to the evaluator.
pub const HCL_EXPRESSION_BYTES_MAX: usize = 1024;
/// Operators in one expression: each may nest the evaluator by one level.
pub const HCL_EXPRESSION_OPERATORS_MAX: usize = 24;

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

/// Reads a document.
///
/// # Errors
/// The first fault, with its line and column.
pub fn parse(text: &str, dialect: Dialect) -> Result<Body, Error> {
    let start = Position { line: 1, column: 1 };
    if text.len() > HCL_BYTES_MAX {
        let text = format!("the document has {} bytes; {HCL_BYTES_MAX} are the most", text.len());
        return Err(Error::at(start, text));
    }
    let mut cursor = Cursor::new(text.strip_prefix('\u{feff}').unwrap_or(text), start);
    match dialect {
        Dialect::Jobspec | Dialect::Configuration => body::document(&mut cursor, dialect),
        Dialect::Json => {
            // The strict check first: our own reader would take more than JSON.
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
                let position = Position { line: error.line() as u32, column: error.column() as u32 };
                return Err(Error::at(position, format!("this is not JSON: {error}")));
            }
            let value = value::document(&mut cursor)?;
            value.as_body().ok_or_else(|| Error::at(start, "the document has to be one JSON object"))
        }
    }
}
