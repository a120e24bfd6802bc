//! Pages of lists: what of `per_page`, `next_token`, `reverse` and `filter` a request asks for.

use std::num::NonZeroUsize;

use ordu_core::filter::{Filter, FilterError};
use ordu_core::state::{Direction, IdToken, InvalidToken, Place, Span, Table, page};
use prost::Message;
use serde::Serialize;

use super::answer::encode;
use super::blocking::View;
use super::error::HttpError;
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

/// What a list is made of.
pub(super) struct Listing<'l, M> {
    pub(super) table: Table,
    /// What the keys begin with.
    pub(super) prefix: &'l [u8],
    /// Where the page begins, by its token.
    pub(super) from: Option<Vec<u8>>,
    /// Whether a row is of the namespace, and whatever else is asked for.
    pub(super) belongs: &'l dyn Fn(&M) -> bool,
    /// The token of a page that begins with this row.
    pub(super) token: fn(&M) -> String,
}

/// An entry of any list: it is asked by the filter and written into the page.
pub(super) trait ListEntry {
    /// Whether the filter lets it pass.
    fn passes(&self, filter: &Filter) -> Result<bool, HttpError>;
    /// Its JSON.
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

/// Takes a row's entry, once; answers whether it belongs to the list.
pub(super) type Take<'e> = dyn FnMut(&dyn ListEntry) -> Result<bool, HttpError> + 'e;

impl Paging {
    /// Of a request.
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

    /// Reads a page. `show` hands a row's entry to the page.
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
        let mut json = vec![b'['];
        let mut next_token = None;
        page::<M, HttpError>(view.reader, &span, self.rows_max, &mut |row: M, place| {
            if !(listing.belongs)(&row) {
                return Ok(false);
            }
            let belongs = show(&row, &mut |entry| {
                if let Some(filter) = &self.filter
                    && !entry.passes(filter)?
                {
                    return Ok(false);
                }
                if place == Place::OnPage {
                    if json.len() > 1 {
                        json.push(b',');
                    }
                    entry.write(&mut json);
                }
                Ok(true)
            })?;
            if belongs && place == Place::NextPage {
                next_token = Some((listing.token)(&row));
            }
            Ok(belongs)
        })?;
        json.push(b']');
        Ok(Page { json, next_token })
    }
}

impl From<FilterError> for HttpError {
    fn from(error: FilterError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// Where a page of a list in the order of ids begins.
pub(super) fn from_id(request: &Request) -> Result<Option<Vec<u8>>, HttpError> {
    let token = request.given("next_token").map(IdToken::parse).transpose().map_err(refused)?;
    Ok(token.map(|token| token.id.to_vec()))
}

/// A token that no list has given.
pub(super) fn refused(invalid: InvalidToken) -> HttpError {
    HttpError::bad_request(invalid.to_string())
}

/// The token of a page that begins with a row of this id.
pub(super) fn id_token(id: &[u8]) -> String {
    let id = ordu_core::state::Id::try_from(id).unwrap_or_default();
    IdToken { create_index: None, id }.to_string()
}
