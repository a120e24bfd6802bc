//! The gRPC service for requests from other servers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use openraft::errors::ClientWriteError;
use ordu_core::command::{FIRST_LEVEL, Needs, Outcome, read_envelope, stamped};
use ordu_core::state::Id;
use ordu_proto::server::{
    Applied, DigestReply, DigestRequest, FeatureLevelsReply, FeatureLevelsRequest, GreetReply, GreetRequest,
    HandOverReply, HandOverRequest, JoinReply, JoinRequest, NodeLivenessReply, NodeLivenessRequest, Peer,
    ProposeReply, ProposeRequest, ProposeResult, RaiseFeatureLevelReply, RaiseFeatureLevelRequest,
    ReadIndexReply, ReadIndexRequest, RemovePeerReply, RemovePeerRequest, ServersHealthReply,
    ServersHealthRequest, propose_result, server_server,
};
use ordu_store::types::Command;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::clock::ServerClock;
use crate::cluster::{Member, Raft, runs};
use crate::context::Context;
use crate::leader::Liveness;
use crate::membership::{Force, Greetings, Known, Said, autopilot, levels};
use crate::rpc::bounds;

/// The service.
pub struct Service {
    /// This server's parts.
    pub context: Context,
    /// Servers heard from.
    pub known: Known,
    /// Handles greetings.
    pub greetings: Greetings,
    /// Live nodes, for the leader.
    pub liveness: Arc<Liveness>,
}

/// How long a joining server waits for an answer; the membership change goes on after that.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

impl Service {
    /// Checks a request to the leader of this cluster.
    fn must_lead(&self, cluster_id: &[u8]) -> Result<(), Status> {
        self.context.identity.check(cluster_id)?;
        if self.context.cluster.is_leader() {
            return Ok(());
        }
        Err(Status::unavailable("this server does not lead"))
    }
}

#[tonic::async_trait]
impl server_server::Server for Service {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        let request = request.into_inner();
        bounds::greeting(&request)?;
        let cluster = &self.context.cluster;
        let (is_probe, standing) = (request.probe, request.standing);
        let (mut had, mut acknowledged, mut refused) = (None, None, None);
        let cluster_level = self.context.state.feature_level();
        if let Some(said) = Said::of_request(request).filter(|_| !is_probe) {
            let id = said.peer.id;
            if !said.cluster_id.is_empty() && said.cluster_id == self.context.identity.get() {
                had = Some(self.known.had(id, standing.as_ref()));
                acknowledged = cluster.acknowledged_by(id);
            }
            let too_old = self.greetings.refuse_older(&said, cluster_level);
            refused = self.greetings.hear(said, cluster.address_of(id)).await.or(too_old);
        }
        Ok(Response::new(GreetReply {
            leader_id: cluster.leader().map_or(0, |leader| leader.id),
            had,
            acknowledged,
            refused: refused.unwrap_or_default(),
            cluster_level,
            ..self.greetings.reply(cluster.telling())
        }))
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeReply>, Status> {
        let request = request.into_inner();
        self.context.identity.check(&request.cluster_id)?;
        bounds::proposals(&request)?;
        let Context { cluster, state, clock, space, .. } = &self.context;
        // A server that does not lead must not judge others' disks or the cluster's level.
        let leads = cluster.is_leader();
        let refusal = |needs: Needs| {
            if !leads {
                return None;
            }
            let refused = |reason| match levels::has_first_level(state) {
                true => propose_result::Result::AboveLevel(reason),
                false => propose_result::Result::NotProposed("the cluster is being formed".to_owned()),
            };
            let above_level = levels::refusal_of(cluster, state, needs.feature_level).map(refused);
            above_level.or_else(|| space.refusal_of(needs).map(propose_result::Result::NoRoom))
        };
        let results = propose_all(cluster.raft(), clock, refusal, request.commands).await;
        Ok(Response::new(ProposeReply { results }))
    }

