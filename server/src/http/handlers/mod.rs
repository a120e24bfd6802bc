//! The handlers of the routes. Each reads the request, makes one call, and encodes the result.

pub(super) mod agent;
pub(super) mod allocations;
pub(super) mod autopilot;
pub(super) mod children;
pub(super) mod deployments;
pub(super) mod dry_runs;
pub(super) mod evaluations;
pub(super) mod feature_level;
pub(super) mod jobs;
pub(super) mod nodes;
#[cfg(feature = "next-level")]
pub(super) mod notes;
pub(super) mod operator;
pub(super) mod registrations;
pub(super) mod search;
pub(super) mod system;
pub(super) mod versions;

use ordu_core::state::{Corrupt, Id, Reader, Table, read};

use super::error::HttpError;
use super::ids;
use super::request::Request;

/// A JSON list, written item by item.
pub(super) struct JsonList(Vec<u8>);

impl JsonList {
    pub(super) fn new() -> Self {
        Self(vec![b'['])
    }

    /// Returns the buffer that the next item is to be appended to.
    pub(super) fn next(&mut self) -> &mut Vec<u8> {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        &mut self.0
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.push(b']');
        self.0
    }
}

/// Parses the path's id; errors say that `what` (`alloc`, `eval`, `node`) was looked up.
fn id_of(request: &Request, what: &str) -> Result<Id, HttpError> {
    ids::parse(&request.id).map_err(|fault| lookup_failed(what, &fault))
}

/// Returns the index of the table that a list is read from.
fn index_of(reader: &dyn Reader, table: Table) -> Result<u64, Corrupt> {
    Ok(read::indexes(reader)?.get(table))
}

/// Parses the requested prefix of ids.
fn id_prefix(request: &Request, what: &str) -> Result<Vec<u8>, HttpError> {
    ids::parse_prefix(request.prefix()).map_err(|fault| lookup_failed(what, &fault))
}

fn lookup_failed(what: &str, fault: &str) -> HttpError {
    HttpError::bad_request(format!("{what} lookup failed: index error: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_commas_between_its_items_only() {
        assert_eq!(b"[]", &*JsonList::new().finish());
        let mut list = JsonList::new();
        for item in ["1", "{}"] {
            list.next().extend_from_slice(item.as_bytes());
        }
        assert_eq!(b"[1,{}]", &*list.finish());
    }
}
