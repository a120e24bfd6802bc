//! Tests that servers which meet in any order never initialise two sets that share a member.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::server::Peer;
use ordu_store::identity::cluster_id_of;
use ordu_store::types::Server;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::membership::forming::{Gone, Heard, Next, Outlook, Own, is_void, next, outlook};
use crate::membership::known::Said;

const EXPECT: u32 = 3;

/// A server, and the last statement it received from each other server.
#[derive(Clone)]
struct Model {
    said: Said,
    heard: BTreeMap<u64, Said>,
}

impl Model {
    fn new(id: u64) -> Self {
        let server = Server { name: format!("s{id}"), rpc_addr: format!("s{id}:1"), ..Server::default() };
        let said = Said {
            peer: Peer { id, server: Some(server), region: String::new() },
            cluster_id: Vec::new(),
            settled: Vec::new(),
            bootstrap_expect: EXPECT,
            ..Said::default()
        };
        Self { said, heard: BTreeMap::new() }
    }

    fn id(&self) -> u64 {
        self.said.peer.id
    }

    /// Takes one step; `lately` tells which servers were heard from recently.
    fn step(&mut self, lately: impl Fn(u64) -> bool) {
        if self.said.settled.is_empty() && !self.said.cluster_id.is_empty() {
            return;
        }
        let heard: Vec<Heard<'_>> =
            self.heard.values().map(|said| Heard { said, lately: lately(said.peer.id) }).collect();
        let own = Own {
            id: self.id(),
            name: self.said.name(),
            bootstrap_expect: EXPECT,
            settled: &self.said.settled,
            left: &[],
        };
        match next(&own, &heard, &Gone::default()) {
            Next::Wait => {}
            Next::SameName(name) => panic!("no two are named {name}"),
            Next::Adopt(cluster_id) => {
                (self.said.cluster_id, self.said.settled) = (cluster_id, Vec::new());
            }
            Next::Settle(voters) => {
                (self.said.cluster_id, self.said.settled) = (cluster_id_of(&voters), voters);
            }
        }
    }

    /// Returns the set with which it initialises raft: every member has said at some time that it settled on
    /// it.
    fn initialises(&self) -> Option<Vec<u64>> {
        let settled = &self.said.settled;
        if settled.first() != Some(&self.id()) {
            return None;
        }
        let agrees = |voter: &u64| {
            *voter == self.id() || self.heard.get(voter).is_some_and(|said| said.settled == *settled)
        };
        (!settled.is_empty() && settled.iter().all(agrees)).then(|| settled.clone())
    }
}

fn greet(servers: &mut [Model], one: usize, other: usize) {
    let (said, answered) = (servers[one].said.clone(), servers[other].said.clone());
    servers[other].heard.insert(said.peer.id, said);
    servers[one].heard.insert(answered.peer.id, answered);
}

fn initialise(seed: u64, servers: &mut [Model], formed: &mut BTreeSet<Vec<u64>>) {
    for server in servers.iter() {
        formed.extend(server.initialises());
    }
    for (number, one) in formed.iter().enumerate() {
        for other in formed.iter().skip(number + 1) {
            let is_apart = one.iter().all(|voter| !other.contains(voter));
            assert!(is_apart, "seed {seed}: both formed: {one:?} and {other:?}");
        }
    }
    for server in servers.iter_mut() {
        server.said.formed |= formed.contains(&server.said.settled);
    }
}

