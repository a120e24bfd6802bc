//! Tests of servers that join, leave and return; the configuration must end up uniform.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::raft::Precondition;
use openraft::{ChangeMembers, EntryPayload};
use ordu_core::command::FEATURE_LEVEL;
use ordu_proto::server::Peer;
use ordu_store::types::{Membership, Server};
use tokio::time::timeout;

use super::{SERVER_STABILIZATION_TIME, Servers, eventually, rpc};

#[tokio::test(start_paused = true)]
async fn an_admission_goes_on_when_the_one_who_asked_has_gone() {
    let mut servers = Servers::form(3).await;
    // This server forms no cluster and asks no one.
    let peer = servers.start("server-3", 0, Vec::new()).await.peer();
    let changes = servers.changes().await;
    let answer = timeout(Duration::from_millis(1), changes.admit(peer, FEATURE_LEVEL)).await;
    assert!(answer.is_err(), "the one who asks goes in the middle of it, not after {answer:?}");
    servers.wait_for_voters(&[0, 1, 2, 3]).await;
}

/// Returns a cluster of three that a fourth server has joined halfway (joint), and the leader's place.
async fn left_joint() -> (Servers, usize) {
    let mut servers = Servers::form(3).await;
    let peer = servers.start("server-3", 0, Vec::new()).await.peer();
    let leader = servers.leader().await;
    let cluster = servers.running[leader].context().cluster.clone();
    cluster.raft().add_learner(peer.id, peer.server.clone().unwrap(), true).await.unwrap();
    let seen = cluster.metrics().membership_config;
    let nodes: BTreeMap<u64, Server> =
        seen.membership().nodes().map(|(id, server)| (*id, server.clone())).collect();
    let sets = vec![servers.ids(&[0, 1, 2]), servers.ids(&[0, 1, 2, 3])];
    let joint = Membership::new(sets, nodes).unwrap();
    let unchanged = Precondition::LastMembershipLogId { last_membership_log_id: *seen.log_id() };
    cluster.raft().append_membership(joint, EntryPayload::Blank, [unchanged]).await.unwrap();
    (servers, leader)
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_was_left_joint_is_made_uniform_by_the_leader() {
    let (servers, _) = left_joint().await;
    servers.wait_for_voters(&[0, 1, 2, 3]).await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_a_dead_leader_left_joint_is_made_uniform_by_the_next() {
    let (servers, dead) = left_joint().await;
    servers.wires.cut(dead);
    let voters = servers.ids(&[0, 1, 2, 3]);
    eventually("the others have one configuration", || {
        let mut others = servers.running.iter().enumerate().filter(|(place, _)| *place != dead);
        others.all(|(_, server)| server.uniform_voters().as_ref() == Some(&voters)).then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_servers_that_join_together_both_vote() {
    let mut servers = Servers::form(3).await;
    // These servers ask to join only once.
    let one = servers.start("server-3", 0, Vec::new()).await.peer();
    let other = servers.start("server-4", 0, Vec::new()).await.peer();
    let changes = servers.changes().await;
    let (one, other) = tokio::join!(changes.admit(one, FEATURE_LEVEL), changes.admit(other, FEATURE_LEVEL));
    assert!(one.is_ok() && other.is_ok(), "{one:?}, {other:?}");
    servers.wait_for_voters(&[0, 1, 2, 3, 4]).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_log_does_not_vote_however_often_it_asks() {
    let servers = Servers::form(3).await;
    let changes = servers.changes().await;
    let server = Server { name: "far.global".to_owned(), rpc_addr: rpc(9), ..Server::default() };
    let far = Peer { id: 9, server: Some(server), region: "global".to_owned() };
    for _ in 0..3 {
        changes.admit(far.clone(), FEATURE_LEVEL).await.unwrap();
        servers.stay_voters(&[0, 1, 2], SERVER_STABILIZATION_TIME).await;
    }
    servers.wait_for_members(3).await;
}

#[tokio::test(start_paused = true)]
async fn servers_that_come_and_go_leave_the_voters_and_the_membership_as_they_were() {
    let mut servers = Servers::form(3).await;
    let join: Vec<String> = (0..3).map(rpc).collect();
    for _ in 0..10 {
        let first = servers.running.len();
        for place in first..first + 3 {
            servers.start(&format!("throwaway-{place}"), 3, join.clone()).await;
        }
        servers.wait_for_members(6).await;
        servers.stay_voters(&[0, 1, 2], SERVER_STABILIZATION_TIME - Duration::from_secs(4)).await;
        (first..first + 3).for_each(|place| servers.wires.cut(place));
        servers.wait_for_members(3).await;
        servers.wait_for_voters(&[0, 1, 2]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_votes_only_after_it_was_well_for_a_while_without_a_break() {
    let mut servers = Servers::form(3).await;
    servers.start("server-3", 3, vec![rpc(0)]).await;
    servers.wait_for_members(4).await;
    let half = SERVER_STABILIZATION_TIME / 2;
    for _ in 0..4 {
        servers.stay_voters(&[0, 1, 2], half).await;
        servers.wires.cut(3);
        servers.stay_voters(&[0, 1, 2], half).await;
        servers.wires.heal();
    }
    servers.wait_for_voters(&[0, 1, 2, 3]).await;
}

#[tokio::test(start_paused = true)]
async fn the_name_of_a_living_member_is_refused() {
    let mut servers = Servers::form(3).await;
    let peer = servers.start("server-1", 0, Vec::new()).await.peer();
    // Long enough for a leader to detect failed servers.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let refused = servers.changes().await.admit(peer, FEATURE_LEVEL).await.unwrap_err();
    let words = refused.message();
    assert!(words.contains("named server-1.global") && words.contains(&rpc(1)), "{words}");
    servers.wait_for_voters(&[0, 1, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_server_takes_the_place_of_one_that_has_failed_under_its_name_or_another() {
    for has_its_name in [true, false] {
        let mut servers = Servers::form(3).await;
        let dead = servers.follower().await;
        servers.wires.cut(dead);
        let others: Vec<usize> = (0..3).filter(|place| *place != dead).collect();
        let join = others.iter().map(|place| rpc(*place)).collect();
        let name = if has_its_name { format!("server-{dead}") } else { "replacement".to_owned() };
        servers.start(&name, 3, join).await;
        servers.wait_for_voters(&[others[0], others[1], 3]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_two_dead_voters_have_costs_one_of_them_its_place() {
    let mut servers = Servers::form(5).await;
    let leader = servers.leader().await;
    let dead = [(leader + 1) % 5, (leader + 2) % 5];
    let alive = [leader, (leader + 3) % 5, (leader + 4) % 5];
    for place in dead {
        servers.wires.cut(place);
    }
    let raft = servers.running[leader].context().cluster.raft().clone();
    let renamed = dead.map(|place| {
        let server = servers.running[place].peer().server.unwrap();
        (servers.running[place].id(), Server { name: "same.global".to_owned(), ..server })
    });
    raft.change_membership(ChangeMembers::SetNodes(renamed.into()), true).await.unwrap();
    servers.start("same", 5, vec![rpc(leader)]).await;
    let new = servers.running[5].id();
    let voters = eventually("the new server votes", || {
        servers.running[leader].uniform_voters().filter(|voters| voters.contains(&new))
    })
    .await;
    let expected: BTreeSet<u64> = servers.ids(&alive);
    assert!(voters.is_superset(&expected), "{voters:?} without one of the living {expected:?}");
    assert_eq!(5, voters.len(), "one for one");
}

#[tokio::test(start_paused = true)]
async fn a_voter_that_was_removed_while_it_was_away_comes_back() {
    let servers = Servers::form(3).await;
    let away = servers.follower().await;
    servers.wires.cut(away);
    let raft = servers.running[servers.leader().await].context().cluster.raft().clone();
    let removed = ChangeMembers::RemoveVoters(servers.ids(&[away]));
    raft.change_membership(removed, false).await.unwrap();
    servers.wires.heal();
    assert!(servers.running[away].uniform_voters().unwrap().contains(&servers.running[away].id()));
    servers.wait_for_voters(&[0, 1, 2]).await;
}
