//! Pages of lists, as requested by `per_page`, `next_token`, `reverse` and `filter`.

use std::num::NonZeroUsize;

use ordu_core::filter::{Filter, FilterError};
use ordu_core::state::{Direction, IdToken, InvalidToken, Place, Span, Table, page};
use prost::Message;
use serde::Serialize;

use super::answer::encode;
use super::blocking::View;
use super::error::HttpError;
use super::handlers::JsonList;
use super::request::Request;

/// Which rows of a list a request asks for.
pub(super) struct Paging {
    rows_max: Option<NonZeroUsize>,
    direction: Direction,
    filter: Option<Filter>,
}

/// A page's JSON, and the token of the next page if there is one.
pub(super) struct Page {
    pub(super) json: Vec<u8>,
    pub(super) next_token: Option<String>,
}

/// A list of a table's rows.
pub(super) struct Listing<'l, M> {
    pub(super) table: Table,
    /// Prefix of the keys.
    pub(super) prefix: &'l [u8],
    /// Key at which the page begins, from its token.
    pub(super) from: Option<Vec<u8>>,
    /// Whether a row belongs to the list, by its namespace and the other criteria of the request.
    pub(super) belongs: &'l dyn Fn(&M) -> bool,
    /// Returns the token of a page that begins with this row.
    pub(super) token: fn(&M) -> String,
}

/// An entry of any list: the filter evaluates it, and it is written into the page.
pub(super) trait ListEntry {
    /// Whether the filter matches it.
    fn passes(&self, filter: &Filter) -> Result<bool, HttpError>;
    /// Appends its JSON.
    fn write(&self, out: &mut Vec<u8>);
}

impl<T: Serialize> ListEntry for T {
    fn passes(&self, filter: &Filter) -> Result<bool, HttpError> {
        Ok(filter.matches(self)?)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&encode(self));
    }
}

/// Receives a row's entry, at most once a row; returns whether the entry belongs to the list.
pub(super) type Take<'e> = dyn FnMut(&dyn ListEntry) -> Result<bool, HttpError> + 'e;

impl Paging {
    /// Reads the paging parameters of a request.
    pub(super) fn of(request: &Request) -> Result<Self, HttpError> {
        let rows_max = match request.given("per_page") {
            None => None,
            Some(text) => {
                let rows: u32 = text.parse().map_err(|_| {
                    HttpError::bad_request(format!("Invalid per_page: {text:?} is no number of rows"))
                })?;
                NonZeroUsize::new(rows as usize)
            }
        };
        let reverse = match request.given("reverse") {
            None => false,
            Some(_) => request.flag("reverse").map_err(|error| HttpError::bad_request(error.text))?,
        };
        let filter = request.given("filter").map(Filter::parse).transpose()?;
        Ok(Self {
            rows_max,
            direction: if reverse { Direction::Reverse } else { Direction::Forward },
            filter,
        })
    }