#[test]
fn whoever_meets_whom_when_no_two_sets_that_share_a_server_form_and_everyone_gets_into_a_cluster() {
    let mut moved = 0;
    for seed in 0..3_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(3..8);
        let mut servers: Vec<Model> = (1..=count).map(Model::new).collect();
        let mut formed = BTreeSet::new();
        for _ in 0..rng.random_range(0..60) {
            let one = rng.random_range(0..servers.len());
            let other = rng.random_range(0..servers.len());
            if one != other {
                greet(&mut servers, one, other);
            }
            // Some servers are not heard from for a while, and steps are late.
            let silent = rng.random_range(0..=count);
            let stepping = rng.random_range(0..servers.len());
            let before = servers[stepping].said.settled.clone();
            servers[stepping].step(|id| id != silent);
            moved += usize::from(!before.is_empty() && before != servers[stepping].said.settled);
            if rng.random_bool(0.3) {
                initialise(seed, &mut servers, &mut formed);
            }
        }
        // Now all servers hear from each other.
        for _ in 0..20 {
            for one in 0..servers.len() {
                for other in 0..one {
                    greet(&mut servers, one, other);
                }
            }
            for server in &mut servers {
                server.step(|_| true);
            }
            initialise(seed, &mut servers, &mut formed);
        }
        for server in &servers {
            let is_in = server.said.formed
                || formed.iter().any(|voters| cluster_id_of(voters) == server.said.cluster_id);
            assert!(is_in, "seed {seed}: {} waits, settled on {:?}", server.id(), server.said.settled);
        }
    }
    assert!(moved > 100, "only {moved} times did a server leave a set that it had settled on");
}

fn own(settled: &[u64]) -> Own<'_> {
    Own { id: 3, name: "s3", bootstrap_expect: EXPECT, settled, left: &[] }
}

fn heard(said: &[Said]) -> Vec<Heard<'_>> {
    said.iter().map(|said| Heard { said, lately: true }).collect()
}

#[test]
fn of_more_servers_than_expected_the_lowest_ids_form_the_cluster() {
    let said: Vec<Said> = [5, 2, 4].map(|id| Model::new(id).said).into();
    assert_eq!(Next::Settle(vec![2, 3, 4]), next(&own(&[]), &heard(&said), &Gone::default()));
    // A server beyond the expected number waits, and later joins.
    let highest = Own { id: 9, name: "s9", bootstrap_expect: EXPECT, settled: &[], left: &[] };
    assert_eq!(Next::Wait, next(&highest, &heard(&said), &Gone::default()));
    let mut there = said;
    there[0].settled = vec![2, 4, 5];
    there[0].cluster_id = cluster_id_of(&[2, 4, 5]);
    assert_eq!(Next::Wait, next(&highest, &heard(&there), &Gone::default()), "settled is not formed");
    there[0].formed = true;
    assert_eq!(Next::Adopt(cluster_id_of(&[2, 4, 5])), next(&highest, &heard(&there), &Gone::default()));
}

#[test]
fn servers_that_expect_another_number_or_are_silent_are_not_counted() {
    let mut said: Vec<Said> = [1, 2].map(|id| Model::new(id).said).into();
    assert_eq!(Next::Settle(vec![1, 2, 3]), next(&own(&[]), &heard(&said), &Gone::default()));
    let mut silent = heard(&said);
    silent[1].lately = false;
    assert_eq!(Next::Wait, next(&own(&[]), &silent, &Gone::default()));
    said[0].bootstrap_expect = 5;
    assert_eq!(Next::Wait, next(&own(&[]), &heard(&said), &Gone::default()));
}

#[test]
fn servers_of_one_name_form_no_cluster() {
    let mut said: Vec<Said> = [1, 2].map(|id| Model::new(id).said).into();
    said[1].peer.server.as_mut().unwrap().name = "s1".to_owned();
    assert_eq!(Next::SameName("s1".to_owned()), next(&own(&[]), &heard(&said), &Gone::default()));
    said[1].peer.server.as_mut().unwrap().name = "s3".to_owned();
    assert_eq!(Next::SameName("s3".to_owned()), next(&own(&[]), &heard(&said), &Gone::default()));
}

