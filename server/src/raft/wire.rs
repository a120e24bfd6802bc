//! Converts raft's requests and replies to and from protobuf messages.

use std::io;

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use ordu_proto::raft as pb;
use ordu_store::codec::{
    entry_from_pb, entry_to_pb, invalid, log_id_from_pb, log_id_to_pb, required_vote, vote_to_pb,
};
use ordu_store::types::{LogId, TypeConfig, Vote};

use super::check::{self, Own};

fn optional(log_id: Option<&pb::LogId>) -> Option<LogId> {
    log_id.map(log_id_from_pb)
}

pub(super) fn append_to_pb(
    cluster_id: Vec<u8>,
    target: u64,
    request: &AppendEntriesRequest<TypeConfig>,
) -> pb::AppendRequest {
    pb::AppendRequest {
        cluster_id,
        target,
        vote: Some(vote_to_pb(&request.vote)),
        prev_log_id: request.prev_log_id.as_ref().map(log_id_to_pb),
        entries: request.entries.iter().map(entry_to_pb).collect(),
        leader_commit: request.leader_commit.as_ref().map(log_id_to_pb),
        unanswered_ms: 0,
    }
}

pub(super) fn append_from_pb(
    request: pb::AppendRequest,
    own: &Own,
) -> io::Result<AppendEntriesRequest<TypeConfig>> {
    let append = AppendEntriesRequest {
        vote: required_vote(request.vote.as_ref())?,
        prev_log_id: optional(request.prev_log_id.as_ref()),
        entries: request.entries.into_iter().map(entry_from_pb).collect::<io::Result<_>>()?,
        leader_commit: optional(request.leader_commit.as_ref()),
    };
    check::append(&append, own)?;
    Ok(append)
}

pub(super) fn append_reply_to_pb(reply: &AppendEntriesResponse<TypeConfig>) -> pb::AppendReply {
    use pb::append_reply::Result as Of;
    let result = match reply {
        AppendEntriesResponse::Success => Of::Success(pb::Blank {}),
        AppendEntriesResponse::PartialSuccess(log_id) => {
            Of::PartialSuccess(log_id.as_ref().map(log_id_to_pb).unwrap_or_default())
        }
        AppendEntriesResponse::Conflict => Of::Conflict(pb::Blank {}),
        AppendEntriesResponse::HigherVote(vote) => Of::HigherVote(vote_to_pb(vote)),
    };
    pb::AppendReply { result: Some(result), ..pb::AppendReply::default() }
}

/// Decodes the vote of a reply to a request of term `sent`.
fn vote_in_reply(vote: Option<&pb::VoteState>, sent: u64) -> io::Result<Vote> {
    let vote = required_vote(vote)?;
    check::vote_in_reply(&vote, sent)?;
    Ok(vote)
}

/// Decodes the log id of a reply.
fn log_id_in_reply(id: Option<&pb::LogId>) -> io::Result<Option<LogId>> {
    let id = optional(id);
    check::log_id_in_reply(id.as_ref())?;
    Ok(id)
}

pub(super) fn append_reply_from_pb(
    reply: pb::AppendReply,
    sent: u64,
) -> io::Result<AppendEntriesResponse<TypeConfig>> {
    use pb::append_reply::Result as Of;
    Ok(match reply.result.ok_or_else(|| invalid("an empty reply to an append"))? {
        Of::Success(_) => AppendEntriesResponse::Success,
        // Terms begin at 1, so a log id with term 0 stands for none.
        Of::PartialSuccess(log_id) if log_id.term == 0 => AppendEntriesResponse::PartialSuccess(None),
        Of::PartialSuccess(log_id) => AppendEntriesResponse::PartialSuccess(log_id_in_reply(Some(&log_id))?),
        Of::Conflict(_) => AppendEntriesResponse::Conflict,
        Of::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote_in_reply(Some(&vote), sent)?),
    })
}

pub(super) fn stream_reply_to_pb(result: &StreamAppendResult<TypeConfig>) -> pb::AppendReply {
    use pb::append_reply::Result as Of;
    let mut reply = pb::AppendReply::default();
    reply.result = Some(match result {
        Ok(log_id) => {
            reply.stream_success = log_id.as_ref().map(log_id_to_pb);
            Of::Success(pb::Blank {})
        }
        Err(StreamAppendError::Conflict(log_id)) => {
            reply.stream_conflict = Some(log_id_to_pb(log_id));
            Of::Conflict(pb::Blank {})
        }
        Err(StreamAppendError::HigherVote(vote)) => Of::HigherVote(vote_to_pb(vote)),
    });
    reply
}

/// The append that a reply on a stream answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) term: u64,
    /// The log id before the sent entries, and the last one.
    pub(super) range: (Option<LogId>, Option<LogId>),
}

impl Sent {
    pub(super) fn of(request: &AppendEntriesRequest<TypeConfig>) -> Self {
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        Self { term: request.vote.leader_id.term, range: (request.prev_log_id, last) }
    }
}

