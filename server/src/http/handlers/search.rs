//! Search by prefix over all that has an id.

use std::num::NonZeroUsize;

use ordu_core::search::{Context, decode_search};
use ordu_core::state::{Direction, Place, Span, Table, key, page, read};
use ordu_proto::api::job::DEFAULT_NAMESPACE;
use ordu_proto::state::{Allocation, Deployment, Evaluation, Job, Node};
use prost::Message;

use crate::http::access::denied;
use crate::http::answer::encode;
use crate::http::blocking::{Found, View};
use crate::http::documents::search::{Matches, SearchResult};
use crate::http::error::HttpError;
use crate::http::request::Request;
use crate::http::{Api, ids};
use crate::watch::Key;

/// Most ids of a context in an answer, as in Nomad.
const MATCHES_MAX: NonZeroUsize = NonZeroUsize::new(20).expect("it is not zero");
/// The parameter that the body's context becomes.
const CONTEXT: &str = "context";
/// Index of the contexts that have no table but something to find: they have been there since the first log entry.
const FIRST_INDEX: u64 = 1;

/// Takes the search out of a body into the request.
pub(crate) fn take(api: &Api, request: &mut Request, body: &[u8]) -> Result<(), HttpError> {
    let search = decode_search(body)?;
    request.scope.settle_body(&search.region, &api.context.options.region, search.namespace)?;
    request.set("prefix", search.prefix)?;
    request.set(CONTEXT, search.context)
}

fn contexts(request: &Request) -> Result<Vec<Context>, HttpError> {
    Context::named(request.param(CONTEXT).unwrap_or_default()).map_err(HttpError::refused)
}

/// Returns the table of a context's rows.
fn table(context: Context) -> Option<Table> {
    match context {
        Context::Allocs => Some(Table::Allocs),
        Context::Jobs => Some(Table::Jobs),
        Context::Nodes => Some(Table::Nodes),
        Context::Evals => Some(Table::Evals),
        Context::Deployments => Some(Table::Deployments),
        Context::Plugins | Context::Volumes | Context::ScalingPolicies | Context::Namespaces => None,
    }
}

pub(crate) fn keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(contexts(request)?.into_iter().filter_map(table).map(Key::table).collect())
}

/// `PUT /v1/search`.
pub(crate) fn find(view: &View<'_>) -> Result<Found, HttpError> {
    let reads_namespace = view.request.scope.list_namespace().is_none_or(|asked| view.grant.shows(asked));
    let permitted = |context: &Context| match context {
        Context::Nodes => view.grant.reads_nodes(),
        _ => reads_namespace,
    };
    if !Context::ALL.iter().any(permitted) {
        return Err(denied());
    }
    let mut contexts = contexts(view.request)?;
    contexts.retain(permitted);
    if contexts.is_empty() {
        return Err(denied());
    }
    let indexes = read::indexes(view.reader)?;
    let (mut found, mut index) = (Vec::new(), 0);
    for context in contexts {
        // As in Nomad, a context of UUIDs is left out where the prefix is not the beginning of one.
        found.extend(matches(view, context)?.map(|matches| (context.name(), matches)));
        index = index.max(match (context, table(context)) {
            (_, Some(table)) => indexes.get(table),
            (Context::Namespaces, None) => FIRST_INDEX,
            (_, None) => 0,
        });
    }
    Ok(Found::json(index, encode(&SearchResult::of(found, index, view.freshness()))))
}

/// Returns a context's matches; `None` if the prefix cannot be the beginning of an id there.
fn matches(view: &View<'_>, context: Context) -> Result<Option<Matches>, HttpError> {
    match context {
        Context::Allocs => of_ids(view, Table::Allocs, |row: &Allocation| (&row.id, Some(&row.namespace))),
        Context::Nodes => of_ids(view, Table::Nodes, |row: &Node| (&row.id, None)),
        Context::Evals => of_ids(view, Table::Evals, |row: &Evaluation| (&row.id, Some(&row.namespace))),
        Context::Deployments => {
            of_ids(view, Table::Deployments, |row: &Deployment| (&row.id, Some(&row.namespace)))
        }
        Context::Jobs => of_jobs(view).map(Some),
        Context::Plugins | Context::Volumes | Context::ScalingPolicies => Ok(Some(Matches::default())),
        Context::Namespaces => {
            let is_found =
                DEFAULT_NAMESPACE.starts_with(view.request.prefix()) && view.grant.shows(DEFAULT_NAMESPACE);
            let ids = is_found.then(|| DEFAULT_NAMESPACE.to_owned()).into_iter().collect();
            Ok(Some(Matches { ids, truncated: false }))
        }
    }
}

fn of_jobs(view: &View<'_>) -> Result<Matches, HttpError> {
    let prefix = view.request.prefix();
    let begin = view.request.scope.list_namespace().map_or_else(Vec::new, |asked| key::job(asked, prefix));
    first(view, Table::Jobs, &begin, &|job: Job| {
        (view.lists(&job.namespace) && job.id.starts_with(prefix)).then_some(job.id)
    })
}

/// Finds rows whose keys are UUIDs. `of_row` returns a row's id, and its namespace if it has one.
fn of_ids<M: Message + Default>(
    view: &View<'_>,
    table: Table,
    of_row: fn(&M) -> (&Vec<u8>, Option<&String>),
) -> Result<Option<Matches>, HttpError> {
    let prefix = view.request.prefix().to_ascii_lowercase();
    let Some(begin) = whole_bytes(&prefix) else { return Ok(None) };
    let matches = first(view, table, &begin, &|row: M| {
        let (id, namespace) = of_row(&row);
        let id = ids::text(id);
        (namespace.is_none_or(|namespace| view.lists(namespace)) && id.starts_with(&prefix)).then_some(id)
    });
    matches.map(Some)
}

/// Returns the whole bytes at the beginning of a prefix of a UUID: all digits but an odd last one.
fn whole_bytes(prefix: &str) -> Option<Vec<u8>> {
    let mut digits: String = prefix.chars().filter(|character| *character != '-').collect();
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    if digits.len() % 2 == 1 {
        digits.pop();
    }
    ids::parse_prefix(&digits).ok()
}

/// Returns the first matches among the rows whose keys begin with `begin`. `id_of` returns the id of a row that matches.
fn first<M: Message + Default>(
    view: &View<'_>,
    table: Table,
    begin: &[u8],
    id_of: &dyn Fn(M) -> Option<String>,
) -> Result<Matches, HttpError> {
    let span = Span { table, prefix: begin, from: None, direction: Direction::Forward };
    let mut matches = Matches::default();
    page::<M, HttpError>(view.reader, &span, Some(MATCHES_MAX), &mut |row, place| {
        let Some(id) = id_of(row) else { return Ok(false) };
        match place {
            Place::OnPage => matches.ids.push(id),
            Place::NextPage => matches.truncated = true,
        }
        Ok(true)
    })?;
    Ok(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_a_uuid_gives_its_whole_bytes() {
        for (prefix, bytes) in [
            ("", Some(vec![])),
            ("b", Some(vec![])),
            ("be2", Some(vec![0xbe])),
            ("be26976b-a", Some(vec![0xbe, 0x26, 0x97, 0x6b])),
            ("be26976b-aa", Some(vec![0xbe, 0x26, 0x97, 0x6b, 0xaa])),
            ("beg", None),
            ("bé", None),
            (&"0".repeat(34), None),
        ] {
            assert_eq!(bytes, whole_bytes(prefix), "{prefix}");
        }
    }
}