#[test]
fn a_set_is_left_only_for_a_smaller_one_and_only_when_it_is_void() {
    let settled = [2, 3, 4];
    let mut said: Vec<Said> = [1, 2, 4].map(|id| Model::new(id).said).into();
    // A lower id alone is no reason to leave a set: the others may have settled, too.
    assert_eq!(Next::Wait, next(&own(&settled), &heard(&said), &Gone::default()));
    // A member on a larger set is none either; it may still move to this one.
    said[2].settled = vec![2, 4, 5];
    assert!(!is_void(&settled, &heard(&said)));
    said[1].settled = vec![1, 2, 3];
    assert_eq!(Next::Settle(vec![1, 2, 3]), next(&own(&settled), &heard(&said), &Gone::default()));
    // A server that is in none of the smaller sets waits until there is a cluster.
    said[1].settled = vec![1, 2, 6];
    said[0].bootstrap_expect = 0;
    assert_eq!(Next::Wait, next(&own(&settled), &heard(&said), &Gone::default()));
    said[1].formed = true;
    said[1].cluster_id = cluster_id_of(&[1, 2, 6]);
    assert_eq!(Next::Adopt(cluster_id_of(&[1, 2, 6])), next(&own(&settled), &heard(&said), &Gone::default()));
}

fn gone(given_up: &[u64], replaced: &[u64]) -> Gone {
    Gone { given_up: given_up.iter().copied().collect(), replaced: replaced.iter().copied().collect() }
}

/// Returns servers with these ids that have settled on `settled`.
fn settled_on(settled: &[u64], ids: &[u64]) -> Vec<Said> {
    let server = |id: &u64| Said { settled: settled.to_vec(), ..Model::new(*id).said };
    ids.iter().map(server).collect()
}

#[test]
fn a_set_is_given_up_only_where_those_that_are_missing_cannot_have_formed_the_cluster() {
    let settled = [3, 4, 5];
    let mine = own(&settled);
    let of = |said: &[Said], gone: &Gone| outlook(&mine, &heard(said), gone);
    let none = Gone::default();
    assert_eq!(Outlook::Good, of(&settled_on(&settled, &[4, 5]), &none));
    assert_eq!(Outlook::Missing(vec![5]), of(&settled_on(&settled, &[4]), &none));
    assert_eq!(Outlook::Unsure(vec![4, 5]), of(&[], &none));
    assert_eq!(Outlook::Unsure(vec![4, 5]), of(&[], &gone(&[], &[5])), "4 may have formed it with 5");
    assert_eq!(Outlook::Missing(vec![4, 5]), of(&[], &gone(&[], &[4, 5])), "they have lost their disks");
    assert_eq!(Outlook::GivenUp, of(&settled_on(&settled, &[4]), &gone(&[5], &[])));
    assert_eq!(Outlook::GivenUp, of(&[], &gone(&[5], &[])), "4 alone is no quorum");
    // The cluster has formed, and the quorum that is present goes on with it.
    let mut begun = settled_on(&settled, &[4]);
    begun[0].formed = true;
    assert_eq!(Outlook::Good, of(&begun, &none));
    assert_eq!(Outlook::Good, of(&begun, &gone(&[5], &[])));
    // Of four members, the two missing ones may have formed the cluster with one that is present.
    let of_four = [2, 3, 4, 5];
    let mine = own(&of_four);
    let mut begun = settled_on(&of_four, &[2]);
    begun[0].formed = true;
    assert_eq!(Outlook::Unsure(vec![4, 5]), outlook(&mine, &heard(&begun), &none));
}

#[test]
fn whoever_gave_up_a_set_settles_on_another_only_when_that_one_has_no_quorum_any_more() {
    let said: Vec<Said> = [1, 2].map(|id| Model::new(id).said).into();
    let anew = Own { left: &[7, 8, 9], ..own(&[]) };
    assert_eq!(Next::Wait, next(&anew, &heard(&said), &gone(&[9], &[])));
    for gone in [gone(&[8, 9], &[]), gone(&[9], &[7])] {
        assert_eq!(Next::Settle(vec![1, 2, 3]), next(&anew, &heard(&said), &gone));
    }
    // Servers that have yet to give up the set are not counted on.
    let mut said = said;
    said[0].settled = vec![1, 8, 9];
    assert_eq!(Next::Wait, next(&own(&[]), &heard(&said), &gone(&[8, 9], &[])));
}
