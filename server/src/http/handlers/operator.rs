//! What an operator asks: metrics, raft's configuration, a hash that tells whether servers agree, and that
//! what a wrong clock wrote be mended.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures::future::BoxFuture;
use ordu_core::limits::WRITE_WAIT_MS_MAX;
use ordu_core::state::hash::state_hash;
use ordu_proto::command::envelope::Command;
use ordu_proto::command::outcome::Outcome;
use ordu_proto::command::{TimeReset, TimeWasReset};
use ordu_store::state_machine;

use super::registrations::of_another;
use crate::contain::on_blocking_thread;
use crate::context::Context;
use crate::http::Api;
use crate::http::answer::{Answer, Encoded, PROMETHEUS};
use crate::http::dispatch::Call;
use crate::http::documents::agent::{RaftConfiguration, StateHash, TimeResetAnswer};
use crate::http::error::HttpError;
use crate::http::request::Request;

pub(crate) fn metrics(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    let families = api.telemetry.gather(&api.context, &api.waiting, &api.room);
    if request.param("format") == Some("prometheus") {
        let text = crate::http::telemetry::prometheus_text(&families)?;
        return Ok(Answer::plain(Encoded::of(request, StatusCode::OK, PROMETHEUS, None, text)));
    }
    let now_ns = crate::clock::now_ns();
    Ok(Answer::local(request, &crate::http::documents::metrics::MetricsDocument::of(&families, now_ns)))
}

pub(crate) fn raft_configuration(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        confirm(&call).await?;
        Ok(Answer::local(&call.request, &RaftConfiguration::of(&call.api.context.cluster.members())))
    })
}

/// The hash of the whole state and the index it is of.
pub(crate) fn state_hash_of(context: &Context) -> Result<StateHash, HttpError> {
    context.state.read(|reader| {
        let position = state_machine::position(reader)
            .map_err(|error| HttpError::internal(format!("the applied index cannot be read: {error}")))?;
        Ok(StateHash::of(position.last_log_id.map_or(0, |id| id.index), &state_hash(reader)?))
    })
}

pub(crate) fn state_hash_handler(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        confirm(&call).await?;
        let context = call.api.context.clone();
        let hash = match context.state.db().blocks() {
            // It reads every row there is.
            true => on_blocking_thread(move || state_hash_of(&context)).await??,
            false => state_hash_of(&context)?,
        };
        Ok(Answer::local(&call.request, &hash))
    })
}

/// By how much the leader's clock may differ from that of the server that is asked, beside what is allowed
/// between servers: the request takes some time on its way.
const ON_THE_WAY: Duration = Duration::from_millis(WRITE_WAIT_MS_MAX);

/// `PUT /v1/operator/ordu/time/reset`.
pub(crate) fn reset_time(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let Context { clock, writer, .. } = &call.api.context;
        if clock.verdict().is_wrong() || clock.has_jumped() {
            let text = "the time is not reset: the clock of the server that was asked is wrong, or was set and not yet \
                        compared with the other servers' clocks; mend it, and ask again some seconds later";
            return Err(HttpError::new(StatusCode::CONFLICT, text));
        }
        let tolerance = 2 * clock.skew_max() + ON_THE_WAY;
        let tolerance_ns = i64::try_from(tolerance.as_nanos()).unwrap_or(i64::MAX);
        let mut done: Option<TimeWasReset> = None;
        loop {
            let after = done.as_ref().map(|done| done.after.clone()).unwrap_or_default();
            let command = TimeReset { time_ns: clock.now_ns(), tolerance_ns, after };
            let written = writer.write(Command::TimeReset(command)).await?;
            let Outcome::TimeWasReset(next) = &written.answer else { return Err(of_another(&written)) };
            let all = match done {
                Some(before) => TimeWasReset {
                    before_ns: before.before_ns,
                    launches: before.launches + next.launches,
                    evaluations: before.evaluations + next.evaluations,
                    ..next.clone()
                },
                None => next.clone(),
            };
            if all.after.is_empty() {
                return Ok(Answer::written(&call.request, all.index, &TimeResetAnswer::of(&all)));
            }
            done = Some(all);
        }
    })
}

async fn confirm(call: &Call) -> Result<(), HttpError> {
    let (api, request): (&Arc<Api>, &Request) = (&call.api, &call.request);
    if !request.stale {
        api.context.reads.confirm().await?;
    }
    Ok(())
}
