//! Versions of a job: listing with differences, reverting to one, marking one as stable.

use futures::future::BoxFuture;
use ordu_core::job::{self, DiffSide, job_diff, job_document};
use ordu_core::state::{Table, read, readable};
use ordu_proto::api::{
    self,
    job::{JobDiff, JobSpec},
};
use ordu_proto::command::{JobRevert, JobStability};
use ordu_proto::state::Job;
use ordu_store::runtime::random_id;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::JsonList;
use crate::http::answer::{Answer, Freshness};
use crate::http::blocking::{Found, View};
use crate::http::dispatch::Call;
use crate::http::documents::job::{Registered, Stability, VersionsTail};
use crate::http::error::HttpError;

/// `GET /v1/job/:id/versions`.
pub(crate) fn list(view: &View<'_>) -> Result<Found, HttpError> {
    // Parsed first, so that an invalid value is refused whether or not the job exists.
    let with_diffs = view.request.flag("diffs")?;
    let versions = read::job_versions(view.reader, view.request.namespace(), &view.request.id)?;
    let Some(newest) = versions.first() else {
        let index = read::indexes(view.reader)?.get(Table::JobVersions);
        return Ok(Found::nothing(index, "job versions not found"));
    };
    let index = newest.modify_index;
    let mut list = JsonList::new();
    let mut parsed = Vec::new();
    for version in &versions {
        // A version whose specification cannot be read must not hide the others.
        let Some(spec) = readable(read::spec_of(view.reader, version))? else { continue };
        if with_diffs {
            match readable(read::parsed_spec(view.reader, version, &spec))? {
                Some(spec) => parsed.push((version, spec)),
                None => continue,
            }
        }
        job_document(version, &spec, list.next());
    }
    let diffs = if with_diffs { Some(diffs(&parsed)?) } else { None };
    let body = VersionsTail::of(diffs.as_deref(), index, view.freshness()).after(list.finish());
    Ok(Found::json(index, body))
}

/// Generates the schema of the answer of [`list`].
pub(crate) fn described(generator: &mut SchemaGenerator) -> Schema {
    let tail = generator.subschema_for::<VersionsTail<'_>>();
    let versions = generator.subschema_for::<Vec<api::job::Job>>();
    json_schema!({ "allOf": [tail, { "properties": { "Versions": versions }, "required": ["Versions"] }] })
}

/// Returns what each version changed, except the oldest.
fn diffs(versions: &[(&Job, JobSpec)]) -> Result<Vec<JobDiff>, HttpError> {
    let diff = |pair: &[(&Job, JobSpec)]| {
        let [(new_row, new), (old_row, old)] = pair else { return Ok(JobDiff::default()) };
        let (old, new) = (DiffSide::of(old_row, old), DiffSide::of(new_row, new));
        job_diff(Some(old), Some(new), true).map_err(HttpError::bad_request)
    };
    versions.windows(2).map(diff).collect()
}

/// `PUT /v1/job/:id/revert`.
pub(crate) fn revert(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let revert = job::decode_revert(&call.request.id, &call.body)?;
        let command = JobRevert {
            namespace: call.namespace_of_body(&revert.region, revert.namespace)?,
            job_id: call.request.id.clone(),
            version: revert.version,
            enforced_prior_version: revert.enforced_prior_version,
            eval_id: random_id().to_vec(),
        };
        let written = call.api.context.writer.write(command).await?;
        let outcome = &written.answer;
        let answer = Answer::written(&call.request, outcome.index, &Registered::of(outcome, ""));
        // As in Nomad, this is the only write whose answer has the headers of a read; they carry no information.
        Ok(answer.with(Freshness { known_leader: false, last_contact_ms: 0 }))
    })
}

/// `PUT /v1/job/:id/stable`.
pub(crate) fn stable(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let mark = job::decode_stable(&call.request.id, &call.body)?;
        let command = JobStability {
            namespace: call.namespace_of_body(&mark.region, mark.namespace)?,
            job_id: call.request.id.clone(),
            version: mark.version,
            stable: mark.stable,
        };
        let written = call.api.context.writer.write(command).await?;
        Ok(Answer::written(&call.request, written.index, &Stability { index: written.index }))
    })
}
