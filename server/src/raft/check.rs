//! Validates raft messages before raft sees them.
//!
//! Raft trusts its peers: it computes with their terms and indexes, asserts what leaders must guarantee, and
//! logs what it gets. So each message and reply is checked against the rules that a correct server follows,
//! and refused with a sentence if it breaks one.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openraft::EntryPayload;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use ordu_core::command::read_envelope;
use ordu_store::codec::invalid;
use ordu_store::types::{Entry, LogId, Membership, SnapshotMeta, TypeConfig, Vote};
use tokio::time::Instant;

use crate::cluster::Raft;

/// Maximum term and index. Raft adds to them, and an overflow would end the process.
const NUMBER_MAX: u64 = u64::MAX / 2;
/// Maximum distance of a term beyond this server's own. An election advances the term by one, so no cluster
/// comes near this distance, and no single message can bring a cluster near the maximum term.
const TERM_STEP_MAX: u64 = 1 << 32;
/// Maximum number of servers in a membership.
const MEMBERS_MAX: usize = 1_024;
/// Maximum length of a server's name or address in bytes.
pub(crate) const SERVER_TEXT_BYTES_MAX: usize = 1_024;
/// Minimum time between two log messages of one kind.
const COMPLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// This server's own state, which messages are checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Its raft id.
    pub(super) id: u64,
    /// Its vote.
    pub(super) vote: Vote,
    /// Its last log id known to be committed.
    pub(super) committed: Option<LogId>,
}

impl Own {
    /// Returns the current state. It may be slightly old: commits are final and votes only increase.
    pub(super) fn of(raft: &Raft) -> Self {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        Self { id: metrics.id, vote: metrics.vote, committed: metrics.local_committed }
    }

    /// Returns the state of a server that has received nothing yet.
    pub(super) fn fresh(id: u64) -> Self {
        Self { id, vote: Vote::new(0, id), committed: None }
    }
}

/// Checks a vote in a request.
fn vote(vote: &Vote, own: &Own) -> io::Result<()> {
    term(vote, own.vote.leader_id.term)?;
    if vote.leader_id.voted_for == own.id {
        return Err(invalid("a message of another server in the name of this one"));
    }
    Ok(())
}

/// Checks a vote's term against a term known to this server.
fn term(vote: &Vote, known: u64) -> io::Result<()> {
    let (term, voted_for) = (vote.leader_id.term, vote.leader_id.voted_for);
    if voted_for == 0 {
        return Err(invalid("a vote for no one"));
    }
    if term > NUMBER_MAX {
        return Err(invalid(format!("term {term}: terms end at {NUMBER_MAX}")));
    }
    if term > known.saturating_add(TERM_STEP_MAX) {
        return Err(invalid(format!(
            "term {term}, when the last one known here is {known}: no cluster holds so many elections"
        )));
    }
    Ok(())
}

/// Checks the vote of a leader.
fn leader(of: &Vote, own: &Own) -> io::Result<()> {
    vote(of, own)?;
    if !of.committed {
        return Err(invalid("a leader's message with the vote of a candidate"));
    }
    Ok(())
}

/// Checks a log id reported by a server with this vote.
fn log_id(id: &LogId, vote: &Vote) -> io::Result<()> {
    if id.index > NUMBER_MAX {
        return Err(invalid(format!("log index {}: indexes end at {NUMBER_MAX}", id.index)));
    }
    if id.leader_id.term > vote.leader_id.term {
        return Err(invalid(format!(
            "entry {} of term {}, from a server that has seen none after {}",
            id.index, id.leader_id.term, vote.leader_id.term
        )));
    }
    Ok(())
}

/// Checks that two ids can be in one log: terms must not decrease with the index.
fn one_log(one: Option<&LogId>, other: Option<&LogId>) -> io::Result<()> {
    let (Some(one), Some(other)) = (one, other) else { return Ok(()) };
    let (earlier, later) = if one.index <= other.index { (one, other) } else { (other, one) };
    let agree =
        if earlier.index == later.index { earlier == later } else { earlier.leader_id <= later.leader_id };
    if agree {
        return Ok(());
    }
    Err(invalid(format!(
        "entry {} of term {} and entry {} of term {} are not of one log",
        earlier.index, earlier.leader_id.term, later.index, later.leader_id.term
    )))
}

/// Checks a log id from the sender's log against what is committed here, since a current leader's log
/// contains all committed entries. (Raft itself answers a deposed leader.)
fn with_committed(id: Option<&LogId>, of: &Vote, own: &Own) -> io::Result<()> {
    if *of >= own.vote { one_log(id, own.committed.as_ref()) } else { Ok(()) }
}

