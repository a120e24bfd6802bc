//! Tests of which servers are believed, and of what a server learns about its own log.

use crate::options::RaftTiming;
use std::sync::Arc;
use std::time::Duration;

use ordu_core::command::FEATURE_LEVEL;
use ordu_proto::raft::LogId;
use ordu_proto::server::{GreetReply, Peer, Standing};
use ordu_store::identity::{Identity, IdentityMemory};
use ordu_store::types::Server;

use super::super::greetings::End;
use super::options;
use super::wires::Wires;
use crate::membership::{ClusterId, Former, Greetings, Has, Known, Said};
use crate::peers::Peers;
use crate::trust::Trust;

const OURS: &[u8] = b"ours";

fn said(id: u64, address: &str, cluster_id: &[u8]) -> Said {
    let server = Server { rpc_addr: address.to_owned(), ..Server::default() };
    let peer = Peer { id, server: Some(server), region: "global".to_owned() };
    Said { peer, cluster_id: cluster_id.to_vec(), incarnation: id, ..Said::default() }
}

fn address_of(known: &Known, id: u64) -> Option<String> {
    known.peers().iter().find(|peer| peer.id == id)?.server.as_ref().map(|server| server.rpc_addr.clone())
}

#[test]
fn a_stranger_is_remembered_but_in_the_place_of_no_one_of_this_cluster() {
    let known = Known::default();
    known.belong_to(OURS.to_vec());
    known.note(said(1, "one:1", OURS));
    known.note(said(1, "elsewhere:1", b"theirs"));
    known.note(said(2, "one:1", b"theirs"));
    assert_eq!(Some("one:1".to_owned()), address_of(&known, 1));
    assert_eq!(None, address_of(&known, 2));
    known.note(said(2, "two:1", b"theirs"));
    assert_eq!(Some("two:1".to_owned()), address_of(&known, 2));
    assert!(known.is_alive(1, Duration::from_secs(7)) && !known.is_alive(2, Duration::from_secs(7)));
    // Within the cluster, a server replaces another one at the same address.
    known.note(said(3, "one:1", OURS));
    assert_eq!((None, Some("one:1".to_owned())), (address_of(&known, 1), address_of(&known, 3)));
}

#[test]
fn what_a_server_told_last_of_its_level_stands_until_it_tells_another_and_a_stranger_tells_nothing() {
    let known = Known::default();
    known.belong_to(OURS.to_vec());
    let tell = |feature_level, cluster_id: &[u8]| {
        known.note(Said { feature_level, ..said(1, "one:1", cluster_id) });
        known.feature_level(1).map(|(level, _)| level)
    };
    assert_eq!(None, known.feature_level(1));
    assert_eq!(Some(2), tell(2, b""));
    assert_eq!(Some(2), tell(2, OURS));
    assert_eq!(Some(2), tell(7, b"theirs"), "a stranger at its address");
    assert_eq!(Some(1), tell(1, OURS), "it went back to an older release");
}

fn greetings(known: Known, peers: Peers) -> Greetings {
    let identity =
        Identity { server_id: 9, cluster_id: OURS.to_vec(), is_prepared: true, ..Identity::draw() };
    let identity = ClusterId::load(Arc::new(IdentityMemory::new(identity))).unwrap();
    let options = Arc::new(options(0, "one", 3, Vec::new()));
    let clock = crate::clock::ServerClock::new(options.limits.clone());
    Greetings::new(options, identity, peers, known, Former::default(), clock)
}

