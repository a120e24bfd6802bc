//! Raft's gRPC client, which sends messages to other servers.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{RPCOption, RaftNetworkFactory, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use ordu_proto::raft::raft_client::RaftClient;
use ordu_proto::raft::{AppendRequest, SnapshotChunk, SnapshotHeader, snapshot_chunk};
use ordu_store::background::in_background;
use ordu_store::codec::vote_to_pb;
use ordu_store::snapshot::SnapshotData;
use ordu_store::types::{Server, Snapshot, TypeConfig, Vote};
use tokio::sync::mpsc;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::check::Complaints;
use super::wire::{self, Sent};
use crate::contact::Contact;
use crate::membership::ClusterId;
use crate::options::RaftTiming;
use crate::peers::{Peers, Purpose};
use crate::retention::Transfers;

/// An append stream is closed if an append has no answer for this long (at rack-scale timing). A deadline for
/// each answer would cut off a follower whose disk is slow once.
const STALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after a server had no space for a snapshot or could not read its format: each attempt reads the
/// whole snapshot.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(30);
/// Timeout of a snapshot transfer.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(600);

/// Creates raft's clients.
pub struct Network {
    /// Channels to the servers.
    pub peers: Peers,
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// Records snapshot transfers.
    pub transfers: Transfers,
    /// Scales timeouts to the distance between servers.
    pub timing: RaftTiming,
    /// Knows how long no quorum has answered this server as the leader.
    pub contact: Arc<Contact>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, server: &Server) -> Client {
        self.client(target, server, Purpose::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, server: &Server) -> Client {
        self.client(target, server, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, server: &Server) -> Client {
        self.client(target, server, Purpose::Snapshot)
    }
}

impl Network {
    fn client(&self, target: u64, server: &Server, purpose: Purpose) -> Client {
        let (peers, cluster_id) = (self.peers.clone(), self.cluster_id.clone());
        let (transfers, timing, refusals) = (self.transfers.clone(), self.timing, Arc::default());
        let (server, contact) = (server.clone(), self.contact.clone());
        Client { peers, cluster_id, target, server, purpose, transfers, timing, contact, refusals }
    }
}

/// Raft's client for one other server.
pub struct Client {
    peers: Peers,
    cluster_id: ClusterId,
    target: u64,
    server: Server,
    purpose: Purpose,
    transfers: Transfers,
    timing: RaftTiming,
    contact: Arc<Contact>,
    /// Limits log messages about refused requests.
    refusals: Arc<Complaints>,
}

type Failure = RPCError<TypeConfig>;

impl Client {
    #[expect(clippy::result_large_err, reason = "the error's type is raft's")]
    fn raft(&self) -> Result<RaftClient<Channel>, Failure> {
        let address = self.peers.address_of(self.target, &self.server);
        self.peers.raft(&address, self.purpose).map_err(failure)
    }

    fn refused(&self) -> impl Fn(Status) -> Failure + Send + use<> {
        let (refusals, name) = (self.refusals.clone(), self.server.name.clone());
        move |status| {
            // The server will refuse the same message again, so the operator must know.
            if status.code() == Code::InvalidArgument && refusals.are_due() {
                tracing::error!(to = name, "another server refuses a message of raft: {}", status.message());
            }
            failure(status)
        }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Failure> {
        self.answered(limit, timeout(limit, call).await)
    }

    #[expect(clippy::result_large_err, reason = "the error's type is raft's")]
    fn answered<T>(
        &self,
        limit: Duration,
        answer: Result<Result<tonic::Response<T>, Status>, Elapsed>,
    ) -> Result<T, Failure> {
        match answer {
            Ok(reply) => reply.map(tonic::Response::into_inner).map_err(self.refused()),
            Err(_) => Err(unreachable(format!("no answer in {} ms", limit.as_millis()))),
        }
    }
}

fn unreachable(text: impl ToString) -> Failure {
    RPCError::Unreachable(Unreachable::from_string(text))
}

/// Maps a status to raft's errors. Cancelled and timed-out calls are retried at once; after any other failure
/// raft waits before it retries.
fn failure(status: Status) -> Failure {
    match status.code() {
        Code::Cancelled | Code::DeadlineExceeded => {
            RPCError::Network(NetworkError::from_string(status.message()))
        }
        _ => unreachable(status.message()),
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Failure> {
        let message = AppendRequest {
            unanswered_ms: self.contact.unanswered_ms(),
            ..wire::append_to_pb(self.cluster_id.get(), self.target, &request)
        };
        let reply = self.within(option.hard_ttl(), self.raft()?.append(message)).await?;
        wire::append_reply_from_pb(reply, request.vote.leader_id.term).map_err(unreachable)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, Failure>>, Failure>>
    where
        S: futures::Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        if self.purpose == Purpose::Heartbeat {
            // A heartbeat stream has a single message, so a unary call is as good, and the receiver can tell
            // heartbeats from entries.
            return stream_append_sequential(self, input, option);
        }
        let (target, cluster_id) = (self.target, self.cluster_id.get());
        Box::pin(async move {
            // Take the first request before connecting: raft pauses after a failure only if a request was
            // taken. Otherwise it would retry without pause while the other server is down.
            let Some(first) = input.next().await else {
                let none: BoxStream<'s, _> = Box::pin(stream::empty());
                return Ok(none);
            };
            let mut client = self.raft()?;
            let under_way = UnderWay::default();
            let sent = under_way.clone();
            let messages = stream::iter([first]).chain(input).map(move |request| {
                sent.begin(Sent::of(&request));
                wire::append_to_pb(cluster_id.clone(), target, &request)
            });
            let opening = client.append_stream(messages);
            let limit = option.hard_ttl().max(Duration::from_secs(1));
            let replies = self.within(limit, opening).await?;
            let stall_max = self.timing.scaled(STALL_TIMEOUT, 10);
            let begun = (replies, under_way, stall_max, self.refused());
            let replies: BoxStream<'s, _> = Box::pin(stream::unfold(Some(begun), |state| async move {
                let (mut replies, under_way, stall_max, refused) = state?;
                match under_way.watched(stall_max, replies.message()).await {
                    Ok(Some(reply)) => {
                        let result = match under_way.end() {
                            Some(sent) => wire::stream_reply_from_pb(reply, sent).map_err(unreachable),
                            None => Err(unreachable("a reply to nothing")),
                        };
                        let goes_on = matches!(result, Ok(Ok(_)));
                        Some((result, goes_on.then_some((replies, under_way, stall_max, refused))))
                    }
                    Ok(None) => None,
                    Err(status) => Some((Err(refused(status)), None)),
                }
            }));
            Ok(replies)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failure> {
        let message = wire::vote_request_to_pb(self.cluster_id.get(), self.target, &request);
        let reply = self.within(option.hard_ttl(), self.raft()?.vote(message)).await?;
        wire::vote_reply_from_pb(&reply, request.vote.leader_id.term).map_err(unreachable)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failure> {
        let message = wire::vote_request_to_pb(self.cluster_id.get(), self.target, &request);
        let reply = self.within(option.hard_ttl(), self.raft()?.pre_vote(message)).await?;
        wire::vote_reply_from_pb(&reply, request.vote.leader_id.term).map_err(unreachable)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let mut client = self.raft()?;
        let (chunks, messages) = mpsc::channel(4);
        let (cluster_id, target, sent) = (self.cluster_id.get(), self.target, vote.leader_id.term);
        let last = snapshot.meta.last_log_id.map_or(0, |id| id.index);
        let _under_way = self.transfers.begin(target, last);
        let sender = tokio::spawn(send_snapshot(chunks, cluster_id, target, vote, snapshot));
        let installing = async {
            let installing = client.install_snapshot(ReceiverStream::new(messages));
            let installed = timeout(SNAPSHOT_TIMEOUT, installing).await;
            if let Ok(Err(status)) = &installed
                && matches!(status.code(), Code::ResourceExhausted | Code::Unimplemented)
            {
                tracing::warn!(to = self.server.name, "a snapshot is refused: {}", status.message());
                sleep(SNAPSHOT_PAUSE).await;
            }
            installed
        };
        let installed = tokio::select! {
            installed = installing => installed,
            closed = cancel => {
                sender.abort();
                return Err(StreamingError::Closed(closed));
            }
        };
        sender.abort();
        let reply = self.answered(SNAPSHOT_TIMEOUT, installed)?;
        let vote = wire::snapshot_reply_from_pb(&reply, sent).map_err(unreachable)?;
        Ok(SnapshotResponse { vote })
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Failure> {
        let message = wire::transfer_to_pb(self.cluster_id.get(), self.target, &request);
        let reply = self.within(option.hard_ttl(), self.raft()?.transfer_leader(message)).await?;
        wire::transfer_reply_from_pb(&request, reply).map_err(unreachable)
    }
}

/// Reads a snapshot and sends its chunks as fast as the receiver takes them.
async fn send_snapshot(
    chunks: mpsc::Sender<SnapshotChunk>,
    cluster_id: Vec<u8>,
    target: u64,
    vote: Vote,
    snapshot: Snapshot,
) {
    let send = |chunk| chunks.send(SnapshotChunk { chunk: Some(chunk) });
    let data = snapshot.snapshot;
    let blocks = data.directory().is_some();
    let reading = data.clone();
    let files = match in_background(blocks, move || reading.files()).await {
        Ok(files) => files,
        Err(error) => {
            tracing::error!(%error, "a snapshot cannot be read; the server that needs it must wait");
            return;
        }
    };
    let mut pieces = data.chunks(&files);
    let header = SnapshotHeader { cluster_id, target, vote: Some(vote_to_pb(&vote)), ..data.header(files) };
    if send(snapshot_chunk::Chunk::Header(header)).await.is_err() {
        return;
    }
    loop {
        let read = in_background(blocks, move || pieces.read_next().map(|piece| (piece, pieces))).await;
        match read {
            Ok((Some(piece), rest)) => {
                pieces = rest;
                if send(snapshot_chunk::Chunk::Data(piece)).await.is_err() {
                    return;
                }
            }
            Ok((None, _)) => return,
            Err(error) => {
                // The stream ends early; the receiver compares with the header and refuses the snapshot.
                tracing::error!(%error, "a snapshot cannot be read to its end");
                return;
            }
        }
    }
}

/// Unanswered appends on a stream, with their send times. Replies come in the same order.
#[derive(Clone, Default)]
struct UnderWay(Arc<Mutex<VecDeque<(Instant, Sent)>>>);

impl UnderWay {
    fn begin(&self, sent: Sent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((Instant::now(), sent));
    }

    fn end(&self) -> Option<Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().map(|(_, sent)| sent)
    }

    fn oldest(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).front().map(|(at, _)| *at)
    }

    /// Returns `reply`, or an error if the oldest append has no answer for too long.
    async fn watched<T>(
        &self,
        stall_max: Duration,
        reply: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut reply = std::pin::pin!(reply);
        loop {
            if let Ok(reply) = timeout(stall_max / 4, &mut reply).await {
                return reply;
            }
            if self.oldest().is_some_and(|oldest| oldest.elapsed() > stall_max) {
                return Err(Status::deadline_exceeded("an append has no answer for seconds"));
            }
        }
    }
}
