//! Servers that were heard of, and what they said of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordu_core::limits::{HEARSAY_MAX, KNOWN_SERVERS_MAX};
use ordu_proto::server::Peer;
use tokio::time::Instant;

/// What a server says of itself when it greets or is greeted.
#[derive(Clone, Debug)]
pub struct Said {
    /// Who it is.
    pub peer: Peer,
    /// Its cluster's id; empty where it has none.
    pub cluster_id: Vec<u8>,
    /// The first voters that it has settled on.
    pub settled: Vec<u64>,
    /// How many servers it expects to form a cluster with; 0 where it forms none.
    pub bootstrap_expect: u32,
    /// Whether its raft has a configuration: its cluster is there.
    pub formed: bool,
}

impl Said {
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
    met: Mutex<BTreeMap<u64, Met>>,
    /// RPC addresses that others told of; who is there is known only when it has answered.
    hearsay: Mutex<BTreeSet<String>>,
}

impl Known {
    pub(super) fn met(&self) -> MutexGuard<'_, BTreeMap<u64, Met>> {
        self.0.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hearsay(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.hearsay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a server that greeted or was greeted. One that took over another's address stands in its place.
    pub fn note(&self, said: Said) {
        let mut met = self.met();
        let (id, address) = (said.peer.id, said.rpc_addr().to_owned());
        met.retain(|other, it| *other == id || it.said.rpc_addr() != address);
        met.insert(id, Met { said, at: Instant::now() });
        if met.len() > KNOWN_SERVERS_MAX
            && let Some(oldest) = met.iter().min_by_key(|(_, it)| it.at).map(|(id, _)| *id)
        {
            met.remove(&oldest);
        }
    }

    /// Notes where there may be another server; true if that is new.
    pub(super) fn note_hearsay(&self, address: &str) -> bool {
        let mut hearsay = self.hearsay();
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
        addresses.extend(self.hearsay().iter().cloned());
        addresses
    }

    /// Whether a server was heard of within `age`.
    pub fn is_alive(&self, id: u64, age: Duration) -> bool {
        self.met().get(&id).is_some_and(|met| met.at.elapsed() <= age)
    }
}
