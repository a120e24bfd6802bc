//! Entry points for fuzzing: raft messages from the received bytes up to what raft is given.

use bytes::Bytes;
use ordu_proto::raft as pb;
use ordu_store::tables::{MemoryDb, TablesDb};
use prost::Message;

use super::check::Own;
use super::service::checked_header;
use super::wire;

/// The id of the receiving server.
const SERVER_ID: u64 = 1;

fn decoded<M: Message + Default>(bytes: &[u8]) -> Result<M, String> {
    M::decode(Bytes::copy_from_slice(bytes)).map_err(|error| error.to_string())
}

/// Checks an append (`ordu.raft.AppendRequest`) as a server that has received nothing yet.
///
/// # Errors
/// The sentence for the sender.
pub fn check_append(bytes: &[u8]) -> Result<(), String> {
    let append = wire::append_from_pb(decoded(bytes)?, &Own::fresh(SERVER_ID));
    let append = append.map_err(|error| error.to_string())?;
    // Raft adds to the numbers it accepts.
    let ids = append.entries.iter().map(|entry| entry.log_id);
    let last = ids.chain(append.prev_log_id).chain(append.leader_commit).max();
    counts_on(append.vote.leader_id.term, last.map_or(0, |id| id.index));
    let again = wire::append_to_pb(Vec::new(), SERVER_ID, &append);
    assert_eq!(append.entries.len(), again.entries.len(), "what is logged can be sent on");
    Ok(())
}

/// Checks a vote request (`ordu.raft.VoteRequest`) as a server that has received nothing yet.
///
/// # Errors
/// The sentence for the sender.
pub fn check_vote(bytes: &[u8]) -> Result<(), String> {
    let request = wire::vote_request_from_pb(&decoded(bytes)?, &Own::fresh(SERVER_ID));
    let request = request.map_err(|error| error.to_string())?;
    counts_on(request.vote.leader_id.term, request.last_log_id.map_or(0, |id| id.index));
    Ok(())
}

/// Receives a snapshot (length-delimited `ordu.raft.SnapshotChunk`s) into memory, as a server that has
/// received nothing yet.
///
/// # Errors
/// The sentence for the sender.
pub fn check_snapshot(bytes: &[u8]) -> Result<(), String> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let mut next = || pb::SnapshotChunk::decode_length_delimited(&mut bytes).ok().and_then(|it| it.chunk);
    let Some(pb::snapshot_chunk::Chunk::Header(header)) = next() else {
        return Err("a snapshot begins with its header".to_owned());
    };
    let received = checked_header(&header, &Own::fresh(SERVER_ID)).and_then(|(vote, meta, _)| {
        counts_on(vote.leader_id.term, meta.last_log_id.map_or(0, |id| id.index));
        let db = MemoryDb::default();
        let mut receiver = db.receive(&header)?;
        while let Some(pb::snapshot_chunk::Chunk::Data(data)) = next() {
            receiver.write(&data)?;
        }
        let received = receiver.finish()?;
        db.check_received(&received)?;
        db.install(&received)
    });
    received.map_err(|error| error.to_string())
}

/// Panics if raft would overflow.
fn counts_on(term: u64, index: u64) {
    assert!(term.checked_add(1 << 40).is_some() && index.checked_add(1 << 40).is_some(), "{term} {index}");
}