/// Decodes a reply to `sent`. Raft trusts the log ids in it, so it must not name entries that were not sent.
pub(super) fn stream_reply_from_pb(
    reply: pb::AppendReply,
    sent: Sent,
) -> io::Result<StreamAppendResult<TypeConfig>> {
    use pb::append_reply::Result as Of;
    let answers = |told: Option<LogId>, sent: Option<LogId>| {
        let text = || invalid("a reply to an append that was not sent");
        if told == sent { Ok(told) } else { Err(text()) }
    };
    let (before, last) = sent.range;
    Ok(match reply.result.ok_or_else(|| invalid("an empty reply to an append"))? {
        Of::Success(_) => Ok(answers(optional(reply.stream_success.as_ref()), last)?),
        Of::Conflict(_) => {
            let at = answers(optional(reply.stream_conflict.as_ref()), before)?;
            Err(StreamAppendError::Conflict(at.ok_or_else(|| invalid("a conflict at no log id"))?))
        }
        Of::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_in_reply(Some(&vote), sent.term)?)),
        Of::PartialSuccess(_) => return Err(invalid("a partial success on a stream")),
    })
}

pub(super) fn vote_request_to_pb(
    cluster_id: Vec<u8>,
    target: u64,
    request: &VoteRequest<TypeConfig>,
) -> pb::VoteRequest {
    pb::VoteRequest {
        cluster_id,
        target,
        vote: Some(vote_to_pb(&request.vote)),
        last_log_id: request.last_log_id.as_ref().map(log_id_to_pb),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn vote_request_from_pb(
    request: &pb::VoteRequest,
    own: &Own,
) -> io::Result<VoteRequest<TypeConfig>> {
    let vote = required_vote(request.vote.as_ref())?;
    let mut of_raft = VoteRequest::new(vote, optional(request.last_log_id.as_ref()));
    of_raft.leadership_transfer = request.leadership_transfer;
    check::vote_request(&of_raft, own)?;
    Ok(of_raft)
}

pub(super) fn vote_reply_to_pb(reply: &VoteResponse<TypeConfig>) -> pb::VoteReply {
    pb::VoteReply {
        vote: Some(vote_to_pb(&reply.vote)),
        vote_granted: reply.vote_granted,
        last_log_id: reply.last_log_id.as_ref().map(log_id_to_pb),
    }
}

pub(super) fn vote_reply_from_pb(reply: &pb::VoteReply, sent: u64) -> io::Result<VoteResponse<TypeConfig>> {
    let vote = vote_in_reply(reply.vote.as_ref(), sent)?;
    Ok(VoteResponse::new(vote, log_id_in_reply(reply.last_log_id.as_ref())?, reply.vote_granted))
}

pub(super) fn transfer_to_pb(
    cluster_id: Vec<u8>,
    target: u64,
    request: &TransferLeaderRequest<TypeConfig>,
) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        cluster_id,
        target,
        from_leader: Some(vote_to_pb(request.from_leader())),
        to_node_id: *request.to_node_id(),
        last_log_id: request.last_log_id().map(log_id_to_pb),
    }
}

pub(super) fn transfer_from_pb(
    request: &pb::TransferLeaderRequest,
    own: &Own,
) -> io::Result<TransferLeaderRequest<TypeConfig>> {
    let from = required_vote(request.from_leader.as_ref())?;
    let transfer =
        TransferLeaderRequest::new(from, request.to_node_id, optional(request.last_log_id.as_ref()));
    check::transfer(&transfer, own)?;
    Ok(transfer)
}

pub(super) fn transfer_reply_to_pb(reply: &TransferLeaderResponse<TypeConfig>) -> pb::TransferLeaderReply {
    use pb::transfer_leader_reply::Refused;
    let refused = match reply {
        Ok(()) => None,
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            Some(Refused::VoteChanged(vote_to_pb(actual)))
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            Some(Refused::LogNotFlushed(actual.as_ref().map(log_id_to_pb).unwrap_or_default()))
        }
    };
    pb::TransferLeaderReply { refused }
}

pub(super) fn transfer_reply_from_pb(
    request: &TransferLeaderRequest<TypeConfig>,
    reply: pb::TransferLeaderReply,
) -> io::Result<TransferLeaderResponse<TypeConfig>> {
    use pb::transfer_leader_reply::Refused;
    Ok(match reply.refused {
        None => Ok(()),
        Some(Refused::VoteChanged(vote)) => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: vote_in_reply(Some(&vote), request.from_leader().leader_id.term)?,
        }),
        Some(Refused::LogNotFlushed(log_id)) => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: log_id_in_reply(Some(&log_id).filter(|log_id| log_id.term != 0))?,
        }),
    })
}

/// Decodes the vote in the reply to a snapshot sent in term `sent`.
pub(super) fn snapshot_reply_from_pb(reply: &pb::SnapshotReply, sent: u64) -> io::Result<Vote> {
    vote_in_reply(reply.vote.as_ref(), sent)
}
