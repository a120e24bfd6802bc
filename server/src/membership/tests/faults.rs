//! Tests of servers that crash, are cut off, lose their disks or vanish while they form a cluster.
//!
//! A model of machines in rounds of about a second, with the real forming rules and the real `Known`. Raft is
//! reduced to what matters here: which server initialises it, and that a connected quorum holds entries.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::server::Peer;
use ordu_store::identity::cluster_id_of;
use ordu_store::types::Server;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::membership::forming::{Heard, Next, Outlook, Own, next, outlook};
use crate::membership::known::{Known, Met, Said};

const EXPECT: u32 = 3;
const QUORUM: usize = 2;
const SEEDS: u64 = 5_000;
const FAULTY_ROUNDS: u32 = 60;
/// Rounds after the last fault within which all servers must be in one cluster.
const HEALED_ROUNDS: u32 = 60;
/// Rounds after which a server was not heard from recently, and after which a missing one is given up.
const LATELY: u32 = 3;
const GIVE_UP_AFTER: u32 = 5;

/// The kinds of faults in a run. If a majority of disks is lost, or the memory of whose they were, servers
/// wait for their operator, since no one can tell what was agreed on; such runs are not drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Faults {
    /// Crashes, and one machine that vanishes.
    Vanishing,
    /// Crashes, and one lost disk.
    OneDisk,
    /// Any number of lost disks; no other crashes.
    Disks,
}

struct Machine {
    said: Said,
    known: Known,
    /// The last round in which each id was heard from.
    heard_in: BTreeMap<u64, u32>,
    /// Ids that the machine gave up. `left` is the set that it left.
    former: Vec<u64>,
    left: Vec<u64>,
    /// Whether its raft has the first entry.
    initialised: bool,
    missing_since: Option<u32>,
    /// The machine is down before this round.
    down_until: u32,
    /// The machine is cut off before this round.
    cut_until: u32,
}

fn draw_id(rng: &mut StdRng) -> u64 {
    rng.random_range(1..1_000_000)
}

impl Machine {
    fn new(place: usize, id: u64) -> Self {
        let server =
            Server { name: format!("s{place}"), rpc_addr: format!("s{place}:1"), ..Server::default() };
        let peer = Peer { id, server: Some(server), region: String::new() };
        Self {
            said: Said { peer, bootstrap_expect: EXPECT, ..Said::default() },
            known: Known::default(),
            heard_in: BTreeMap::new(),
            former: Vec::new(),
            left: Vec::new(),
            initialised: false,
            missing_since: None,
            down_until: 0,
            cut_until: 0,
        }
    }

    fn id(&self) -> u64 {
        self.said.peer.id
    }

    fn is_fresh_or_forming(&self) -> bool {
        !self.said.formed && (!self.said.settled.is_empty() || self.said.cluster_id.is_empty())
    }

    fn look<T>(
        &self,
        round: u32,
        judge: impl FnOnce(&Own<'_>, &[Heard<'_>], &crate::membership::forming::Gone) -> T,
    ) -> T {
        let met: Vec<Met> = self.known.met().values().cloned().collect();
        let lately = |id: u64| self.heard_in.get(&id).is_some_and(|heard| heard + LATELY >= round);
        let heard: Vec<Heard<'_>> =
            met.iter().map(|met| Heard { said: &met.said, lately: lately(met.said.peer.id) }).collect();
        let own = Own {
            id: self.id(),
            name: self.said.name(),
            bootstrap_expect: EXPECT,
            settled: &self.said.settled,
            left: &self.left,
        };
        judge(&own, &heard, &self.known.gone())
    }

    /// Clears everything in memory, but not on disk.
    fn restart(&mut self) {
        self.known = Known::default();
        self.known.note_former(&self.former);
        self.heard_in.clear();
        self.missing_since = None;
    }

    fn give_up(&mut self, id: u64) {
        self.former.push(self.id());
        self.left.clone_from(&self.said.settled);
        (self.said.peer.id, self.said.former) = (id, self.former.clone());
        (self.said.cluster_id, self.said.settled) = (Vec::new(), Vec::new());
        self.initialised = false;
        self.missing_since = None;
        self.known.note_former(&self.former);
    }

    fn lose_disk(&mut self, id: u64) {
        let (down_until, cut_until) = (self.down_until, self.cut_until);
        let server = self.said.peer.server.clone();
        *self = Self::new(0, id);
        self.said.peer.server = server;
        (self.down_until, self.cut_until) = (down_until, cut_until);
    }

    /// Takes the server's periodic step towards membership; returns true if it gave up its id.
    fn step(&mut self, round: u32, fresh_id: u64) -> bool {
        if !self.is_fresh_or_forming() {
            return false;
        }
        if !self.said.settled.is_empty() {
            let is_due = match self.look(round, outlook) {
                Outlook::Good | Outlook::Unsure(_) => {
                    self.missing_since = None;
                    false
                }
                Outlook::Missing(_) => *self.missing_since.get_or_insert(round) + GIVE_UP_AFTER < round,
                Outlook::GivenUp => true,
            };
            if is_due {
                self.give_up(fresh_id);
                return true;
            }
        }
        if self.initialised {
            return false;
        }
        match self.look(round, next) {
            Next::Wait => {}
            Next::SameName(name) => panic!("no two are named {name}"),
            Next::Adopt(cluster_id) => {
                (self.said.cluster_id, self.said.settled) = (cluster_id, Vec::new());
            }
            Next::Settle(voters) => {
                (self.said.cluster_id, self.said.settled) = (cluster_id_of(&voters), voters);
            }
        }
        let settled = &self.said.settled;
        let met = self.known.met();
        let agrees =
            |voter: &u64| *voter == self.id() || met.get(voter).is_some_and(|it| it.said.settled == *settled);
        let agreed = settled.first() == Some(&self.id()) && settled.iter().all(agrees);
        drop(met);
        self.initialised |= agreed;
        false
    }
}

