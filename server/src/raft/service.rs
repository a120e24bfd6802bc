//! Raft's gRPC service, which receives messages from other servers.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};

use futures::{FutureExt, Stream, StreamExt};
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use openraft::type_config::TypeConfigExt;
use ordu_proto::raft as pb;
use ordu_proto::raft::raft_server;
use ordu_proto::server::DiskRoom;
use ordu_store::background::{heavy, in_background};
use ordu_store::codec::{required_vote, vote_to_pb};
use ordu_store::snapshot::{check_files, meta_of};
use ordu_store::state_machine::State;
use ordu_store::types::{Snapshot, SnapshotMeta, TypeConfig, Vote};
use prost::Message;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

use super::check::{self, Complaints, Own};
use super::wire;
use crate::cluster::Raft;
use crate::contact::Contact;
use crate::disk_space::DiskSpace;
use crate::membership::ClusterId;

/// Decoding a message of at least this many bytes takes so long that it must not block raft.
const LARGE_BYTES: usize = 256 * 1024;

/// The service.
pub struct Service {
    /// Raft itself.
    pub raft: Raft,
    /// The tables, which receive snapshots.
    pub state: State,
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// Records contact with the leader.
    pub contact: Arc<Contact>,
    /// Free disk space.
    pub space: DiskSpace,
    /// Reports refused messages.
    pub refusals: Arc<Refusals>,
}

/// Refuses messages that no correct server sends; tells the sender, and from time to time the operator.
#[derive(Debug, Default)]
pub struct Refusals(Complaints);

impl Refusals {
    fn refuse(&self, error: io::Error) -> Status {
        if self.0.are_due() {
            tracing::error!("a message of raft is refused: {error}");
        }
        Status::invalid_argument(error.to_string())
    }
}

fn fatal(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("raft has stopped here: {error}"))
}

impl Service {
    fn check(&self, cluster_id: &[u8], target: u64) -> Result<(), Status> {
        self.cluster_id.check(cluster_id)?;
        if target != *self.raft.node_id() {
            return Err(Status::failed_precondition(format!(
                "this is server {}, the message is for {target}",
                self.raft.node_id()
            )));
        }
        Ok(())
    }

    /// Answers a heartbeat as soon as raft's core has processed it.
    ///
    /// Raft's own answer waits until all earlier entries are on disk. Behind large entries it would come too
    /// late, and the leader would consider its lease lost. The early answer says that this server durably
    /// follows the leader and has renewed the lease; it says nothing about entries.
    async fn heartbeat(
        &self,
        heartbeat: AppendEntriesRequest<TypeConfig>,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Status> {
        let (vote, came) = (heartbeat.vote, TypeConfig::now());
        let mut answer = pin!(self.raft.append_entries(heartbeat));
        let is_renewed = async {
            let (sender, renewed) = oneshot::channel();
            // The core runs this after the heartbeat, or returns an error.
            let asking = self.raft.external_request(move |state| {
                let is_since = state.vote_last_modified().is_some_and(|at| at >= came);
                // The receiver is gone if the heartbeat was answered already or the leader disconnected.
                let _ = sender.send(is_since && *state.vote_ref() == vote);
            });
            asking.await.is_ok()
                && renewed.await.unwrap_or(false)
                && self.raft.metrics().borrow_watched().vote == vote
        };
        tokio::select! {
            biased;
            answer = &mut answer => answer.map_err(fatal),
            is_renewed = is_renewed => match is_renewed {
                // A log conflict is usually known by now; otherwise the next append reports it.
                true => match answer.now_or_never() {
                    Some(answer) => answer.map_err(fatal),
                    None => Ok(AppendEntriesResponse::Success),
                },
                false => answer.await.map_err(fatal),
            },
        }
    }

    fn own(&self) -> Own {
        Own::of(&self.raft)
    }

    fn refuse(&self, error: io::Error) -> Status {
        self.refusals.refuse(error)
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<pb::AppendReply, Status>> + Send>>;

#[tonic::async_trait]
impl raft_server::Raft for Service {
    async fn append(&self, request: Request<pb::AppendRequest>) -> Result<Response<pb::AppendReply>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id, request.target)?;
        must_have_room(&self.space, &request)?;
        let unanswered_ms = request.unanswered_ms;
        let append = wire::append_from_pb(request, &self.own()).map_err(|error| self.refuse(error))?;
        let committed_index = append.leader_commit.as_ref().map_or(0, |id| id.index);
        self.contact.follow();
        let reply = if append.entries.is_empty() {
            self.heartbeat(append).await?
        } else {
            self.raft.append_entries(append).await.map_err(fatal)?
        };
        if !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
            self.contact.note_leader(unanswered_ms, committed_index);
            self.contact.stamp();
        }
        Ok(Response::new(wire::append_reply_to_pb(&reply)))
    }

    type AppendStreamStream = Replies;

