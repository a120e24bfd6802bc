//! Checks a log before its server may vote by it: it belongs to this server, is complete, and contains
//! everything that was promised.

use std::io;

use ordu_proto::raft as pb;
use prost::Message;

use super::extent::Extent;
use super::recorder::encode;
use super::{LogBatch, LogDb, Marker};
use crate::codec::{self, invalid};
use crate::types::{LogId, Vote};

/// What the server's tables say about its log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// The last applied log id, or the last one covered by the current snapshot.
    pub state: Option<LogId>,
    /// How far this server's log was synced when that entry was applied.
    pub synced: Option<LogId>,
}

/// Marks an empty log as that of `server_id`. Must be called before the server has promised anything.
///
/// # Errors
/// If the log belongs to another server, or cannot be written.
pub fn prepare(db: &dyn LogDb, server_id: u64) -> io::Result<()> {
    match owner(db)? {
        None => {
            let marker = Some((Marker::Owner, server_id.to_be_bytes().to_vec()));
            db.write(LogBatch { marker, ..LogBatch::default() })?;
            db.sync()?;
        }
        Some(owner) if owner == server_id => {}
        Some(other) => {
            return Err(refusal(db, &format!("it is the log of server {other}, not of {server_id}")));
        }
    }
    if db.record()?.is_none() {
        db.write_record(&encode(server_id, None, None))?;
    }
    Ok(())
}

/// The contents of a log that passed the check.
pub(super) struct Checked {
    pub(super) vote: Option<Vote>,
    pub(super) last: Option<LogId>,
    pub(super) extent: Extent,
}

/// Reads the whole log, and compares it with what was promised.
///
/// # Errors
/// A sentence that says what is missing or wrong, and how to recover.
pub(super) fn check(db: &dyn LogDb, server_id: u64, seen: &Seen) -> io::Result<Checked> {
    match owner(db)? {
        Some(owner) if owner == server_id => {}
        Some(other) => {
            return Err(refusal(db, &format!("it is the log of server {other}, not of {server_id}")));
        }
        None => return Err(refusal(db, "it is a new log, and this server had one before")),
    }
    let record =
        db.record()?.ok_or_else(|| refusal(db, "the record of what was promised by it is missing"))?;
    let record: pb::LogRecord = codec::decode("the record beside the raft log", &record)?;
    if record.server_id != server_id {
        let whose = record.server_id;
        return Err(refusal(db, &format!("the record beside it is of server {whose}, not of {server_id}")));
    }
    let vote = vote(db)?;
    let promised_vote = record.vote.as_ref().map(codec::vote_from_pb).transpose()?;
    let has_given = |promised: &Vote| vote.is_some_and(|vote| vote >= *promised);
    if !promised_vote.as_ref().is_none_or(has_given) {
        let told = |vote: &Option<Vote>| vote.map_or_else(|| "none".to_owned(), |vote| vote.to_string());
        let (given, found) = (told(&promised_vote), told(&vote));
        return Err(refusal(db, &format!("this server has given the vote {given}, and the log has {found}")));
    }
    let extent = Extent::default();
    let last = read_whole(db, seen, &extent)?;
    let promised = record.last.as_ref().map(codec::log_id_from_pb).max(seen.synced);
    if last < promised {
        return Err(refusal(
            db,
            &format!(
                "it ends at {}, and this server has acknowledged entries up to {}: what lies between is lost here",
                told(last),
                told(promised)
            ),
        ));
    }
    Ok(Checked { vote, last, extent })
}

/// Reads every entry, to find bad blocks before another server asks for the entry. Returns the last log id.
fn read_whole(db: &dyn LogDb, seen: &Seen, extent: &Extent) -> io::Result<Option<LogId>> {
    let purged = purged(db)?;
    let first = purged.map_or(0, |purged| purged.index + 1);
    let (mut expected, mut last) = (first, purged);
    let read = db.entries(0, u64::MAX, &mut |index, bytes| {
        let entry = codec::entry_from_pb(codec::decode("a log entry", bytes)?)?;
        if index != expected || entry.log_id.index != index || Some(entry.log_id) <= last {
            return Err(invalid(format!("entry {expected} is missing, or another stands in its place")));
        }
        extent.append([(index, bytes.len())]);
        expected += 1;
        last = Some(entry.log_id);
        Ok(true)
    });
    read.map_err(|error| refusal(db, &error.to_string()))?;
    let applied_next = seen.state.map_or(0, |state| state.index + 1);
    if first > applied_next {
        return Err(refusal(
            db,
            &format!(
                "it begins at entry {first}, and the tables and snapshots here end before {applied_next}"
            ),
        ));
    }
    Ok(last)
}

fn owner(db: &dyn LogDb) -> io::Result<Option<u64>> {
    let Some(bytes) = db.marker(Marker::Owner)? else { return Ok(None) };
    let id = bytes.as_slice().try_into().map(u64::from_be_bytes);
    id.map(Some).map_err(|_| invalid(format!("the raft log's owner has {} bytes", bytes.len())))
}

pub(super) fn vote(db: &dyn LogDb) -> io::Result<Option<Vote>> {
    let Some(bytes) = db.marker(Marker::Vote)? else { return Ok(None) };
    codec::vote_from_pb(&codec::decode("the vote", &bytes)?).map(Some)
}

pub(super) fn purged(db: &dyn LogDb) -> io::Result<Option<LogId>> {
    log_id_marker(db, Marker::Purged)
}

/// Returns a marker that is a log id.
pub(super) fn log_id_marker(db: &dyn LogDb, marker: Marker) -> io::Result<Option<LogId>> {
    let Some(bytes) = db.marker(marker)? else { return Ok(None) };
    let meta: pb::LogMeta = codec::decode("a log marker", &bytes)?;
    Ok(meta.log_id.as_ref().map(codec::log_id_from_pb))
}

/// Encodes a log id as a marker.
pub(super) fn log_meta(log_id: Option<&LogId>) -> Vec<u8> {
    pb::LogMeta { log_id: log_id.map(codec::log_id_to_pb) }.encode_to_vec()
}

fn told(log_id: Option<LogId>) -> String {
    log_id.map_or_else(
        || "nothing".to_owned(),
        |id| format!("entry {} of term {}", id.index, id.leader_id.term),
    )
}

/// Returns the error for a log that must not be used, with instructions for the operator.
pub(super) fn refusal(db: &dyn LogDb, what: &str) -> io::Error {
    invalid(format!("the raft log in {} cannot be trusted: {what}. {}", db.place(), crate::damage::WAY_OUT))
}