struct Run {
    seed: u64,
    rng: StdRng,
    round: u32,
    machines: Vec<Machine>,
    /// Sets of which a quorum holds entries.
    formed: BTreeSet<Vec<u64>>,
    given_up: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(3..6);
        let machines = (0..count).map(|place| Machine::new(place, draw_id(&mut rng))).collect();
        Self { seed, rng, round: 0, machines, formed: BTreeSet::new(), given_up: 0 }
    }

    fn runs(&self, place: usize) -> bool {
        self.machines[place].down_until <= self.round
    }

    fn are_connected(&self, one: usize, other: usize) -> bool {
        let reachable = |place: usize| self.runs(place) && self.machines[place].cut_until <= self.round;
        one == other || reachable(one) && reachable(other)
    }

    fn greet(&mut self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            let said = self.machines[from].said.clone();
            let hearing = &mut self.machines[to];
            if hearing.said.formed || hearing.said.settled.is_empty() {
                hearing.known.belong_to(hearing.said.cluster_id.clone());
            }
            hearing.heard_in.insert(said.peer.id, self.round);
            hearing.known.note(said);
        }
    }

    /// A connected quorum commits the first entries; other connected members receive the log.
    fn replicate(&mut self, likely: f64) {
        for place in 0..self.machines.len() {
            let set = self.machines[place].said.settled.clone();
            let has_entries = self.machines[place].initialised || self.machines[place].said.formed;
            if !has_entries || set.is_empty() || !self.runs(place) || !self.rng.random_bool(likely) {
                continue;
            }
            let with: Vec<usize> = (0..self.machines.len())
                .filter(|other| self.are_connected(place, *other))
                .filter(|other| self.machines[*other].said.settled == set)
                .collect();
            if with.len() < QUORUM {
                continue;
            }
            self.formed.insert(set.clone());
            let cluster_id = cluster_id_of(&set);
            for other in 0..self.machines.len() {
                // A machine that only wants to join is added as a member.
                let is_in = with.contains(&other) || self.machines[other].said.cluster_id == cluster_id;
                if is_in && self.are_connected(place, other) {
                    self.machines[other].said.formed = true;
                }
            }
        }
        for (number, one) in self.formed.iter().enumerate() {
            for other in self.formed.iter().skip(number + 1) {
                // A machine is in one cluster only, under whatever id.
                let ids = |set: &Vec<u64>| -> BTreeSet<usize> {
                    let is_in = |machine: &Machine| {
                        set.contains(&machine.id()) || machine.former.iter().any(|id| set.contains(id))
                    };
                    (0..self.machines.len()).filter(|place| is_in(&self.machines[*place])).collect()
                };
                let seed = self.seed;
                let is_apart = ids(one).is_disjoint(&ids(other));
                assert!(is_apart, "seed {seed}: both formed: {one:?} and {other:?}");
            }
        }
    }

    fn step(&mut self, place: usize) {
        let fresh_id = draw_id(&mut self.rng);
        let round = self.round;
        let gave_up = self.runs(place) && self.machines[place].step(round, fresh_id);
        self.given_up += usize::from(gave_up);
    }

    /// Whether a formed set would lose its quorum or its log without this machine.
    fn is_needed(&self, place: usize) -> bool {
        let id = self.machines[place].id();
        let mut sets = self.formed.iter().filter(|set| set.contains(&id));
        sets.any(|set| {
            let others = self.machines.iter().filter(|other| other.id() != id && set.contains(&other.id()));
            let others: Vec<&Machine> = others.filter(|other| other.down_until < u32::MAX).collect();
            others.len() < QUORUM || !others.iter().any(|other| other.said.formed)
        })
    }

    fn draw_fault(&mut self, faults: Faults, serious: &mut u32) {
        let place = self.rng.random_range(0..self.machines.len());
        let until = self.round + self.rng.random_range(1..15);
        if self.machines[place].down_until > self.round {
            return;
        }
        match self.rng.random_range(0..3) {
            0 => self.machines[place].cut_until = until,
            1 if faults != Faults::Disks => {
                self.machines[place].restart();
                self.machines[place].down_until = until;
            }
            _ if *serious > 0 && !self.is_needed(place) => {
                let count = self.machines.len();
                if faults == Faults::Vanishing && count > EXPECT as usize {
                    self.machines[place].down_until = u32::MAX;
                } else if faults != Faults::Vanishing && count < 2 * EXPECT as usize - 1 {
                    // With five machines, three could form a cluster that includes a machine which lost its
                    // membership in a cluster with the two others.
                    let id = draw_id(&mut self.rng);
                    self.machines[place].lose_disk(id);
                    self.machines[place].down_until = until;
                } else {
                    return;
                }
                *serious -= 1;
            }
            _ => {}
        }
    }

    fn faulty_round(&mut self, faults: Faults, serious: &mut u32) {
        self.round += 1;
        if self.rng.random_bool(0.2) {
            self.draw_fault(faults, serious);
        }
        for one in 0..self.machines.len() {
            for other in 0..one {
                if self.are_connected(one, other) && self.rng.random_bool(0.6) {
                    self.greet(one, other);
                }
            }
            if self.rng.random_bool(0.8) {
                self.step(one);
            }
        }
        self.replicate(0.3);
    }

    fn healed_round(&mut self) {
        self.round += 1;
        for one in 0..self.machines.len() {
            for other in 0..one {
                if self.are_connected(one, other) {
                    self.greet(one, other);
                }
            }
        }
        for place in 0..self.machines.len() {
            self.step(place);
        }
        self.replicate(1.0);
    }

    fn heal(&mut self) {
        for machine in &mut self.machines {
            machine.cut_until = 0;
            if machine.down_until < u32::MAX {
                machine.down_until = 0;
            }
        }
    }

    fn living(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.down_until < u32::MAX)
    }

    fn is_one_cluster(&self) -> bool {
        let clusters: BTreeSet<&Vec<u8>> = self.living().map(|machine| &machine.said.cluster_id).collect();
        clusters.len() == 1 && self.living().all(|machine| machine.said.formed)
    }
}