/// Checks an append request.
pub(super) fn append(request: &AppendEntriesRequest<TypeConfig>, own: &Own) -> io::Result<()> {
    let AppendEntriesRequest { vote, prev_log_id, entries, leader_commit } = request;
    leader(vote, own)?;
    for id in [prev_log_id, leader_commit].into_iter().flatten() {
        log_id(id, vote)?;
        with_committed(Some(id), vote, own)?;
    }
    one_log(prev_log_id.as_ref(), leader_commit.as_ref())?;
    let mut before = prev_log_id.as_ref();
    for entry in entries {
        let id = &entry.log_id;
        let expected = before.map_or(0, |before| before.index + 1);
        if id.index != expected {
            return Err(invalid(format!("entry {} where entry {expected} has to be", id.index)));
        }
        log_id(id, vote)?;
        one_log(before, Some(id))?;
        one_log(Some(id), leader_commit.as_ref())?;
        with_committed(Some(id), vote, own)?;
        payload(entry)?;
        before = Some(id);
    }
    Ok(())
}

/// Checks a payload. An entry that cannot be decoded when applied would end every server that has it in its
/// log.
fn payload(entry: &Entry) -> io::Result<()> {
    match &entry.payload {
        EntryPayload::Blank => Ok(()),
        EntryPayload::Normal(command) => {
            let read = read_envelope(command.0.clone());
            read.map(|_| ())
                .map_err(|error| invalid(format!("the command of entry {}: {error}", entry.log_id.index)))
        }
        EntryPayload::Membership(of) => membership(of),
    }
}

fn membership(of: &Membership) -> io::Result<()> {
    let configs = of.get_joint_config();
    // One set of voters, or two during a change. Raft's type guarantees that none is empty and that each
    // voter has a server.
    if !(1..=2).contains(&configs.len()) {
        return Err(invalid(format!("a membership with {} sets of voters", configs.len())));
    }
    let members = of.nodes().count();
    if members > MEMBERS_MAX {
        return Err(invalid(format!("a membership of {members} servers; {MEMBERS_MAX} are allowed")));
    }
    for (id, it) in of.nodes() {
        if *id == 0 {
            return Err(invalid("a membership with a server whose id is 0"));
        }
        let texts = [&it.name, &it.rpc_addr, &it.http_addr, &it.datacenter, &it.serf_addr];
        if texts.iter().any(|text| text.len() > SERVER_TEXT_BYTES_MAX) {
            return Err(invalid(format!(
                "a membership with a name or address of more than {SERVER_TEXT_BYTES_MAX} bytes"
            )));
        }
    }
    Ok(())
}

/// Checks a vote or pre-vote request.
pub(super) fn vote_request(request: &VoteRequest<TypeConfig>, own: &Own) -> io::Result<()> {
    vote(&request.vote, own)?;
    if request.vote.committed {
        return Err(invalid("a candidate's message with the vote of a leader"));
    }
    request.last_log_id.as_ref().map_or(Ok(()), |id| log_id(id, &request.vote))
}

/// Checks a leader's transfer request.
pub(super) fn transfer(request: &TransferLeaderRequest<TypeConfig>, own: &Own) -> io::Result<()> {
    let from = request.from_leader();
    vote(from, own)?;
    request.last_log_id().map_or(Ok(()), |id| log_id(id, from))
}

/// Checks what a snapshot claims to contain.
pub(super) fn snapshot(of: &Vote, meta: &SnapshotMeta, own: &Own) -> io::Result<()> {
    leader(of, own)?;
    let last = meta.last_log_id.as_ref().ok_or_else(|| invalid("a snapshot of nothing"))?;
    log_id(last, of)?;
    with_committed(Some(last), of, own)?;
    let since = meta.last_membership.log_id().as_ref();
    let since = since.ok_or_else(|| invalid("a snapshot without a membership"))?;
    if since.index > last.index {
        return Err(invalid(format!(
            "a snapshot up to entry {} with the membership of entry {}",
            last.index, since.index
        )));
    }
    one_log(Some(since), Some(last))?;
    membership(meta.last_membership.membership())
}

/// Checks the vote in a reply to a request of term `sent`.
pub(super) fn vote_in_reply(vote: &Vote, sent: u64) -> io::Result<()> {
    term(vote, sent)
}

/// Checks the log id in a reply. The log it is from may be longer than this server's.
pub(super) fn log_id_in_reply(id: Option<&LogId>) -> io::Result<()> {
    match id {
        Some(id) if id.index > NUMBER_MAX || id.leader_id.term > NUMBER_MAX => {
            Err(invalid(format!("a reply with entry {} of term {}", id.index, id.leader_id.term)))
        }
        _ => Ok(()),
    }
}

/// Limits the rate of a log message that could appear many times a second.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Option<Instant>>);

impl Complaints {
    /// Returns whether to log now.
    pub(super) fn are_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() >= COMPLAIN_INTERVAL);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests;
