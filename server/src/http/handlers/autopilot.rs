//! Autopilot's configuration, and the leader's view of the servers' health.

use axum::http::StatusCode;
use futures::future::BoxFuture;
use ordu_core::autopilot::decode_config;
use ordu_proto::command::AutopilotSet;
use ordu_proto::server::ServersHealthRequest;
use ordu_proto::server::server_client::ServerClient;
use tonic::Status;
use tonic::transport::Channel;

use super::operator::of_leader;
use crate::context::Context;
use crate::http::answer::{Answer, Encoded, JSON, encode};
use crate::http::dispatch::Call;
use crate::http::documents::autopilot::{AutopilotConfiguration, AutopilotHealth};
use crate::http::error::HttpError;
use crate::http::request::Request;
use crate::membership::autopilot;

/// `GET /v1/operator/autopilot/configuration`.
pub(crate) fn configuration(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        call.confirm().await?;
        let Context { state, options, .. } = &call.api.context;
        let config = autopilot::config(state, options)?;
        Ok(Answer::local(&call.request, &AutopilotConfiguration::of(&config)))
    })
}

/// Parses `cas`: the ModifyIndex that the configuration must have, if the caller names one.
fn enforced_index(request: &Request) -> Result<Option<u64>, HttpError> {
    let Some(text) = request.param("cas") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        HttpError::bad_request(format!(
            "Error parsing cas value: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}

/// `PUT /v1/operator/autopilot/configuration`.
pub(crate) fn configure(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let config = Some(decode_config(&call.body).map_err(HttpError::bad_request)?);
        let enforced_modify_index = enforced_index(&call.request)?;
        let command = AutopilotSet { config, enforced_modify_index };
        let written = call.api.context.writer.write(command).await?;
        let set = &written.answer;
        Ok(Answer::written(&call.request, set.index, &set.updated))
    })
}

/// `GET /v1/operator/autopilot/health`: 200, or 429 if a server is unhealthy.
pub(crate) fn health(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let context = &call.api.context;
        let here = async { autopilot::health(context).map_err(|fault| Status::internal(fault.to_string())) };
        let request = ServersHealthRequest { cluster_id: context.identity.get() };
        let there = async |mut leader: ServerClient<Channel>| {
            Ok(leader.servers_health(request).await?.into_inner().servers)
        };
        let health = AutopilotHealth::of(of_leader(context, here, there).await?);
        if health.healthy {
            return Ok(Answer::local(&call.request, &health));
        }
        let body = encode(&health);
        Ok(Answer::plain(Encoded::of(&call.request, StatusCode::TOO_MANY_REQUESTS, JSON, None, body)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request;

    #[test]
    fn an_index_to_compare_with_is_a_number() {
        let asked = |query| enforced_index(&request::asked(query).unwrap());
        assert_eq!(Ok(None), asked(""));
        assert_eq!(Ok(Some(0)), asked("cas=0"));
        assert_eq!(Ok(Some(u64::MAX)), asked("cas=18446744073709551615"));
        for query in ["cas", "cas=", "cas=-1", "cas=x"] {
            let refused = asked(query).unwrap_err();
            assert_eq!(400, refused.status.as_u16(), "{query}");
            assert!(refused.text.starts_with("Error parsing cas value: "), "{}", refused.text);
        }
    }
}
