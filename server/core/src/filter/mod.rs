//! The filter expressions of lists (`?filter=`), as Nomad documents them.
//!
//! ```text
//! Status == "running" and (Type != batch or Meta.owner matches "^team-[ab]$") and "dc1" in Datacenters
//! ```
//!
//! - A selector is a path of names: `JobSummary.Summary.web.Running`, `Meta["a b"]`, `TaskGroups.0.Name`,
//!   or a JSON pointer in quotes, `"/Meta/a b"`. Names are written as in the JSON of the rows.
//! - The operators are `==`, `!=`, `contains`, `not contains`, `in`, `not in`, `matches`, `not matches`,
//!   `is empty`, `is not empty`, `is nil` and `is not nil`; `and`, `or`, `not` and parentheses connect.
//!   Containing means elements of a list, keys of a map and parts of a text.
//! - A value is quoted by `"` (with escapes) or by backticks (without), or it is a bare number or word. It
//!   is read as what the selector finds: a number, a truth value or a text.
//! - `any Selector as element { … }` and `all … { … }` look at the elements of lists; with two names, `as
//!   index, element`. Of a map it is the key, or `key, element`. `_` is a name for what is not needed.
//!
//! What is not there: a name that the type of the rows does not have is an error, once a row is compared by
//! it. A key that a map does not have, an index behind a list's end, and all that is null are *nothing*:
//! `!=`, `not in`, `not contains`, `not matches`, `is empty` and `is nil` hold of it, the others do not;
//! `any` finds no element in it and `all` no exception. Members that a document leaves out because they
//! are zero are zero. (Nomad before 1.6 failed on a missing key; the web interface and the documents count
//! on what is done since.)
//!
//! Regular expressions are those of the `regex` crate. They differ from Nomad's in that `\Q…\E` is none and
//! that `\w`, `\d`, `\s` and `\b` know all of Unicode's letters, digits and spaces.

mod cursor;
mod datum;
mod error;
mod evaluate;
mod expression;
mod operand;
mod parse;
mod pick;
#[cfg(test)]
mod tests;
mod wanted;

pub use error::FilterError;

use serde::Serialize;

use evaluate::Evaluation;
use expression::Expression;
use wanted::Wanted;

/// Bytes of an expression; a longer one is refused. It bounds the comparisons of one row, too.
pub const FILTER_BYTES_MAX: usize = 8 * 1024;
/// Parentheses and braces within each other; deeper is refused before the stack is in danger.
pub const FILTER_NESTING_MAX: usize = 32;
/// Names in one selector.
pub const FILTER_SELECTOR_NAMES_MAX: usize = 32;
/// Regular expressions in one filter: each may take [`FILTER_REGEX_BYTES_MAX`].
pub const FILTER_REGEXES_MAX: usize = 16;
/// Memory of a compiled regular expression, and as much again for its cache, bytes.
pub const FILTER_REGEX_BYTES_MAX: usize = 256 * 1024;
/// Comparisons and elements visited in one row: `any` and `all` within each other multiply.
pub const FILTER_STEPS_MAX: u32 = 10_000;

/// An expression, read and ready to be asked of many rows.
#[derive(Clone, Debug)]
pub struct Filter {
    expression: Expression,
    wanted: Wanted,
}

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    /// What was expected and what was found, at which column.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let (expression, wanted) = parse::parse(text)?;
        Ok(Filter { expression, wanted })
    }

    /// Whether a row is one that the expression asks for. The row is anything with a JSON: the entry of a
    /// list or a [`serde_json::Value`]. Only the members that the expression names are read from it.
    ///
    /// # Errors
    /// A name that the row's type does not have, or a value that cannot be compared with what was found.
    pub fn matches<T: Serialize + ?Sized>(&self, row: &T) -> Result<bool, FilterError> {
        let datum = pick::pick(row, &self.wanted)?;
        Evaluation::new(&datum).holds(&self.expression).map_err(|fault| fault.of(row))
    }

    /// The members of a row that the expression names; for those who make rows no larger than asked for.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.wanted.names()
    }
}
