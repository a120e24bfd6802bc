//! Operators' requests: metrics, raft's configuration and its changes, the hash by which servers' states are
//! compared, and resetting the cluster's time after a wrong clock.

use std::time::Duration;

use axum::http::StatusCode;
use futures::future::BoxFuture;
use ordu_core::limits::WRITE_WAIT_MS_MAX;
use ordu_core::state::hash::state_hash;
use ordu_proto::command::{TimeReset, TimeWasReset};
use ordu_proto::server::server_client::ServerClient;
use ordu_proto::server::{HandOverReply, HandOverRequest, Peer, PeerChoice, RemovePeerRequest, peer_choice};
use ordu_store::state_machine;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::context::Context;
use crate::error::WriteError;
use crate::http::Api;
use crate::http::answer::{Answer, Encoded, PROMETHEUS};
use crate::http::dispatch::Call;
use crate::http::documents::agent::{LeadershipTransfer, RaftConfiguration, StateHash, TimeResetAnswer};
use crate::http::error::HttpError;
use crate::http::request::Request;
use crate::membership::Force;
use crate::membership::changes::QUORUM_LOST;

pub(crate) fn metrics(api: &Api, request: &Request) -> Result<Answer, HttpError> {
    let families = api.telemetry.gather(&api.context, &api.waiting, &api.room);
    if request.param("format") == Some("prometheus") {
        let text = crate::http::telemetry::prometheus_text(families)?;
        return Ok(Answer::plain(Encoded::of(request, StatusCode::OK, PROMETHEUS, None, text)));
    }
    let now_ns = crate::clock::now_ns();
    Ok(Answer::local(request, &crate::http::documents::metrics::MetricsDocument::of(&families, now_ns)))
}

pub(crate) fn raft_configuration(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        call.confirm().await?;
        Ok(Answer::local(&call.request, &RaftConfiguration::of(&call.api.context.cluster.members())))
    })
}

/// Parses which server a request names, by `?id` or `?address`.
fn choice(request: &Request) -> Result<Option<PeerChoice>, HttpError> {
    let by = match (request.given("id"), request.given("address")) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(HttpError::bad_request("a server is named by ?id or by ?address, not by both"));
        }
        (Some(id), None) => peer_choice::By::Id(id.parse().map_err(|_| {
            HttpError::bad_request(format!("{id:?} is no server's id, which is a number; they are listed"))
        })?),
        (None, Some(address)) => peer_choice::By::Address(address.to_owned()),
    };
    Ok(Some(PeerChoice { by: Some(by) }))
}

/// Translates the leader's refusal into an HTTP error.
fn refusal(status: &Status) -> HttpError {
    let code = match status.code() {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    HttpError::new(code, status.message())
}

/// Asks the leader: runs `here` if this server leads, else `there` with a client of the leader.
pub(super) async fn of_leader<T>(
    context: &Context,
    here: impl Future<Output = Result<T, Status>>,
    there: impl AsyncFnOnce(ServerClient<Channel>) -> Result<T, Status>,
) -> Result<T, HttpError> {
    let leader = context.cluster.leader().ok_or(WriteError::NoLeader)?;
    let asked = async {
        if leader.id == context.cluster.id() {
            return here.await;
        }
        there(context.peers.server(&context.peers.address_of(leader.id, &leader.server))?).await
    };
    let late = |_| Status::deadline_exceeded("the leader did not answer in time; what it has begun goes on");
    let answer = timeout(Duration::from_millis(WRITE_WAIT_MS_MAX), asked).await.map_err(late).flatten();
    answer.map_err(|status| refusal(&status))
}

/// `DELETE /v1/operator/raft/peer`.
pub(crate) fn remove_peer(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let context = &call.api.context;
        let peer = choice(&call.request)?.ok_or_else(|| {
            HttpError::bad_request("which server is to be removed is named by ?id or by ?address")
        })?;
        let force = Force {
            living: call.request.flag("force_living")?,
            without_majority: call.request.flag("force_without_majority")?,
        };
        if !context.cluster.known_leader() {
            return Err(HttpError::internal(format!("{}: {QUORUM_LOST}", WriteError::NoLeader)));
        }
        let request = RemovePeerRequest {
            cluster_id: context.identity.get(),
            peer: Some(peer.clone()),
            force_living: force.living,
            force_without_majority: force.without_majority,
        };
        let there = async |mut leader: ServerClient<Channel>| leader.remove_peer(request).await.map(drop);
        of_leader(context, context.changes.remove(peer, force), there).await?;
        Ok(Answer::done(None))
    })
}

/// `PUT /v1/operator/raft/transfer-leadership`.
pub(crate) fn transfer_leadership(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        let context = &call.api.context;
        let peer = choice(&call.request)?;
        let request = HandOverRequest { cluster_id: context.identity.get(), peer: peer.clone() };
        let here = async {
            let (from, to) = context.changes.hand_over(peer).await?;
            Ok(LeadershipTransfer::of((from.id, &from.server), (to.id, &to.server)))
        };
        let there = async |mut leader: ServerClient<Channel>| {
            let HandOverReply { from, to } = leader.hand_over(request).await?.into_inner();
            let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
            let of = |peer: Peer| (peer.id, peer.server.unwrap_or_default());
            let ((from, at), (to, there)) = (of(from), of(to));
            Ok(LeadershipTransfer::of((from, &at), (to, &there)))
        };
        let transfer = of_leader(context, here, there).await?;
        Ok(Answer::local(&call.request, &transfer))
    })
}

/// Returns the hash of the whole state and its index.
pub(crate) fn state_hash_of(context: &Context) -> Result<StateHash, HttpError> {
    context.state.read(|reader| {
        let position = state_machine::position(reader)
            .map_err(|error| HttpError::internal(format!("the applied index cannot be read: {error}")))?;
        Ok(StateHash::of(position.last_log_id.map_or(0, |id| id.index), &state_hash(reader)?))
    })
}

pub(crate) fn state_hash_handler(call: Call) -> BoxFuture<'static, Result<Answer, HttpError>> {
    Box::pin(async move {
        call.confirm().await?;
        let context = call.api.context.clone();
        let hash = match context.state.db().blocks() {
            // It reads every row.
            true => call.api.room.hashing.work(move || state_hash_of(&context)).await??,
            false => state_hash_of(&context)?,
        };
        Ok(Answer::local(&call.request, &hash))
    })
}

/// How much the command's time may differ from the leader's clock beyond the clock skew that is allowed between
/// servers: the request takes some time to arrive.
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
            let written = writer.write(command).await?;
            let next = &written.answer;
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