    async fn read_index(
        &self,
        request: Request<ReadIndexRequest>,
    ) -> Result<Response<ReadIndexReply>, Status> {
        self.must_lead(&request.into_inner().cluster_id)?;
        let index =
            self.context.reads.index().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(ReadIndexReply { log_id: Some(ordu_proto::raft::LogId { term: 0, index }) }))
    }

    async fn node_liveness(
        &self,
        request: Request<NodeLivenessRequest>,
    ) -> Result<Response<NodeLivenessReply>, Status> {
        let request = request.into_inner();
        bounds::live_nodes(&request)?;
        self.must_lead(&request.cluster_id)?;
        let ids: Vec<Id> =
            request.node_ids.iter().filter_map(|id| Id::try_from(id.as_slice()).ok()).collect();
        self.liveness.note_alive(&ids);
        Ok(Response::new(NodeLivenessReply {}))
    }

    async fn digest(&self, request: Request<DigestRequest>) -> Result<Response<DigestReply>, Status> {
        let request = request.into_inner();
        self.context.identity.check(&request.cluster_id)?;
        Ok(Response::new(DigestReply { hash: self.context.state.chain_at(request.index) }))
    }

    async fn remove_peer(
        &self,
        request: Request<RemovePeerRequest>,
    ) -> Result<Response<RemovePeerReply>, Status> {
        let request = request.into_inner();
        self.must_lead(&request.cluster_id)?;
        let force = Force { living: request.force_living, without_majority: request.force_without_majority };
        self.context.changes.remove(bounds::choice(request.peer.unwrap_or_default())?, force).await?;
        Ok(Response::new(RemovePeerReply {}))
    }

    async fn hand_over(&self, request: Request<HandOverRequest>) -> Result<Response<HandOverReply>, Status> {
        let request = request.into_inner();
        self.must_lead(&request.cluster_id)?;
        let choice = request.peer.map(bounds::choice).transpose()?;
        let (from, to) = self.context.changes.hand_over(choice).await?;
        let peer = |of: Member| Some(Peer { id: of.id, server: Some(of.server), region: String::new() });
        Ok(Response::new(HandOverReply { from: peer(from), to: peer(to) }))
    }

    async fn servers_health(
        &self,
        request: Request<ServersHealthRequest>,
    ) -> Result<Response<ServersHealthReply>, Status> {
        self.must_lead(&request.into_inner().cluster_id)?;
        let servers =
            autopilot::health(&self.context).map_err(|fault| Status::internal(fault.to_string()))?;
        Ok(Response::new(ServersHealthReply { servers }))
    }

    async fn feature_levels(
        &self,
        request: Request<FeatureLevelsRequest>,
    ) -> Result<Response<FeatureLevelsReply>, Status> {
        self.must_lead(&request.into_inner().cluster_id)?;
        Ok(Response::new(levels::told(&self.context)))
    }

    async fn raise_feature_level(
        &self,
        request: Request<RaiseFeatureLevelRequest>,
    ) -> Result<Response<RaiseFeatureLevelReply>, Status> {
        self.must_lead(&request.into_inner().cluster_id)?;
        Ok(Response::new(RaiseFeatureLevelReply { level: levels::raise(&self.context).await? }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let request = request.into_inner();
        self.must_lead(&request.cluster_id)?;
        let peer = request.me.ok_or_else(|| Status::invalid_argument("a join says who joins"))?;
        bounds::peer(&peer)?;
        let feature_level = request.feature_level.max(FIRST_LEVEL);
        timeout(JOIN_TIMEOUT, self.context.changes.admit(peer, feature_level))
            .await
            .map_err(|_| Status::deadline_exceeded("the membership change takes long; it goes on"))??;
        Ok(Response::new(JoinReply {}))
    }
}

/// Proposes the commands that can be decoded and that `refusal` accepts, with this server's time. Returns the
/// outcome of each, as far as raft reported it.
pub(crate) async fn propose_all(
    raft: &Raft,
    clock: &ServerClock,
    refusal: impl Fn(Needs) -> Option<propose_result::Result>,
    commands: Vec<Bytes>,
) -> Vec<ProposeResult> {
    let refusal_of = |bytes: &Bytes| match read_envelope(bytes.clone()) {
        // Logging an entry that cannot be decoded would end every server each time it is applied.
        Err(error) => Some(propose_result::Result::Unreadable(error.to_string())),
        Ok(read) => refusal(read.needs),
    };
    let refused: Vec<Option<propose_result::Result>> = commands.iter().map(refusal_of).collect();
    let taken = commands.into_iter().zip(&refused).filter(|(_, refusal)| refusal.is_none());
    let time_ns = clock.now_ns();
    let taken: Vec<Command> = taken.map(|(bytes, _)| Command(stamped(&bytes, time_ns).into())).collect();
    let mut proposed = if taken.is_empty() { Vec::new() } else { write_all(raft, taken).await }.into_iter();
    let result = |refusal: Option<propose_result::Result>| match refusal {
        Some(refusal) => refusal,
        None => proposed
            .next()
            .unwrap_or_else(|| propose_result::Result::Unknown("raft gave no answer".to_owned())),
    };
    let results = refused.into_iter().map(result);
    results.map(|result| ProposeResult { result: Some(result) }).collect()
}

async fn write_all(raft: &Raft, commands: Vec<Command>) -> Vec<propose_result::Result> {
    // Checked first: if raft stops after it was given the writes, their outcomes are unknown.
    if !runs(raft) {
        let ended = propose_result::Result::NotProposed("raft has ended at this server".to_owned());
        return vec![ended; commands.len()];
    }
    let mut results = Vec::with_capacity(commands.len());
    match raft.client_write_many(commands).await {
        Ok(mut answers) => {
            while let Some(answer) = answers.next().await {
                results.push(match answer {
                    Ok(Ok(written)) => propose_result::Result::Applied(Applied {
                        log_index: written.log_id.index,
                        outcome: written.response.0.as_ref().map(Outcome::encode_to_vec).unwrap_or_default(),
                    }),
                    Ok(Err(ClientWriteError::ForwardToLeader(_))) => {
                        propose_result::Result::NotProposed("this server does not lead".to_owned())
                    }
                    Ok(Err(error)) => propose_result::Result::Unknown(error.to_string()),
                    Err(error) => propose_result::Result::Unknown(error.to_string()),
                });
            }
        }
        Err(error) => results.push(propose_result::Result::Unknown(error.to_string())),
    }
    results
}

#[cfg(test)]
mod tests;
