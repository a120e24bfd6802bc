//! Requests about jobs that change nothing: planning, validating, parsing a jobspec.

use std::sync::Arc;

use futures::future::BoxFuture;
use ordu_core::command::{new_eval, version_of_submission};
use ordu_core::job::{self, DiffSide, PlanRequest};
use ordu_core::jobspec::ParseRequest;
use ordu_core::periodic::Schedule;
use ordu_core::scheduler::{Decision, Ending, GatheredInput, ScheduledJob, Subject, read_version, schedule};
use ordu_core::state::{Corrupt, read};
use ordu_proto::api::job::{JobDiff, JobSpec};
use ordu_proto::state::{self, Job};
use ordu_store::runtime::{random_bytes, random_id};

use super::registrations::{complete, warnings};
use crate::context::Context;
use crate::http::answer::{Answer, Encoded};
use crate::http::dispatch::Call;
use crate::http::documents::plan::PlanAnswer;
use crate::http::error::HttpError;

/// `PUT /v1/job/:id/plan`.
pub(crate) fn plan(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let api = call.api.clone();
        api.room.answers.check()?;
        api.context.reads.confirm().await?;
        // The decoded job takes many times the memory of the body, so it is decoded only once a slot is free.
        let answer = move || {
            let mut plan = job::decode_plan(&call.request.id, &call.body)?;
            complete(&call, &mut plan.submitted)?;
            let dry_run = DryRun::decide(&call.api.context, plan)?;
            Ok(Answer::found(&call.request, dry_run.index, &PlanAnswer::of(&dry_run)))
        };
        if api.context.state.db().blocks() { api.room.working.work(answer).await? } else { answer() }
    })
}

/// `PUT /v1/validate/job`.
pub(crate) fn validate(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let answer = |call: &Call| {
            let mut submitted = job::decode_validate(&call.body)?;
            call.settle(&mut submitted)?;
            let lacks_driver = |driver: &str| call.api.context.state.machine().view.lacks_driver(driver);
            let document = job::validation_document(submitted, &lacks_driver);
            Ok(Answer::plain(Encoded::json(&call.request, None, document)))
        };
        Ok(call.work(answer).await?.1)
    })
}

/// `PUT /v1/jobs/parse`.
pub(crate) fn parse(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let request = ParseRequest::decode(&call.body).map_err(HttpError::bad_request)?;
        let seed = u128::from_be_bytes(random_bytes());
        let parsed = call.api.room.working.work(move || request.answer(seed)).await?;
        let job = parsed.map_err(HttpError::bad_request)?;
        Ok(Answer::local(&call.request, &job))
    })
}

/// The outcome that a registration would have.
pub(crate) struct DryRun {
    /// The existing job's JobModifyIndex; 0 if there is none.
    pub(crate) job_modify_index: u64,
    /// The index that the registration would have.
    pub(crate) index: u64,
    pub(crate) diff: Option<JobDiff>,
    pub(crate) decision: Decision,
    pub(crate) next_launch_ns: Option<i64>,
    pub(crate) warnings: String,
}

/// Everything that the scheduler reads, from one state.
struct Sight {
    existing: Option<(Job, JobSpec)>,
    /// The version that the registration would create; `None` if the job would stay as it is.
    version: Option<u64>,
    /// The job's row as a registration would leave it.
    row: Job,
    input: GatheredInput,
}

impl DryRun {
    fn decide(context: &Context, plan: PlanRequest) -> Result<DryRun, HttpError> {
        let PlanRequest { submitted, diff } = plan;
        let spec = submitted.job;
        let mut sight = Sight::of(context, &spec, submitted.stop)?;
        let eval = new_eval(random_id(), &sight.row, "job-register");
        let now_ns = context.clock.now_ns();
        let decision = schedule(sight.input.input(&eval, now_ns), &mut random_id);
        if decision.ending == Ending::OverBudget {
            return Err(HttpError::bad_request(decision.eval.status_description));
        }
        let diff = if diff { Some(sight.diff(&spec, &decision)?) } else { None };
        let existing = sight.existing.as_ref().map(|(row, _)| row);
        Ok(DryRun {
            job_modify_index: existing.map_or(0, |row| row.job_modify_index),
            index: match existing {
                None => 0,
                Some(_) if sight.version.is_some() => sight.input.index + 1,
                Some(row) => row.job_modify_index,
            },
            diff,
            decision,
            next_launch_ns: next_launch(&spec, now_ns),
            warnings: warnings(&context.state, &spec),
        })
    }
}

impl Sight {
    fn of(context: &Context, spec: &JobSpec, stop: bool) -> Result<Sight, Corrupt> {
        let (namespace, id) = (spec.namespace(), spec.id.as_str());
        // The specification as a registration would store it.
        let submitted = state::JobSpec { json: job::spec_json(spec), payload: Vec::new() };
        // Nothing is applied while the guard is held, so the view and the rows are of one state.
        let machine = context.state.machine();
        context.state.read(move |reader| {
            let view = machine.view.snapshot();
            drop(machine);
            let (existing, version) = match read::job(reader, namespace, id)? {
                Some(row) => {
                    let spec = read::parsed_spec(reader, &row, &read::spec_of(reader, &row)?)?;
                    let version = version_of_submission(reader, &row, stop, &submitted)?;
                    (Some((row, spec)), version)
                }
                None => (None, Some(0)),
            };
            let next = read::applied_index(reader)? + 1;
            let row = row_of(existing.as_ref().map(|(row, _)| row), version, next, job::job_row(spec, stop));
            let scheduled = Arc::new(ScheduledJob::from_spec(&row, spec));
            let subject = Subject::Submitted(&row, scheduled);
            let input = GatheredInput::gather(reader, view, subject, &read_version)?;
            Ok(Sight { existing, version, row, input })
        })
    }

    fn diff(&self, spec: &JobSpec, decision: &Decision) -> Result<JobDiff, HttpError> {
        let old = self.existing.as_ref().map(|(row, spec)| DiffSide::of(row, spec));
        let mut diff =
            job::job_diff(old, Some(DiffSide::of(&self.row, spec)), true).map_err(HttpError::bad_request)?;
        job::annotate(&mut diff, &decision.desired_updates);
        Ok(diff)
    }
}

/// Returns the row that a registration of `submitted` at the index `next` would leave in place of `existing`;
/// `version` is the result of [`version_of_submission`].
fn row_of(existing: Option<&Job>, version: Option<u64>, next: u64, submitted: Job) -> Job {
    let mut row = Job { modify_index: next, job_modify_index: next, ..submitted };
    match (existing, version) {
        (Some(existing), None) => return existing.clone(),
        (Some(existing), Some(version)) => {
            row.create_index = existing.create_index;
            row.version = version;
            row.parent_id.clone_from(&existing.parent_id);
        }
        (None, _) => row.create_index = next,
    }
    row
}

/// Returns the job's next periodic launch; `None` if it is not launched by the clock.
fn next_launch(spec: &JobSpec, now_ns: i64) -> Option<i64> {
    let periodic = spec.periodic.as_ref().filter(|periodic| periodic.enabled != Some(false))?;
    let (cron, zone) = (periodic.spec.as_deref()?, periodic.time_zone.as_deref().unwrap_or_default());
    Schedule::parse(cron, zone).ok()?.next_after(now_ns)
}
