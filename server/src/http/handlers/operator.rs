//! What an operator asks: metrics, raft's configuration, and a hash that tells whether servers agree.

use std::sync::Arc;

use axum::http::StatusCode;
use futures::future::BoxFuture;
use ordu_core::state::hash::state_hash;
use ordu_store::state_machine;

use crate::contain::on_blocking_thread;
use crate::context::Context;
use crate::http::Api;
use crate::http::answer::{Answer, Encoded, PROMETHEUS};
use crate::http::dispatch::Call;
use crate::http::documents::agent::{RaftConfiguration, StateHash};
use crate::http::error::HttpError;
use crate::http::request::Request;

pub(crate) fn metrics(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    let families = api.telemetry.gather(&api.context, api.waiting.held());
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

async fn confirm(call: &Call) -> Result<(), HttpError> {
    let (api, request): (&Arc<Api>, &Request) = (&call.api, &call.request);
    if !request.stale {
        api.context.reads.confirm().await?;
    }
    Ok(())
}
