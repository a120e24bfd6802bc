//! Servers that were heard of, and what they said of themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordu_core::command::FIRST_LEVEL;
use ordu_core::limits::{HEARSAY_MAX, KNOWN_SERVERS_MAX};
use ordu_proto::raft::LogId;
use ordu_proto::server::{DiskRoom, GreetReply, GreetRequest, Peer, Standing};
use tokio::time::Instant;

use super::forming::Gone;

/// What a server says of itself when it greets or is greeted.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Who it is.
    pub peer: Peer,
    /// Its cluster's id; empty where it has none.
    pub cluster_id: Vec<u8>,
    /// The first voters that it has settled on.
    pub settled: Vec<u64>,
    /// How many servers it expects to form a cluster with; 0 where it forms none.
    pub bootstrap_expect: u32,
    /// Whether it holds entries of its cluster's log: its cluster is there.
    pub formed: bool,
    /// Drawn at the start of its process; 0 where its release draws none.
    pub incarnation: u64,
    /// For how long its process runs.
    pub uptime_ms: u64,
    /// Ids that it has had and will never have again.
    pub former: Vec<u64>,
    /// Whether its disk is too slow for a leader's.
    pub slow_disk: bool,
    /// What its disk has left.
    pub disk_room: DiskRoom,
    /// The highest feature level that its release knows.
    pub feature_level: u32,
    /// Its release, as people call it; empty where it tells none.
    pub release: String,
}

impl Said {
    /// What a server that greets says; nothing if it does not say who it is.
    pub fn of_request(request: GreetRequest) -> Option<Self> {
        Some(Self {
            disk_room: request.disk_room(),
            peer: request.me?,
            cluster_id: request.cluster_id,
            settled: request.settled,
            bootstrap_expect: request.bootstrap_expect,
            formed: request.formed,
            incarnation: request.incarnation,
            uptime_ms: request.uptime_ms,
            former: request.former,
            slow_disk: request.slow_disk,
            feature_level: request.feature_level.max(FIRST_LEVEL),
            release: request.release,
        })
    }

    /// What a server that is greeted says; nothing if it does not say who it is.
    pub fn of_reply(reply: &GreetReply) -> Option<Self> {
        Some(Self {
            peer: reply.me.clone()?,
            cluster_id: reply.cluster_id.clone(),
            settled: reply.settled.clone(),
            bootstrap_expect: reply.bootstrap_expect,
            formed: reply.formed,
            incarnation: reply.incarnation,
            uptime_ms: reply.uptime_ms,
            former: reply.former.clone(),
            slow_disk: reply.slow_disk,
            disk_room: reply.disk_room(),
            feature_level: reply.feature_level.max(FIRST_LEVEL),
            release: reply.release.clone(),
        })
    }

    /// The address that other servers reach it at.
    pub fn rpc_addr(&self) -> &str {
        rpc_addr(&self.peer)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.peer.server.as_ref().map_or("", |server| &server.name)
    }
}

/// Where a server is.
pub(super) fn rpc_addr(peer: &Peer) -> &str {
    peer.server.as_ref().map_or("", |server| &server.rpc_addr)
}

/// Log ids in their order.
pub(super) fn position(log_id: Option<&LogId>) -> Option<(u64, u64)> {
    log_id.map(|log_id| (log_id.term, log_id.index))
}

/// Round trips of a server that are kept: those of half a minute.
const ROUND_TRIPS_KEPT: usize = 16;

/// A server that was heard of.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) said: Said,
    pub(super) at: Instant,
}

/// Servers that were heard of, shared with the service that answers greetings.
#[derive(Clone, Default)]
pub struct Known(Arc<KnownInner>);

#[derive(Default)]
struct KnownInner {
    /// The cluster that this server belongs to; empty while it may still come into any.
    ours: Mutex<Vec<u8>>,
    met: Mutex<BTreeMap<u64, Met>>,
    gone: Mutex<Gone>,
    /// RPC addresses that others told of; who is there is known only when it has answered.
    hearsay: Mutex<BTreeSet<String>>,
    /// The most that the servers of this cluster have said that they have in their logs.
    had: Mutex<BTreeMap<u64, Standing>>,
    /// How long servers took to answer, the latest last.
    round_trips: Mutex<BTreeMap<u64, VecDeque<Duration>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("met", &self.met().keys()).finish_non_exhaustive()
    }
}

impl Known {
    /// Notes ids that this server itself has had and given up.
    pub fn note_former(&self, former: &[u64]) {
        locked(&self.0.gone).given_up.extend(former);
    }

