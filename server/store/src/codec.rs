//! Raft's values as protobuf messages: one encoding for the wire and the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::vote::RaftLeaderId;
use openraft::vote::leader_id_std::CommittedLeaderId;
use ordu_proto::raft as pb;
use prost::Message;

use crate::types::{Command, Entry, LogId, Membership, StoredMembership, Vote};

/// Returns an error for bytes that no release of Ordu writes.
pub fn invalid(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

/// Decodes a message; `what` names it in the error.
pub fn decode<M: Message + Default>(what: &str, bytes: &[u8]) -> io::Result<M> {
    M::decode(bytes).map_err(|error| invalid(format!("{what} cannot be decoded: {error}")))
}

/// Encodes a log id.
pub fn log_id_to_pb(id: &LogId) -> pb::LogId {
    pb::LogId { term: id.leader_id.term, index: id.index }
}

/// Decodes a log id.
pub fn log_id_from_pb(id: &pb::LogId) -> LogId {
    LogId { leader_id: CommittedLeaderId::new(id.term), index: id.index }
}

/// Encodes a vote.
pub fn vote_to_pb(vote: &Vote) -> pb::VoteState {
    pb::VoteState {
        term: vote.leader_id.term,
        voted_for: Some(vote.leader_id.voted_for),
        committed: vote.committed,
    }
}

/// Decodes a vote.
pub fn vote_from_pb(vote: &pb::VoteState) -> io::Result<Vote> {
    let voted_for = vote.voted_for.ok_or_else(|| invalid("a vote for no one"))?;
    let leader_id = RaftLeaderId::new(vote.term, voted_for);
    Ok(Vote { leader_id, committed: vote.committed })
}

/// Decodes a vote that must be present.
pub fn required_vote(vote: Option<&pb::VoteState>) -> io::Result<Vote> {
    vote_from_pb(vote.ok_or_else(|| invalid("a raft message without a vote"))?)
}

/// Encodes a membership.
pub fn membership_to_pb(membership: &Membership) -> pb::Membership {
    let configs = membership.get_joint_config().iter();
    pb::Membership {
        configs: configs.map(|set| pb::VoterSet { ids: set.iter().copied().collect() }).collect(),
        servers: membership.nodes().map(|(id, server)| (*id, server.clone())).collect(),
    }
}

/// Decodes a membership.
pub fn membership_from_pb(membership: &pb::Membership) -> io::Result<Membership> {
    let configs: Vec<BTreeSet<u64>> =
        membership.configs.iter().map(|set| set.ids.iter().copied().collect()).collect();
    let servers: BTreeMap<u64, pb::Server> = membership.servers.clone();
    Membership::new(configs, servers)
        .map_err(|error| invalid(format!("a membership that cannot be: {error}")))
}

/// Encodes a stored membership.
pub fn stored_membership_to_pb(stored: &StoredMembership) -> pb::StoredMembership {
    pb::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to_pb),
        membership: Some(membership_to_pb(stored.membership())),
    }
}

/// Decodes a stored membership.
pub fn stored_membership_from_pb(stored: &pb::StoredMembership) -> io::Result<StoredMembership> {
    let membership = match &stored.membership {
        Some(membership) => membership_from_pb(membership)?,
        None => Membership::default(),
    };
    Ok(StoredMembership::new(stored.log_id.as_ref().map(log_id_from_pb), membership))
}

/// Encodes a log entry.
pub fn entry_to_pb(entry: &Entry) -> pb::Entry {
    let payload = match &entry.payload {
        EntryPayload::Blank => pb::entry::Payload::Blank(pb::Blank {}),
        EntryPayload::Normal(command) => pb::entry::Payload::Command(command.0.clone()),
        EntryPayload::Membership(membership) => pb::entry::Payload::Membership(membership_to_pb(membership)),
    };
    pb::Entry { log_id: Some(log_id_to_pb(&entry.log_id)), payload: Some(payload) }
}

/// Decodes a log entry.
pub fn entry_from_pb(entry: pb::Entry) -> io::Result<Entry> {
    let log_id =
        entry.log_id.as_ref().map(log_id_from_pb).ok_or_else(|| invalid("an entry without a log id"))?;
    let payload = match entry.payload {
        Some(pb::entry::Payload::Blank(_)) => EntryPayload::Blank,
        Some(pb::entry::Payload::Command(bytes)) => EntryPayload::Normal(Command(bytes)),
        Some(pb::entry::Payload::Membership(membership)) => {
            EntryPayload::Membership(membership_from_pb(&membership)?)
        }
        None => {
            return Err(invalid(format!(
                "entry {} has a payload that this release does not know",
                log_id.index
            )));
        }
    };
    Ok(Entry::new(log_id, payload))
}
