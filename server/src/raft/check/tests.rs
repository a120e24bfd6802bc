//! Tests of messages checked against a server's own state. The fuzz corpora cover checks that need no such
//! state.

use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::vote::RaftLeaderId;
use openraft::vote::leader_id_std::CommittedLeaderId;
use ordu_proto::raft as pb;

use super::super::wire::{self, Sent};
use super::*;

/// This server's id; `LEADER` is its leader's.
const ME: u64 = 1;
const LEADER: u64 = 2;

fn id(term: u64, index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId::new(term), index }
}

fn vote_of(term: u64, voted_for: u64, committed: bool) -> Vote {
    Vote { leader_id: RaftLeaderId::new(term, voted_for), committed }
}

/// A follower in term 5 that has committed entry 100 of term 4.
fn own() -> Own {
    Own { id: ME, vote: vote_of(5, LEADER, true), committed: Some(id(4, 100)) }
}

fn appended(term: u64, prev: Option<LogId>, entries: &[LogId]) -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        vote: vote_of(term, LEADER, true),
        prev_log_id: prev,
        entries: entries.iter().map(|id| Entry::new(*id, EntryPayload::Blank)).collect(),
        leader_commit: None,
    }
}

fn told(result: io::Result<()>) -> String {
    result.expect_err("it is refused").to_string()
}

#[test]
fn a_leaders_log_has_what_is_committed_here() {
    for (prev, entries) in [
        (Some(id(4, 100)), vec![id(4, 101), id(5, 102)]),
        (Some(id(3, 50)), vec![id(4, 51)]),
        (Some(id(4, 90)), (91..=101).map(|index| id(4, index)).collect()),
        (None, vec![id(0, 0)]),
        (None, vec![]),
    ] {
        append(&appended(5, prev, &entries), &own()).unwrap();
    }
    for (prev, entries) in [
        // Has a later term than the committed entry after it.
        (Some(id(5, 99)), vec![]),
        (Some(id(5, 100)), vec![]),
        // After the committed entry, but of an earlier term.
        (Some(id(3, 101)), vec![]),
        (Some(id(3, 99)), vec![id(3, 100)]),
        (Some(id(3, 98)), vec![id(3, 99), id(5, 100)]),
    ] {
        let text = told(append(&appended(5, prev, &entries), &own()));
        assert!(text.contains("not of one log"), "{prev:?} {entries:?}: {text}");
    }
}

#[test]
fn a_deposed_leader_is_left_to_raft_which_tells_it_of_the_new_one() {
    append(&appended(3, Some(id(3, 101)), &[id(3, 102)]), &own()).unwrap();
}

#[test]
fn no_message_brings_a_cluster_near_the_end_of_all_terms() {
    append(&appended(5 + TERM_STEP_MAX, None, &[]), &own()).unwrap();
    let text = told(append(&appended(6 + TERM_STEP_MAX, None, &[]), &own()));
    assert!(text.contains("the last one known here is 5"), "{text}");
    // Nor do several messages in sequence.
    let late = Own { vote: vote_of(NUMBER_MAX, LEADER, true), ..own() };
    append(&appended(NUMBER_MAX, None, &[]), &late).unwrap();
    assert!(told(append(&appended(NUMBER_MAX + 1, None, &[]), &late)).contains("terms end at"));
    let asked = |term| VoteRequest::<TypeConfig>::new(vote_of(term, LEADER, false), None);
    vote_request(&asked(6), &own()).unwrap();
    assert!(told(vote_request(&asked(u64::MAX), &own())).contains("terms end at"));
}

#[test]
fn a_snapshot_does_not_contradict_what_is_committed() {
    let meta = |last| SnapshotMeta {
        last_log_id: Some(last),
        last_membership: ordu_store::types::StoredMembership::new(
            Some(id(0, 0)),
            Membership::new(
                vec![[LEADER].into()],
                std::collections::BTreeMap::from([(LEADER, pb::Server::default())]),
            )
            .unwrap(),
        ),
    };
    let vote = vote_of(6, LEADER, true);
    for last in [id(4, 90), id(4, 100), id(4, 101), id(6, 200)] {
        snapshot(&vote, &meta(last), &own()).unwrap();
    }
    // Raft asserts that a later term implies a later index.
    for last in [id(5, 90), id(5, 100), id(3, 101)] {
        let text = told(snapshot(&vote, &meta(last), &own()));
        assert!(text.contains("not of one log"), "{text}");
    }
    assert!(told(snapshot(&vote, &meta(id(7, 200)), &own())).contains("seen none after 6"));
}

#[test]
fn a_reply_answers_what_was_sent() {
    let request = appended(5, Some(id(4, 100)), &[id(5, 101)]);
    let sent = Sent::of(&request);
    let success = |term, index| pb::AppendReply {
        result: Some(pb::append_reply::Result::Success(pb::Blank {})),
        stream_success: Some(pb::LogId { term, index }),
        ..pb::AppendReply::default()
    };
    let conflict = |term, index| pb::AppendReply {
        result: Some(pb::append_reply::Result::Conflict(pb::Blank {})),
        stream_conflict: Some(pb::LogId { term, index }),
        ..pb::AppendReply::default()
    };
    let higher = |term| pb::AppendReply {
        result: Some(pb::append_reply::Result::HigherVote(pb::VoteState {
            term,
            voted_for: Some(3),
            committed: false,
        })),
        ..pb::AppendReply::default()
    };
    for reply in [success(5, 101), conflict(4, 100), higher(6)] {
        assert!(wire::stream_reply_from_pb(reply, sent).is_ok(), "{reply:?}");
    }
    for reply in [success(5, 102), success(5, u64::MAX), conflict(4, 99), higher(u64::MAX), higher(1 << 40)] {
        wire::stream_reply_from_pb(reply, sent).expect_err(&format!("{reply:?}"));
    }
    wire::append_reply_from_pb(higher(u64::MAX), 5).expect_err("a term without a next one");
}

#[tokio::test(start_paused = true)]
async fn the_same_complaint_is_made_now_and_then() {
    let complaints = Complaints::default();
    assert!(complaints.are_due() && !complaints.are_due());
    tokio::time::advance(COMPLAIN_INTERVAL).await;
    assert!(complaints.are_due());
}