    async fn append_stream(
        &self,
        request: Request<Streaming<pb::AppendRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let mut messages = request.into_inner();
        // Check the first message before accepting the stream, so that a foreign sender gets an error
        // message.
        let Some(first) = messages.message().await? else {
            return Ok(Response::new(Box::pin(futures::stream::empty())));
        };
        self.check(&first.cluster_id, first.target)?;
        let (cluster_id, contact) = (self.cluster_id.clone(), self.contact.clone());
        contact.follow();
        let (raft, space, refusals) = (self.raft.clone(), self.space.clone(), self.refusals.clone());
        let ended = Arc::new(OnceLock::new());
        let ends = ended.clone();
        let first = futures::stream::iter([Ok(first)]);
        let appends = tokio_stream::StreamExt::map_while(first.chain(messages), move |message| {
            let checked = message.and_then(|message| {
                cluster_id.check(&message.cluster_id)?;
                must_have_room(&space, &message)?;
                let is_large = message.encoded_len() >= LARGE_BYTES;
                heavy(is_large, || wire::append_from_pb(message, &Own::of(&raft)))
                    .map_err(|error| refusals.refuse(error))
            });
            // A bad message or a broken connection ends the stream; the leader opens another one.
            let ending = |status: Status| {
                tracing::debug!(%status, "a stream of appends ends");
                // Set only once: nothing is read after the first error.
                let _ = ends.set(status);
            };
            checked.map_err(ending).ok()
        });
        let replies = self.raft.stream_append(appends).map(move |result| {
            let result = result.map_err(fatal)?;
            if !matches!(result, Err(openraft::raft::StreamAppendError::HigherVote(_))) {
                contact.stamp();
            }
            Ok(wire::stream_reply_to_pb(&result))
        });
        // After the replies to earlier messages, tell the sender why the stream ends.
        let why = futures::stream::once(async move { ended.get().cloned().map(Err) });
        let replies = replies.chain(why.filter_map(std::future::ready));
        Ok(Response::new(Box::pin(replies)))
    }

    async fn vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteReply>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id, request.target)?;
        let vote = wire::vote_request_from_pb(&request, &self.own()).map_err(|error| self.refuse(error))?;
        let reply = self.raft.vote(vote).await.map_err(fatal)?;
        Ok(Response::new(wire::vote_reply_to_pb(&reply)))
    }

    async fn pre_vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteReply>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id, request.target)?;
        let vote = wire::vote_request_from_pb(&request, &self.own()).map_err(|error| self.refuse(error))?;
        let reply = self.raft.pre_vote(vote).await.map_err(fatal)?;
        Ok(Response::new(wire::vote_reply_to_pb(&reply)))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderReply>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id, request.target)?;
        let transfer = wire::transfer_from_pb(&request, &self.own()).map_err(|error| self.refuse(error))?;
        let reply = self.raft.handle_transfer_leader(transfer).await.map_err(fatal)?;
        Ok(Response::new(wire::transfer_reply_to_pb(&reply)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotChunk>>,
    ) -> Result<Response<pb::SnapshotReply>, Status> {
        let mut chunks = request.into_inner();
        let header = match chunks.message().await?.and_then(|first| first.chunk) {
            Some(pb::snapshot_chunk::Chunk::Header(header)) => header,
            _ => return Err(Status::invalid_argument("a snapshot begins with its header")),
        };
        self.check(&header.cluster_id, header.target)?;
        let (vote, meta, size_bytes) =
            checked_header(&header, &self.own()).map_err(|error| self.refuse(error))?;
        tracing::info!(last = ?meta.last_log_id, size_bytes, "receiving a snapshot from the leader");
        let promised = self.space.promise(size_bytes).ok_or_else(|| {
            let text = format!("a snapshot of {size_bytes} bytes does not fit on this server's disk");
            Status::resource_exhausted(text)
        })?;
        let db = self.state.db().clone();
        let blocks = db.blocks();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => self.refuse(error),
            io::ErrorKind::Unsupported => {
                tracing::error!("a snapshot is refused: {error}");
                Status::unimplemented(format!("the snapshot is refused: {error}"))
            }
            _ => Status::internal(format!("the snapshot cannot be kept here: {error}")),
        };
        let mut receiver = in_background(blocks, move || db.receive(&header)).await.map_err(failed)?;
        while let Some(chunk) = chunks.message().await? {
            let Some(pb::snapshot_chunk::Chunk::Data(data)) = chunk.chunk else {
                return Err(Status::invalid_argument("a piece of a snapshot without data"));
            };
            if self.space.room() == DiskRoom::Full {
                let text = "this server's disk is nearly full: it takes no more of the snapshot";
                return Err(Status::resource_exhausted(text));
            }
            let written = in_background(blocks, move || receiver.write(&data).map(|()| receiver));
            receiver = written.await.map_err(failed)?;
        }
        let db = self.state.db().clone();
        let received = in_background(blocks, move || {
            let received = receiver.finish()?;
            db.check_received(&received)?;
            Ok(received)
        });
        let received = received.await.map_err(failed)?;
        drop(promised);
        // Check again: more may have been committed meanwhile, and raft asserts that the snapshot does not
        // contradict it.
        check::snapshot(&vote, &meta, &self.own()).map_err(|error| self.refuse(error))?;
        let snapshot = Snapshot { meta, snapshot: received };
        self.contact.follow();
        let reply = self.raft.install_full_snapshot(vote, snapshot).await.map_err(fatal)?;
        self.contact.stamp();
        Ok(Response::new(pb::SnapshotReply { vote: Some(vote_to_pb(&reply.vote)) }))
    }
}

/// Refuses entries when the disk is full: a failed log write would end this server, and its vote would be
/// lost.
fn must_have_room(space: &DiskSpace, append: &pb::AppendRequest) -> Result<(), Status> {
    if append.entries.is_empty() || space.room() != DiskRoom::Full {
        return Ok(());
    }
    Err(Status::resource_exhausted(
        "this server's disk is nearly full: it takes no entries until there is room again",
    ))
}

/// Checks a snapshot's header; returns the leader's vote, the metadata and the size in bytes.
pub(super) fn checked_header(
    header: &pb::SnapshotHeader,
    own: &Own,
) -> io::Result<(Vote, SnapshotMeta, u64)> {
    let vote = required_vote(header.vote.as_ref())?;
    let meta = meta_of(header)?;
    check::snapshot(&vote, &meta, own)?;
    Ok((vote, meta, check_files(&header.files)?))
}
