//! Errors of parsing and of evaluating an expression. Their texts are complete answers; clients match how they begin.

use serde::Serialize;

use super::datum::Datum;
use super::pick::pick;
use super::wanted::ALL;
use super::{FILTER_BYTES_MAX, FILTER_STEPS_MAX};
use crate::hcl::nearest;

/// Why a filter cannot be parsed or evaluated: the client's fault (400), in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The expression is longer than the limit.
    #[error(
        "failed to read filter expression: it has {0} bytes, and no more than {FILTER_BYTES_MAX} are read"
    )]
    TooLong(usize),
    /// The text is not a valid expression.
    #[error("failed to read filter expression: column {column}: {text}")]
    Syntax {
        /// Column, in characters from 1.
        column: usize,
        /// What was expected and what was found.
        text: String,
    },
    /// The expression does not fit the type or a value of a row.
    #[error("failed to read result page: {0}")]
    Row(String),
}

/// Failure of evaluating an expression on a row.
#[derive(Debug)]
pub(super) enum Fault {
    /// The type of the row has no such member.
    UnknownMember { path: String, part: usize, name: String },
    /// The value found cannot be compared in this way.
    Mismatch(String),
    /// The row takes more comparisons than allowed.
    TooManySteps,
}

impl Fault {
    /// Converts to an error, with a hint at the member of `row` that was probably meant.
    pub(super) fn of<T: Serialize + ?Sized>(self, row: &T) -> FilterError {
        FilterError::Row(match self {
            Fault::UnknownMember { path, part, name } => {
                let meant = if part == 0 { likely_member(row, &name) } else { None };
                let hint = meant.map(|member| format!("; did you mean {member}?")).unwrap_or_default();
                format!(
                    "error finding value in datum: {path} at part {part}: couldn't find key {name:?}{hint}"
                )
            }
            Fault::Mismatch(text) => text,
            Fault::TooManySteps => format!(
                "the filter takes more than {FILTER_STEPS_MAX} comparisons for one row: \
                 `any` and `all` within each other multiply"
            ),
        })
    }
}

fn likely_member<T: Serialize + ?Sized>(row: &T, name: &str) -> Option<String> {
    let Ok(Datum::Object(object)) = pick(row, &ALL) else { return None };
    nearest(name, object.members.iter().map(|(member, _)| member.as_ref())).map(str::to_owned)
}
