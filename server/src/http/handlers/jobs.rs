//! Reads of jobs: the list, one job, its summary and its versions.

use ordu_core::job::{job_document, job_stub, summary_document};
use ordu_core::state::{Table, key, read};
use ordu_proto::state::{Job, JobSummary};

use super::JsonList;
use crate::http::blocking::{Found, View};
use crate::http::documents::job::VersionsTail;
use crate::http::error::HttpError;
use crate::http::request::Request;
use crate::watch::Key;

const JOB_NOT_FOUND: &str = "job not found";

/// What the list of jobs is made of.
const LIST_TABLES: [Table; 2] = [Table::Jobs, Table::JobSummaries];

pub(crate) fn list_keys(_: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(LIST_TABLES.map(Key::Table).to_vec())
}

pub(crate) fn list(view: &View<'_>) -> Result<Found, HttpError> {
    let (reader, prefix) = (view.reader, view.request.prefix());
    let mut list = JsonList::new();
    let within = match view.request.list_namespace() {
        Some(namespace) => key::job(namespace, prefix),
        None => Vec::new(),
    };
    read::each(reader, Table::Jobs, &within, &mut |job: Job| {
        if job.id.starts_with(prefix) {
            let summary = read::job_summary(reader, &job.namespace, &job.id)?;
            let summary = summary.unwrap_or_else(|| JobSummary {
                namespace: job.namespace.clone(),
                job_id: job.id.clone(),
                ..JobSummary::default()
            });
            job_stub(&job, &summary, list.next());
        }
        Ok(())
    })?;
    Ok(Found { index: read::indexes(reader)?.max(&LIST_TABLES), body: Ok(list.finish()) })
}

pub(crate) fn job_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::Job(request.namespace().to_owned(), request.id.clone())])
}

pub(crate) fn job(view: &View<'_>) -> Result<Found, HttpError> {
    let Some(job) = read::job(view.reader, view.request.namespace(), &view.request.id)? else {
        return Ok(Found { index: read::indexes(view.reader)?.get(Table::Jobs), body: Err(JOB_NOT_FOUND) });
    };
    let mut document = Vec::new();
    job_document(&job, &read::spec_of(view.reader, &job)?, &mut document);
    Ok(Found { index: job.modify_index, body: Ok(document) })
}

pub(crate) fn summary_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    let job = || (request.namespace().to_owned(), request.id.clone());
    let ((namespace, id), (same_namespace, same_id)) = (job(), job());
    Ok(vec![Key::Summary(namespace, id), Key::Job(same_namespace, same_id)])
}

pub(crate) fn summary(view: &View<'_>) -> Result<Found, HttpError> {
    let summary = read::job_summary(view.reader, view.request.namespace(), &view.request.id)?;
    // The summary of a purged job is only kept to count what is left of it.
    let Some(summary) = summary.filter(|summary| !summary.purged) else {
        // A purge moves the table of jobs for sure.
        let index = read::indexes(view.reader)?.max(&LIST_TABLES);
        return Ok(Found { index, body: Err(JOB_NOT_FOUND) });
    };
    let mut document = Vec::new();
    summary_document(&summary, &mut document);
    Ok(Found { index: summary.modify_index, body: Ok(document) })
}

pub(crate) fn versions(view: &View<'_>) -> Result<Found, HttpError> {
    // Read before anything else, so that a value that is none is told whatever the job is.
    view.request.flag("diffs")?;
    let versions = read::job_versions(view.reader, view.request.namespace(), &view.request.id)?;
    let Some(newest) = versions.first() else {
        let index = read::indexes(view.reader)?.get(Table::JobVersions);
        return Ok(Found { index, body: Err("job versions not found") });
    };
    let index = newest.modify_index;
    let mut list = JsonList::new();
    for version in &versions {
        job_document(version, &read::spec_of(view.reader, version)?, list.next());
    }
    let body = VersionsTail::of(index, view.freshness()).after(list.finish());
    Ok(Found { index, body: Ok(body) })
}

pub(crate) fn deployment_keys(_: &Request) -> Result<Vec<Key>, HttpError> {
    // There is no table of deployments that could change.
    Ok(Vec::new())
}

pub(crate) fn deployments(_: &View<'_>) -> Result<Found, HttpError> {
    Ok(Found { index: 0, body: Ok(b"[]".to_vec()) })
}

pub(crate) fn deployment(_: &View<'_>) -> Result<Found, HttpError> {
    Ok(Found { index: 0, body: Ok(b"null".to_vec()) })
}
