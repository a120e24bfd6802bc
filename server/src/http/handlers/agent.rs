//! What this server reports about itself and the servers it knows. No table is read for it.

use axum::http::StatusCode;

use crate::context::Context;
use crate::http::Api;
use crate::http::answer::{Answer, Encoded, JSON, encode};
use crate::http::documents::agent::{AgentSelf, Health, Members, RaftHealth, ServerFaults};
use crate::http::error::HttpError;
use crate::http::request::Request;

/// Answers with the leader's RPC address; empty if no leader is known.
pub(crate) fn leader(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    let leader = api.context.cluster.leader().map(|leader| leader.server.rpc_addr);
    Ok(Answer::local(request, &leader.unwrap_or_default()))
}

/// Answers with the RPC addresses of the voters.
pub(crate) fn peers(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    let voters = api.context.cluster.members().into_iter().filter(|member| member.voter);
    Ok(Answer::local(request, &voters.map(|voter| voter.server.rpc_addr).collect::<Vec<_>>()))
}

pub(crate) fn regions(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    Ok(Answer::local(request, &[&api.context.options.region]))
}

pub(crate) fn itself(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    Ok(Answer::local(request, &AgentSelf::of(&api.context)))
}

pub(crate) fn members(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    Ok(Answer::local(request, &Members::of(&api.context.options, &api.context.cluster.members())))
}

/// Answers with the RPC addresses of the servers that a node agent may contact.
pub(crate) fn servers(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    let mut servers: Vec<String> =
        api.context.cluster.members().into_iter().map(|member| member.server.rpc_addr).collect();
    if servers.is_empty() {
        servers.push(api.context.options.rpc_advertise.clone());
    }
    Ok(Answer::local(request, &servers))
}

/// Answers whether the agent's parts work: 200 or 500, both with a document that names the part that does not.
pub(crate) fn health(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    let wanted = request.given("type");
    if let Some(unknown) = wanted.filter(|wanted| !matches!(*wanted, "server" | "client")) {
        let text = format!("the health of {unknown:?} is asked for; there are \"server\" and \"client\"");
        return Err(HttpError::bad_request(text));
    }
    let wants = |part| wanted.is_none_or(|wanted| wanted == part);
    let health = Health::of(
        wants("server").then(|| {
            let Context { options, cluster, .. } = &api.context;
            let (reach, lag) = (cluster.reach(), cluster.lag());
            let raft = RaftHealth::of(&options.raft, cluster.distances(), &reach, &lag);
            (ServerFaults::of(cluster.known_leader(), &reach, &lag), raft)
        }),
        &api.context.alarms.all(),
        wants("client") && api.context.options.client.is_some(),
    );
    if health.is_well() {
        return Ok(Answer::local(request, &health));
    }
    let body = encode(&health);
    Ok(Answer::plain(Encoded::of(request, StatusCode::INTERNAL_SERVER_ERROR, JSON, None, body)))
}
