//! Why an expression is not one, or cannot be asked of a row. The texts are whole answers: clients match
//! their beginnings.

use serde::Serialize;

use super::datum::Datum;
use super::pick::pick;
use super::wanted::ALL;
use super::{FILTER_BYTES_MAX, FILTER_STEPS_MAX};
use crate::hcl::nearest;

/// A filter that cannot be answered: the caller's fault (400), told in one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The text is longer than is read.
    #[error(
        "failed to read filter expression: it has {0} bytes, and no more than {FILTER_BYTES_MAX} are read"
    )]
    TooLong(usize),
    /// The text is not an expression.
    #[error("failed to read filter expression: column {column}: {text}")]
    Syntax {
        /// Where, in characters from 1.
        column: usize,
        /// What was expected and what was found.
        text: String,
    },
    /// The expression does not fit a row.
    #[error("failed to read result page: {0}")]
    Row(String),
}

/// What went wrong at a row.
#[derive(Debug)]
pub(super) enum Fault {
    /// The row's type has no such member.
    UnknownMember { path: String, part: usize, name: String },
    /// What was found cannot be compared so.
    Mismatch(String),
    /// More comparisons than a row may take.
    TooManySteps,
}

impl Fault {
    /// The error for a row; the row itself knows which member may have been meant.
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
