//! Pages of lists: a page of a hundred rows reads a hundred rows, however long the table is.

use std::num::NonZeroUsize;

use prost::Message;

use super::reader::{ReaderExt, Visit};
use super::{Corrupt, Reader, Table, key};

#[cfg(test)]
mod tests;

/// Which end of a list its first row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// In the order of the keys.
    #[default]
    Forward,
    /// The last key first (`reverse=true`).
    Reverse,
}

/// The rows of a list, and where in them a page begins.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The table.
    pub table: Table,
    /// Only rows whose keys begin with it.
    pub prefix: &'a [u8],
    /// The key of the page's first row, or, where that row is gone, of the one that would have come next
    /// in this direction. `None`: the list's first row.
    pub from: Option<&'a [u8]>,
    /// The order of the rows.
    pub direction: Direction,
}

/// Where a row of a list falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the page.
    OnPage,
    /// Behind it: the row that the next page begins with.
    NextPage,
}

/// Calls `visit` with the rows of a span in its direction, until it answers false. Nothing is read that
/// is not visited.
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

/// Reads one page. `visit` is called with the rows of a span in their order and answers whether the row
/// belongs to the list (a filter may pass over it); rows that cannot be decoded are passed over. After `rows_max` rows that do (`None`: all), the next
/// one that does is visited once more as [`Place::NextPage`], to make the token of, and is the last.
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
