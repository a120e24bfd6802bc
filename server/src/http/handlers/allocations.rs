//! Reads of allocations: all, those of a job, an evaluation or a node, and one with its job.

use ordu_core::filter::Filter;
use ordu_core::job::job_document;
use ordu_core::state::rows::Allocs;
use ordu_core::state::{Corrupt, Reader, Table, read, readable};
use ordu_proto::state::{Allocation, Job};
use serde_json::Value;

use super::{id_of, id_prefix, index_of};
use crate::http::blocking::{Found, View};
use crate::http::documents::alloc::{self, AllocStub, StubMembers};
use crate::http::error::HttpError;
use crate::http::paging::{self, ListEntry, Listing, Paging, Take};
use crate::http::request::{Request, parse_bool};
use crate::watch::Key;

pub(crate) fn list_keys(_: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::table(Table::Allocs)])
}

pub(crate) fn list(view: &View<'_>) -> Result<Found, HttpError> {
    let members = members_of(view.request)?;
    let listing = Listing {
        table: Table::Allocs,
        prefix: &id_prefix(view.request, "alloc")?,
        from: paging::from_id(view.request)?,
        belongs: &|alloc: &Allocation| view.lists(&alloc.namespace),
        token: |alloc| paging::id_token(&alloc.id),
    };
    let mut show = |alloc: &Allocation, take: &mut Take<'_>| take(&AllocStub::of(alloc, members));
    let page = Paging::of(view.request)?.read(view, &listing, &mut show)?;
    Ok(Found::page(index_of(view.reader, Table::Allocs)?, page))
}

pub(crate) fn of_job_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::of_job(Table::AllocsByJob, request.namespace(), &request.id)])
}

pub(crate) fn of_job(view: &View<'_>) -> Result<Found, HttpError> {
    let (namespace, id) = (view.request.namespace(), view.request.id.as_str());
    // Allocations of an earlier job of the same name are listed only with `all`.
    let this_job = match view.request.flag("all")? {
        true => None,
        false => readable(read::job(view.reader, namespace, id))?.flatten().map(|job| job.create_index),
    };
    let mut allocs = read::allocs_of_job(view.reader, namespace, id)?;
    allocs.retain(|alloc| this_job.is_none_or(|index| index == alloc.job_create_index));
    stubs(view, allocs)
}

pub(crate) fn of_evaluation(view: &View<'_>) -> Result<Found, HttpError> {
    let mut allocs = read::allocs_of_eval(view.reader, &id_of(view.request, "eval")?)?;
    allocs.retain(|alloc| view.grant.shows(&alloc.namespace));
    stubs(view, allocs)
}

pub(crate) fn of_node_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::of_owner(Table::AllocsByNode, id_of(request, "node")?)])
}

pub(crate) fn of_node(view: &View<'_>) -> Result<Found, HttpError> {
    let mut allocs = read::allocs_of_node(view.reader, &id_of(view.request, "node")?)?;
    allocs.retain(|alloc| view.grant.shows(&alloc.namespace));
    let mut show = |alloc: &Allocation, take: &mut Take<'_>| {
        let mut document = Vec::new();
        // An allocation whose job cannot be read must not hide the others.
        match readable(whole(view.reader, alloc, &mut document))? {
            Some(()) => take(&Whole(document)),
            None => Ok(false),
        }
    };
    page_of(view, allocs, &mut show)
}

pub(crate) fn one_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::row::<Allocs>(&id_of(request, "alloc")?)])
}

pub(crate) fn one(view: &View<'_>) -> Result<Found, HttpError> {
    let Some(found) = read::alloc(view.reader, &id_of(view.request, "alloc")?)? else {
        return Ok(Found::nothing(index_of(view.reader, Table::Allocs)?, "alloc not found"));
    };
    let mut document = Vec::new();
    whole(view.reader, &found, &mut document)?;
    Ok(Found::json(found.modify_index, document).of(found.namespace))
}

fn stubs(view: &View<'_>, allocs: Vec<Allocation>) -> Result<Found, HttpError> {
    let members = members_of(view.request)?;
    page_of(view, allocs, &mut |alloc, take| take(&AllocStub::of(alloc, members)))
}

fn page_of(
    view: &View<'_>,
    allocs: Vec<Allocation>,
    show: &mut dyn FnMut(&Allocation, &mut Take<'_>) -> Result<bool, HttpError>,
) -> Result<Found, HttpError> {
    let page = Paging::of(view.request)?.of_rows(view.request, allocs, |alloc| &alloc.id, show)?;
    Ok(Found::page(index_of(view.reader, Table::Allocs)?, page))
}

/// An entry that is already JSON.
struct Whole(Vec<u8>);

impl ListEntry for Whole {
    fn passes(&self, filter: &Filter) -> Result<bool, HttpError> {
        // A document that cannot be parsed does not match.
        let document: Option<Value> = serde_json::from_slice(&self.0).ok();
        document.map_or(Ok(false), |document| Ok(filter.matches(&document)?))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// Returns the optional members that the caller wants in list entries.
fn members_of(request: &Request) -> Result<StubMembers, HttpError> {
    let task_states = request.given("task_states").and_then(parse_bool).unwrap_or(true);
    Ok(StubMembers { task_states, resources: request.flag("resources")? })
}

/// Writes the whole document, with the job as it was when the allocation was made.
fn whole(reader: &dyn Reader, alloc: &Allocation, out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let mut job = Vec::new();
    let Allocation { namespace, job_id, job_create_index, job_version, .. } = alloc;
    if let Some(spec) = read::job_spec(reader, namespace, job_id, *job_create_index, *job_version)? {
        let version = read::job_version(reader, namespace, job_id, *job_version)?;
        // The version's row may be gone before its specification, or belong to a later job of the same name.
        let row = version.filter(|row| row.create_index == *job_create_index).unwrap_or_else(|| Job {
            namespace: namespace.clone(),
            id: job_id.clone(),
            r#type: alloc.job_type.clone(),
            version: *job_version,
            create_index: *job_create_index,
            ..Job::default()
        });
        job_document(&row, &spec, &mut job);
    }
    alloc::write(alloc, &job, out);
    Ok(())
}