#[tokio::test(start_paused = true)]
async fn addresses_are_taken_from_servers_of_this_cluster_only() {
    let (known, peers) =
        (Known::default(), Peers::new(Wires::default().of(0), Trust::default(), RaftTiming::default()));
    known.belong_to(OURS.to_vec());
    let greetings = greetings(known, peers.clone());
    let member = Server { rpc_addr: "127.0.0.1:3001".to_owned(), ..Server::default() };
    let stranger = said(1, "127.0.0.1:3002", b"theirs");
    assert_eq!(None, greetings.hear(stranger, Some(member.rpc_addr.clone())).await);
    assert_eq!(member.rpc_addr, peers.address_of(1, &member));
    // No one answers at the old address: the server has moved.
    let moved = said(1, "127.0.0.1:3002", OURS);
    assert_eq!(None, greetings.hear(moved, Some(member.rpc_addr.clone())).await);
    assert_eq!("127.0.0.1:3002", peers.address_of(1, &member));
    peers.keep(|id| id != 1, &["127.0.0.1:3001"].into());
    assert_eq!(member.rpc_addr, peers.address_of(1, &member));
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_of_one_id_the_younger_is_refused() {
    let greetings = greetings(
        Known::default(),
        Peers::new(Wires::default().of(0), Trust::default(), RaftTiming::default()),
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    let copy = Said { uptime_ms: 5_000, ..said(9, "127.0.0.1:3005", OURS) };
    let sentence = greetings.hear(copy.clone(), None).await.unwrap();
    assert!(sentence.contains("127.0.0.1:3000") && sentence.contains("127.0.0.1:3005"), "{sentence}");
    // An elder process is not refused: this one must end.
    let elder = Said { uptime_ms: 100_000, ..copy };
    assert_eq!(None, greetings.hear(elder, None).await);
    let end = greetings.end().await;
    assert!(matches!(&end, End::Copied(why) if why.contains("127.0.0.1:3000 was started later")), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn who_knows_less_than_the_cluster_s_level_is_refused_and_leaves_by_itself() {
    let peers = || Peers::new(Wires::default().of(0), Trust::default(), RaftTiming::default());
    let asked = greetings(Known::default(), peers());
    let knowing = |feature_level, cluster_id: &[u8]| Said {
        feature_level,
        release: "0.0.9".to_owned(),
        ..said(1, "127.0.0.1:3001", cluster_id)
    };
    for (said, level, is_refused) in [
        (knowing(1, OURS), 1, false),
        (knowing(1, OURS), 2, true),
        (knowing(1, b""), 2, true),
        (knowing(2, b""), 2, false),
        (knowing(1, b"theirs"), 2, false),
    ] {
        let refused = asked.refuse_older(&said, level);
        assert_eq!(is_refused, refused.is_some(), "{said:?} at {level}");
        if let Some(text) = refused {
            assert!(text.contains("127.0.0.1:3001") && text.contains("(0.0.9)"), "{text}");
        }
    }

    let reply = |cluster_level, region: &str, cluster_id: &[u8]| GreetReply {
        me: Some(Peer { id: 1, server: None, region: region.to_owned() }),
        cluster_id: cluster_id.to_vec(),
        cluster_level,
        refused: if cluster_level > FEATURE_LEVEL { "too old".to_owned() } else { String::new() },
        ..GreetReply::default()
    };
    // Replies from other regions or clusters must be ignored; otherwise the last one would not decide the
    // outcome.
    asked.note_refusal(&reply(FEATURE_LEVEL, "global", OURS));
    asked.note_refusal(&reply(FEATURE_LEVEL + 1, "global", b"theirs"));
    asked.note_refusal(&reply(FEATURE_LEVEL + 1, "elsewhere", b"theirs"));
    asked.note_refusal(&reply(FEATURE_LEVEL + 2, "global", OURS));
    let level = format!("at feature level {}", FEATURE_LEVEL + 2);
    let end = asked.end().await;
    assert!(matches!(&end, End::TooOld(why) if why.contains(&level)), "{end:?}");
}

#[tokio::test]
async fn a_log_went_back_if_it_lacks_what_was_committed_acknowledged_or_promised() {
    let greetings = greetings(
        Known::default(),
        Peers::new(Wires::default().of(0), Trust::default(), RaftTiming::default()),
    );
    let has = Has { term: 5, last: Some((5, 100)) };
    let at = |term, index| Some(LogId { term, index });
    let reply = |term, had_term, committed, acknowledged| GreetReply {
        cluster_id: OURS.to_vec(),
        standing: Some(Standing { term, committed: None }),
        had: Some(Standing { term: had_term, committed }),
        acknowledged,
        ..GreetReply::default()
    };
    let lost = |reply: &GreetReply| greetings.lost(reply, has);
    assert_eq!(None, lost(&reply(5, 5, at(5, 100), at(5, 100))));
    assert_eq!(
        None,
        lost(&reply(5, 4, at(4, 200), None)),
        "a later term's entries came in the place of some"
    );
    assert!(lost(&reply(5, 6, None, None)).unwrap().contains("voted in term 6"));
    assert!(lost(&reply(5, 5, at(5, 101), None)).unwrap().contains("up to 101 of term 5"));
    assert!(lost(&reply(5, 5, None, at(5, 101))).unwrap().contains("ends at 100 of term 5"));
    assert_eq!(None, lost(&reply(4, 4, None, at(5, 101))), "what an earlier leader was told, may be gone");
    let stranger = GreetReply { cluster_id: b"theirs".to_vec(), ..reply(5, 6, None, None) };
    assert_eq!(None, lost(&stranger));
}
