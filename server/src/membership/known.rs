//! Servers heard from, and their statements about themselves.

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

/// A server's statement about itself in a greeting or its answer.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its id, name and addresses.
    pub peer: Peer,
    /// Its cluster's id; empty if it has none.
    pub cluster_id: Vec<u8>,
    /// The first voters that it has settled on.
    pub settled: Vec<u64>,
    /// The number of servers that it expects to form a cluster with; 0 if it forms none.
    pub bootstrap_expect: u32,
    /// Whether it holds entries of its cluster's log, so that its cluster exists.
    pub formed: bool,
    /// Random number drawn at its process's start; 0 from a release that draws none.
    pub incarnation: u64,
    /// Its process's uptime.
    pub uptime_ms: u64,
    /// Ids that it had before and will never use again.
    pub former: Vec<u64>,
    /// Whether its disk is too slow for a leader.
    pub slow_disk: bool,
    /// Its disk space state.
    pub disk_room: DiskRoom,
    /// The highest feature level that its release supports.
    pub feature_level: u32,
    /// The name of its release; empty if not reported.
    pub release: String,
}

impl Said {
    /// Reads the statement of a greeting server; `None` if it does not say who it is.
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

    /// Reads the statement in the answer to a greeting; `None` if the server does not say who it is.
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

    /// Returns its RPC address as other servers reach it.
    pub fn rpc_addr(&self) -> &str {
        rpc_addr(&self.peer)
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        self.peer.server.as_ref().map_or("", |server| &server.name)
    }
}

/// Returns a server's RPC address.
pub(super) fn rpc_addr(peer: &Peer) -> &str {
    peer.server.as_ref().map_or("", |server| &server.rpc_addr)
}

/// Converts a log id to a tuple that orders by term, then index.
pub(super) fn position(log_id: Option<&LogId>) -> Option<(u64, u64)> {
    log_id.map(|log_id| (log_id.term, log_id.index))
}

/// Number of round trips kept per server: those of half a minute.
const ROUND_TRIPS_KEPT: usize = 16;
/// Number of round trips after which their minimum is taken for the distance of a server.
const ROUND_TRIPS_NEEDED: usize = 3;

/// A server heard from, and when.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) said: Said,
    pub(super) at: Instant,
}

/// Servers heard from, shared with the service that answers greetings.
#[derive(Clone, Default)]
pub struct Known(Arc<KnownInner>);

#[derive(Default)]
struct KnownInner {
    /// This server's cluster; empty while it may still join any.
    ours: Mutex<Vec<u8>>,
    met: Mutex<BTreeMap<u64, Met>>,
    gone: Mutex<Gone>,
    /// RPC addresses named by others; unverified until a server there answers.
    hearsay: Mutex<BTreeSet<String>>,
    /// The highest log positions that this cluster's servers ever reported.
    had: Mutex<BTreeMap<u64, Standing>>,
    /// Recent round-trip times, the latest last.
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
    /// Records this server's own previous ids.
    pub fn note_former(&self, former: &[u64]) {
        locked(&self.0.gone).given_up.extend(former);
    }

    pub(super) fn met(&self) -> MutexGuard<'_, BTreeMap<u64, Met>> {
        locked(&self.0.met)
    }

    /// Returns the ids that are no longer in use.
    pub(super) fn gone(&self) -> Gone {
        locked(&self.0.gone).clone()
    }

    /// Sets this server's cluster. From then on only servers of that cluster are believed.
    pub fn belong_to(&self, cluster_id: Vec<u8>) {
        *locked(&self.0.ours) = cluster_id;
    }

    /// Whether servers with this cluster id are believed: those of this server's cluster, or all while it has
    /// none.
    pub fn is_one_of_us(&self, cluster_id: &[u8]) -> bool {
        let ours = locked(&self.0.ours);
        ours.is_empty() || *ours == cluster_id
    }

    /// Records a server that greeted or was greeted. It replaces another server at its address, but a server
    /// of another cluster does not replace one of this cluster.
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
            // Evict servers of other clusters first.
            let age = |it: &Met| (self.is_one_of_us(&it.said.cluster_id), it.at);
            if let Some(oldest) = met.iter().min_by_key(|(_, it)| age(it)).map(|(id, _)| *id) {
                met.remove(&oldest);
            }
        }
    }

    /// Records an address named by another server; returns whether it is new.
    pub(super) fn note_hearsay(&self, address: &str) -> bool {
        let mut hearsay = locked(&self.0.hearsay);
        hearsay.len() < HEARSAY_MAX && hearsay.insert(address.to_owned())
    }

    /// Returns all servers heard from.
    pub fn peers(&self) -> Vec<Peer> {
        self.met().values().map(|met| met.said.peer.clone()).collect()
    }

    /// Returns the addresses of all servers heard from, and those named by others.
    pub(super) fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> =
            self.met().values().map(|met| met.said.rpc_addr().to_owned()).collect();
        addresses.extend(locked(&self.0.hearsay).iter().cloned());
        addresses
    }

    /// Whether a server of this cluster was heard from within `age`.
    pub fn is_alive(&self, id: u64, age: Duration) -> bool {
        let met = self.met();
        met.get(&id).is_some_and(|met| met.at.elapsed() <= age && self.is_one_of_us(&met.said.cluster_id))
    }

    /// Whether a server reports an existing cluster that this server may belong to.
    pub(crate) fn is_formed(&self) -> bool {
        self.met().values().any(|met| met.said.formed && self.is_one_of_us(&met.said.cluster_id))
    }

    /// Whether the server last reported a slow disk.
    pub fn has_slow_disk(&self, id: u64) -> bool {
        self.met().get(&id).is_some_and(|met| met.said.slow_disk)
    }

    /// Returns the disk space state that the server last reported.
    pub fn disk_room(&self, id: u64) -> DiskRoom {
        self.met().get(&id).map_or(DiskRoom::Enough, |met| met.said.disk_room)
    }

    /// Returns the highest feature level and the release that a server of this cluster last reported, even if
    /// that was before the cluster was formed.
    pub fn feature_level(&self, id: u64) -> Option<(u32, String)> {
        let met = self.met();
        let is_ours = |said: &Said| said.cluster_id.is_empty() || self.is_one_of_us(&said.cluster_id);
        let met = met.get(&id).filter(|met| is_ours(&met.said))?;
        Some((met.said.feature_level, met.said.release.clone()))
    }

    /// Records a round-trip time.
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

    /// Returns the minimum of the recent round trips, because load can only lengthen them; `None` until there
    /// are enough to tell load from distance.
    pub fn round_trip(&self, id: u64) -> Option<Duration> {
        let all = locked(&self.0.round_trips);
        let of_server = all.get(&id).filter(|it| it.len() >= ROUND_TRIPS_NEEDED)?;
        of_server.iter().min().copied()
    }

    /// Records the vote and log position that a server of this cluster reports; returns the highest that it
    /// ever reported.
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
