//! Reads of jobs: the list, one job, and its summary.

use ordu_core::filter::Filter;
use ordu_core::job::{JobStub, job_document, summary_document};
use ordu_core::state::rows::{JobSummaries, Jobs};
use ordu_core::state::{JobToken, Reader, Table, key, read, readable};
use ordu_proto::state::{Job, JobSummary};
use serde_json::Value;

use crate::http::blocking::{Found, View};
use crate::http::error::HttpError;
use crate::http::paging::{self, ListEntry, Listing, Paging, Take};
use crate::http::request::Request;
use crate::watch::Key;

const JOB_NOT_FOUND: &str = "job not found";

/// The tables that the list of jobs is read from.
const LIST_TABLES: [Table; 2] = [Table::Jobs, Table::JobSummaries];

pub(crate) fn list_keys(_: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(LIST_TABLES.map(Key::table).to_vec())
}

pub(crate) fn list(view: &View<'_>) -> Result<Found, HttpError> {
    let (reader, prefix) = (view.reader, view.request.prefix());
    let token = view.request.given("next_token").map(JobToken::parse).transpose().map_err(paging::refused)?;
    let listing = Listing {
        table: Table::Jobs,
        prefix: &match view.request.scope.list_namespace() {
            Some(namespace) => key::job(namespace, prefix),
            None => Vec::new(),
        },
        from: token.as_ref().map(JobToken::key),
        belongs: &|job: &Job| view.lists(&job.namespace) && job.id.starts_with(prefix),
        token: |job| JobToken { namespace: job.namespace.clone(), id: job.id.clone() }.to_string(),
    };
    let mut show = |job: &Job, take: &mut Take<'_>| {
        let summary = readable(read::job_summary(reader, &job.namespace, &job.id))?.flatten();
        let summary = summary.unwrap_or_else(|| JobSummary {
            namespace: job.namespace.clone(),
            job_id: job.id.clone(),
            ..JobSummary::default()
        });
        take(&Listed { stub: JobStub::of(job, &summary), job, reader })
    };
    let page = Paging::of(view.request)?.read(view, &listing, &mut show)?;
    Ok(Found::page(read::indexes(reader)?.max(&LIST_TABLES), page))
}

/// An entry of the list. A filter may also use members that only the whole job has.
struct Listed<'j> {
    stub: JobStub<'j>,
    job: &'j Job,
    reader: &'j dyn Reader,
}

impl ListEntry for Listed<'_> {
    fn passes(&self, filter: &Filter) -> Result<bool, HttpError> {
        if filter.members().all(|member| JobStub::MEMBERS.contains(&member)) {
            return Ok(filter.matches(&self.stub)?);
        }
        let spec = readable(read::spec_of(self.reader, self.job))?;
        let whole: Option<Value> = spec.and_then(|spec| {
            let mut document = Vec::new();
            job_document(self.job, &spec, &mut document);
            let parsed = serde_json::from_slice(&document);
            parsed.map_err(|error| read::corrupt_spec(self.reader, self.job, &error)).ok()
        });
        // A job whose specification cannot be read does not match.
        whole.map_or(Ok(false), |whole| Ok(filter.matches(&whole)?))
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.stub.write(out);
    }
}

pub(crate) fn job_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    Ok(vec![Key::row::<Jobs>((request.namespace(), &request.id))])
}

pub(crate) fn job(view: &View<'_>) -> Result<Found, HttpError> {
    let Some(job) = read::job(view.reader, view.request.namespace(), &view.request.id)? else {
        return Ok(Found::nothing(read::indexes(view.reader)?.get(Table::Jobs), JOB_NOT_FOUND));
    };
    let mut document = Vec::new();
    job_document(&job, &read::spec_of(view.reader, &job)?, &mut document);
    Ok(Found::json(job.modify_index, document))
}

pub(crate) fn summary_keys(request: &Request) -> Result<Vec<Key>, HttpError> {
    let job = (request.namespace(), request.id.as_str());
    Ok(vec![Key::row::<JobSummaries>(job), Key::row::<Jobs>(job)])
}

pub(crate) fn summary(view: &View<'_>) -> Result<Found, HttpError> {
    let summary = read::job_summary(view.reader, view.request.namespace(), &view.request.id)?;
    // The summary of a purged job is kept only to count its remaining allocations.
    let Some(summary) = summary.filter(|summary| !summary.purged) else {
        // Every purge increases the index of the table of jobs.
        let index = read::indexes(view.reader)?.max(&LIST_TABLES);
        return Ok(Found::nothing(index, JOB_NOT_FOUND));
    };
    let mut document = Vec::new();
    summary_document(&summary, &mut document);
    Ok(Found::json(summary.modify_index, document))
}
