//! Pages of lists. Reading a page of n rows reads about n rows, however long the table is.

use std::num::NonZeroUsize;

use prost::Message;

use super::reader::{ReaderExt, Visit};
use super::{Corrupt, Reader, Table, key};

#[cfg(test)]
mod tests;

/// The end of a list at which reading begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// In key order.
    #[default]
    Forward,
    /// In reverse key order (`reverse=true`).
    Reverse,
}

/// The rows of a list, and the start of a page in them.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The table.
    pub table: Table,
    /// Only rows whose keys begin with this prefix belong to the list.
    pub prefix: &'a [u8],
    /// Key of the page's first row. If that row no longer exists, the page begins with the row that follows it in this
    /// direction. `None`: the list's first row.
    pub from: Option<&'a [u8]>,
    /// The order of the rows.
    pub direction: Direction,
}

/// Position of a row relative to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The row is on the page.
    OnPage,
    /// The row is the first one of the next page.
    NextPage,
}

/// Calls `visit` with the rows of a span in its direction until it returns false. Reads only rows that are visited.
pub fn scan_span(reader: &dyn Reader, span: &Span<'_>, visit: &mut Visit<'_>) -> Result<(), Corrupt> {
    let end = key::end_of(span.prefix);
    match (span.direction, span.from) {
        (Direction::Forward, from) => {
            let start = from.unwrap_or_default().max(span.prefix);
            reader.scan(span.table, start, end.as_deref(), visit)
        }
        (Direction::Reverse, None) => reader.scan_reverse(span.table, span.prefix, end.as_deref(), visit),
        (Direction::Reverse, Some(from)) => {
            let after = key::after(from);
            let last = end.filter(|end| *end < after).unwrap_or(after);
            reader.scan_reverse(span.table, span.prefix, Some(&last), visit)
        }
    }
}

/// Reads one page. Calls `visit` with the rows of a span in order; `visit` returns whether a row belongs to the list
/// (a filter may reject it). Skips rows that cannot be decoded. After `rows_max` rows of the list (`None`: no limit),
/// the next one is passed as [`Place::NextPage`], to make the next page's token from, and reading ends.
pub fn page<M: Message + Default, E: From<Corrupt>>(
    reader: &dyn Reader,
    span: &Span<'_>,
    rows_max: Option<NonZeroUsize>,
    visit: &mut dyn FnMut(M, Place) -> Result<bool, E>,
) -> Result<(), E> {
    let mut rows_left = rows_max.map_or(usize::MAX, NonZeroUsize::get);
    let mut failed = None;
    scan_span(reader, span, &mut |at, bytes| {
        let Some(row) = reader.decoded(span.table, at, bytes) else { return Ok(true) };
        let place = if rows_left == 0 { Place::NextPage } else { Place::OnPage };
        match visit(row, place) {
            Ok(belongs) => {
                rows_left = rows_left.saturating_sub(usize::from(belongs));
                Ok(!(belongs && place == Place::NextPage))
            }
            Err(error) => {
                failed = Some(error);
                Ok(false)
            }
        }
    })?;
    failed.map_or(Ok(()), Err)
}