    /// Reads a page from a table. `show` makes a row's entry and hands it to the page.
    pub(super) fn read<M: Message + Default>(
        &self,
        view: &View<'_>,
        listing: &Listing<'_, M>,
        show: &mut dyn FnMut(&M, &mut Take<'_>) -> Result<bool, HttpError>,
    ) -> Result<Page, HttpError> {
        let span = Span {
            table: listing.table,
            prefix: listing.prefix,
            from: listing.from.as_deref(),
            direction: self.direction,
        };
        let mut list = JsonList::new();
        let mut next_token = None;
        page::<M, HttpError>(view.reader, &span, self.rows_max, &mut |row: M, place| {
            if !(listing.belongs)(&row) {
                return Ok(false);
            }
            let belongs = show(&row, &mut |entry| self.take(&mut list, entry, place))?;
            if belongs && place == Place::NextPage {
                next_token = Some((listing.token)(&row));
            }
            Ok(belongs)
        })?;
        Ok(Page { json: list.finish(), next_token })
    }

    /// Returns a page of `rows`, which are in memory and in the order of their ids.
    pub(super) fn of_rows<M>(
        &self,
        request: &Request,
        mut rows: Vec<M>,
        id: fn(&M) -> &[u8],
        show: &mut dyn FnMut(&M, &mut Take<'_>) -> Result<bool, HttpError>,
    ) -> Result<Page, HttpError> {
        let from = from_id(request)?;
        let is_before = |row: &M| match (&from, self.direction) {
            (None, _) => false,
            (Some(from), Direction::Forward) => id(row) < from.as_slice(),
            (Some(from), Direction::Reverse) => id(row) > from.as_slice(),
        };
        if self.direction == Direction::Reverse {
            rows.reverse();
        }
        let mut rows_left = self.rows_max.map_or(usize::MAX, NonZeroUsize::get);
        let mut list = JsonList::new();
        for row in rows.iter().skip_while(|row| is_before(row)) {
            let place = if rows_left == 0 { Place::NextPage } else { Place::OnPage };
            if !show(row, &mut |entry| self.take(&mut list, entry, place))? {
                continue;
            }
            if place == Place::NextPage {
                return Ok(Page { json: list.finish(), next_token: Some(id_token(id(row))) });
            }
            rows_left -= 1;
        }
        Ok(Page { json: list.finish(), next_token: None })
    }

    /// Adds an entry to the list if the filter matches. The entry after the page is only matched.
    fn take(&self, list: &mut JsonList, entry: &dyn ListEntry, place: Place) -> Result<bool, HttpError> {
        if let Some(filter) = &self.filter
            && !entry.passes(filter)?
        {
            return Ok(false);
        }
        if place == Place::OnPage {
            entry.write(list.next());
        }
        Ok(true)
    }
}

impl From<FilterError> for HttpError {
    fn from(error: FilterError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// Returns the id at which a page begins, for a list in the order of ids.
pub(super) fn from_id(request: &Request) -> Result<Option<Vec<u8>>, HttpError> {
    let token = request.given("next_token").map(IdToken::parse).transpose().map_err(refused)?;
    Ok(token.map(|token| token.id.to_vec()))
}

/// Refuses a token that no list has issued.
pub(super) fn refused(invalid: InvalidToken) -> HttpError {
    HttpError::bad_request(invalid.to_string())
}

/// Returns the token of a page that begins with the row of this id.
pub(super) fn id_token(id: &[u8]) -> String {
    let id = ordu_core::state::Id::try_from(id).unwrap_or_default();
    IdToken { create_index: None, id }.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::request::asked;

    /// Returns the numbers on a page of rows whose ids are 0 to 9, and the next page's token.
    fn page_of(query: &str) -> (Vec<u64>, Option<String>) {
        let request = asked(query).unwrap();
        let rows: Vec<([u8; 16], u8)> = (0..10).map(|number| ([number; 16], number)).collect();
        let page = Paging::of(&request).unwrap().of_rows(&request, rows, |(id, _)| id, &mut |row, take| {
            take(&json!({ "Number": row.1, "Odd": row.1 % 2 == 1 }))
        });
        let page = page.unwrap();
        let entries: Vec<Value> = serde_json::from_slice(&page.json).unwrap();
        (entries.iter().map(|entry| entry["Number"].as_u64().unwrap()).collect(), page.next_token)
    }

    fn token(number: u8) -> String {
        id_token(&[number; 16])
    }

    #[test]
    fn rows_at_hand_are_paged_as_rows_of_a_table_are() {
        assert_eq!(((0..10).collect(), None), page_of(""));
        assert_eq!((vec![0, 1, 2], Some(token(3))), page_of("per_page=3"));
        assert_eq!((vec![3, 4, 5], Some(token(6))), page_of(&format!("per_page=3&next_token={}", token(3))));
        assert_eq!((vec![8, 9], None), page_of(&format!("per_page=2&next_token={}", token(8))));
        assert_eq!((vec![9, 8], Some(token(7))), page_of("per_page=2&reverse=true"));
        let last = format!("per_page=9&reverse=true&next_token={}", token(1));
        assert_eq!((vec![1, 0], None), page_of(&last));
        assert_eq!((vec![1, 3], Some(token(5))), page_of("per_page=2&filter=Odd%20==%20true"));
        // The token's row does not exist: the page begins with the next row in its direction.
        let (between, beyond) = ("05050505-0505-0505-0505-060000000000", token(99));
        assert_eq!(Some(&6), page_of(&format!("next_token={between}")).0.first());
        assert_eq!(Some(&5), page_of(&format!("next_token={between}&reverse=true")).0.first());
        assert_eq!((vec![], None), page_of(&format!("next_token={beyond}")));
    }
}