#[test]
fn whatever_happens_to_servers_that_form_a_cluster_those_that_live_come_into_one() {
    let (mut given_up, mut rounds_max) = (0, 0);
    for seed in 0..SEEDS {
        let faults = [Faults::Vanishing, Faults::OneDisk, Faults::Disks][usize::try_from(seed % 3).unwrap()];
        let mut run = Run::new(seed);
        let mut serious = if faults == Faults::Disks { u32::MAX } else { 1 };
        for _ in 0..run.rng.random_range(0..FAULTY_ROUNDS) {
            run.faulty_round(faults, &mut serious);
        }
        run.heal();
        let healed_in = run.round;
        while !run.is_one_cluster() && run.round < healed_in + HEALED_ROUNDS {
            run.healed_round();
        }
        let told: Vec<_> = run
            .living()
            .map(|it| (it.id(), &it.said.settled, it.said.formed, it.initialised, &it.former, &it.left))
            .collect();
        let is_one = run.is_one_cluster();
        assert!(is_one, "seed {seed}, {faults:?}: {told:?}, formed {:?}", run.formed);
        given_up += run.given_up;
        rounds_max = rounds_max.max(run.round - healed_in);
    }
    println!("given up {given_up} times; healed in {rounds_max} rounds at most");
    assert!(given_up > 1_000, "only {given_up} times did a server give up its id");
}