    pub(super) fn met(&self) -> MutexGuard<'_, BTreeMap<u64, Met>> {
        locked(&self.0.met)
    }

    /// Ids that no server has any more.
    pub(super) fn gone(&self) -> Gone {
        locked(&self.0.gone).clone()
    }

    /// From here on, this server belongs to a cluster, and servers of others are strangers.
    pub fn belong_to(&self, cluster_id: Vec<u8>) {
        *locked(&self.0.ours) = cluster_id;
    }

    /// Whether a server is to be believed: one of this server's cluster, or any while it has none.
    pub fn is_one_of_us(&self, cluster_id: &[u8]) -> bool {
        let ours = locked(&self.0.ours);
        ours.is_empty() || *ours == cluster_id
    }

    /// Notes a server that greeted or was greeted. One that took over another's address stands in its place,
    /// but a stranger in the place of none of this server's cluster.
    pub fn note(&self, said: Said) {
        let is_one_of_us = self.is_one_of_us(&said.cluster_id);
        let (id, address) = (said.peer.id, said.rpc_addr().to_owned());
        let mut met = self.met();
        let in_place_of = |other: u64, it: &Met| other == id || it.said.rpc_addr() == address;
        let displaces_us = || {
            met.iter().any(|(other, it)| in_place_of(*other, it) && self.is_one_of_us(&it.said.cluster_id))
        };
        if !is_one_of_us && displaces_us() {
            return;
        }
        let mut gone = locked(&self.0.gone);
        met.retain(|other, it| {
            let is_replaced = *other != id && it.said.rpc_addr() == address;
            if is_replaced {
                gone.replaced.insert(*other);
            }
            !is_replaced && !said.former.contains(other)
        });
        gone.replaced.remove(&id);
        gone.given_up.extend(&said.former);
        let gone = &mut *gone;
        for ids in [&mut gone.replaced, &mut gone.given_up] {
            while ids.len() > KNOWN_SERVERS_MAX {
                ids.pop_first();
            }
        }
        met.insert(id, Met { said, at: Instant::now() });
        if met.len() > KNOWN_SERVERS_MAX {
            // Strangers first.
            let age = |it: &Met| (self.is_one_of_us(&it.said.cluster_id), it.at);
            if let Some(oldest) = met.iter().min_by_key(|(_, it)| age(it)).map(|(id, _)| *id) {
                met.remove(&oldest);
            }
        }
    }

    /// Notes where there may be another server; true if that is new.
    pub(super) fn note_hearsay(&self, address: &str) -> bool {
        let mut hearsay = locked(&self.0.hearsay);
        hearsay.len() < HEARSAY_MAX && hearsay.insert(address.to_owned())
    }

    /// Everyone heard of.
    pub fn peers(&self) -> Vec<Peer> {
        self.met().values().map(|met| met.said.peer.clone()).collect()
    }

    /// Addresses of everyone heard of, and of those that others told of.
    pub(super) fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> =
            self.met().values().map(|met| met.said.rpc_addr().to_owned()).collect();
        addresses.extend(locked(&self.0.hearsay).iter().cloned());
        addresses
    }

    /// Whether a server of this cluster was heard of within `age`.
    pub fn is_alive(&self, id: u64, age: Duration) -> bool {
        let met = self.met();
        met.get(&id).is_some_and(|met| met.at.elapsed() <= age && self.is_one_of_us(&met.said.cluster_id))
    }

    /// Whether another server has said that there is a cluster for this one.
    pub(crate) fn is_formed(&self) -> bool {
        self.met().values().any(|met| met.said.formed && self.is_one_of_us(&met.said.cluster_id))
    }

    /// Whether a server has said last that its disk is slow.
    pub fn has_slow_disk(&self, id: u64) -> bool {
        self.met().get(&id).is_some_and(|met| met.said.slow_disk)
    }

    /// What a server has said last that its disk has left.
    pub fn disk_room(&self, id: u64) -> DiskRoom {
        self.met().get(&id).map_or(DiskRoom::Enough, |met| met.said.disk_room)
    }

    /// The highest feature level that a server of this cluster has said last that it knows, and its release. What it said
    /// before the cluster was formed counts, too.
    pub fn feature_level(&self, id: u64) -> Option<(u32, String)> {
        let met = self.met();
        let is_ours = |said: &Said| said.cluster_id.is_empty() || self.is_one_of_us(&said.cluster_id);
        let met = met.get(&id).filter(|met| is_ours(&met.said))?;
        Some((met.said.feature_level, met.said.release.clone()))
    }

    /// Notes how long a server took to answer.
    pub(super) fn note_round_trip(&self, id: u64, took: Duration) {
        let mut all = locked(&self.0.round_trips);
        if all.len() >= KNOWN_SERVERS_MAX && !all.contains_key(&id) {
            all.pop_first();
        }
        let of_server = all.entry(id).or_default();
        if of_server.len() == ROUND_TRIPS_KEPT {
            of_server.pop_front();
        }
        of_server.push_back(took);
    }

    /// The time to a server and back: the least of the latest, since a busy machine adds to it and nothing takes from it.
    pub fn round_trip(&self, id: u64) -> Option<Duration> {
        locked(&self.0.round_trips).get(&id)?.iter().min().copied()
    }

    /// Remembers what a server of this cluster says of its vote and its log, and gives the most that it
    /// ever said.
    pub fn had(&self, id: u64, standing: Option<&Standing>) -> Standing {
        let mut all = locked(&self.0.had);
        if !all.contains_key(&id)
            && all.len() >= KNOWN_SERVERS_MAX
            && let Some(other) = all.keys().next().copied()
        {
            all.remove(&other);
        }
        let had = all.entry(id).or_default();
        if let Some(standing) = standing {
            had.term = had.term.max(standing.term);
            if position(had.committed.as_ref()) < position(standing.committed.as_ref()) {
                had.committed = standing.committed;
            }
        }
        *had
    }
}
