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
//!   `contains` and `in` look for elements of lists, keys of maps and substrings of strings.
//! - A value is quoted by `"` (with escapes) or by backticks (without), or it is a bare number or word. It
//!   is interpreted by the type that the selector finds: as a number, a boolean or a string.
//! - `any Selector as element { … }` and `all … { … }` test the elements of a list; two names bind `index,
//!   element`. In a map, one name binds the key, two bind `key, element`. `_` is an unused name.
//!
//! Missing values: a name that the type of the rows does not have is an error as soon as a comparison reads
//! it. A key that a map does not have, an index beyond a list's end, and null are *nothing*: `!=`, `not in`,
//! `not contains`, `not matches`, `is empty` and `is nil` hold for it, the other operators do not; `any` is
//! false and `all` is true. Members that the JSON of a row omits because they are zero compare as zero.
//! (Nomad before 1.6 failed on a missing key; its web interface and documentation rely on the later behaviour.)
//!
//! Regular expressions have the syntax of the `regex` crate. Unlike in Nomad, `\Q…\E` is not supported, and
//! `\w`, `\d`, `\s` and `\b` cover all letters, digits and spaces of Unicode.

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

/// Size of an expression, bytes; a longer one is rejected. Indirectly limits the comparisons per row.
pub const FILTER_BYTES_MAX: usize = 8 * 1024;
/// Nesting depth of parentheses and braces; protects the stack.
pub const FILTER_NESTING_MAX: usize = 32;
/// Names in one selector.
pub const FILTER_SELECTOR_NAMES_MAX: usize = 32;
/// Regular expressions in one filter. Each may use [`FILTER_REGEX_BYTES_MAX`].
pub const FILTER_REGEXES_MAX: usize = 16;
/// Memory of a compiled regular expression, bytes. Its cache may use as much again.
pub const FILTER_REGEX_BYTES_MAX: usize = 256 * 1024;
/// Comparisons and visited elements per row; nested `any` and `all` multiply them.
pub const FILTER_STEPS_MAX: u32 = 10_000;

/// Parsed filter expression, ready to be evaluated on many rows.
#[derive(Clone, Debug)]
pub struct Filter {
    expression: Expression,
    wanted: Wanted,
}

impl Filter {
    /// Parses an expression.
    ///
    /// # Errors
    /// Names the column, what was expected and what was found.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let (expression, wanted) = parse::parse(text)?;
        Ok(Filter { expression, wanted })
    }

    /// Whether a row satisfies the expression. The row is any value that serialises to JSON: a list entry or a
    /// [`serde_json::Value`]. Only the members that the expression names are read.
    ///
    /// # Errors
    /// The row's type lacks a name in the expression, or a value cannot be compared with the literal.
    pub fn matches<T: Serialize + ?Sized>(&self, row: &T) -> Result<bool, FilterError> {
        let datum = pick::pick(row, &self.wanted)?;
        Evaluation::new(&datum).holds(&self.expression).map_err(|fault| fault.of(row))
    }

    /// Returns the members of a row that the expression names, so that callers can build rows without the others.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.wanted.names()
    }
}
