//! Servers greet each other: at first to form or find their cluster, later to stay found.
//!
//! Forming it is safe by a promise. A server that has met exactly the expected number of fresh servers
//! settles on that set, durably and for ever, and initialises raft only when every member of the set has
//! said that it settled on the same. Two sets that overlap can therefore never both be initialised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use openraft::errors::{InitializeError, RaftError};
use ordu_proto::server::{GreetReply, GreetRequest, JoinRequest, Peer};
use ordu_store::identity::cluster_id_of;
use ordu_store::types::Server;
use tokio::time::{Instant, timeout};

use super::{ClusterId, admit, hex};
use crate::cluster::Cluster;
use crate::options::ServerOptions;
use crate::peers::Peers;

/// A server that was heard of.
#[derive(Clone, Debug)]
struct Met {
    peer: Peer,
    cluster_id: Vec<u8>,
    settled: Vec<u64>,
    at: Instant,
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

/// Addresses of hearsay that are greeted.
const HEARSAY_MAX: usize = 64;

impl Known {
    fn met(&self) -> MutexGuard<'_, BTreeMap<u64, Met>> {
        self.0.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hearsay(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.hearsay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a server that greeted or was greeted. One that took over another's address or name stands in
    /// its place.
    pub fn note(&self, peer: Peer, cluster_id: Vec<u8>, settled: Vec<u64>) {
        let mut met = self.met();
        let address = rpc_addr(&peer).to_owned();
        met.retain(|id, other| *id == peer.id || rpc_addr(&other.peer) != address);
        met.insert(peer.id, Met { peer, cluster_id, settled, at: Instant::now() });
    }

    /// Everyone heard of.
    pub fn peers(&self) -> Vec<Peer> {
        self.met().values().map(|met| met.peer.clone()).collect()
    }

    /// Whether a server was heard of within `age`.
    pub fn is_alive(&self, id: u64, age: Duration) -> bool {
        self.met().get(&id).is_some_and(|met| met.at.elapsed() <= age)
    }
}

fn rpc_addr(peer: &Peer) -> &str {
    peer.server.as_ref().map_or("", |server| &server.rpc_addr)
}

/// How often servers greet while they look for their cluster …
const SEARCH_INTERVAL: Duration = Duration::from_millis(200);
/// … and when they have it.
const SETTLED_INTERVAL: Duration = Duration::from_millis(2_000);
/// How long a greeting may take.
const GREET_TIMEOUT: Duration = Duration::from_millis(1_000);
/// After so long without its cluster a server says what it waits for.
const COMPLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Greets, forms, joins.
pub struct Discovery {
    /// The server's options.
    pub options: Arc<ServerOptions>,
    /// Who this server is.
    pub identity: ClusterId,
    /// Raft and what it knows.
    pub cluster: Cluster,
    /// Channels.
    pub peers: Peers,
    /// Who was heard of.
    pub known: Known,
}

impl Discovery {
    /// This server as others should know it.
    pub fn me(options: &ServerOptions, id: u64) -> Peer {
        let server = Server {
            name: format!("{}.{}", options.name, options.region),
            rpc_addr: options.rpc_advertise.clone(),
            http_addr: options.http_advertise.clone(),
            datacenter: options.datacenter.clone(),
            serf_addr: options.serf_advertise.clone(),
        };
        Peer { id, server: Some(server), region: options.region.clone() }
    }

    /// Runs until it finds a reason to stop the server.
    ///
    /// # Errors
    /// A sentence for the operator: the data directory is another cluster's.
    pub async fn run(self) -> Result<(), String> {
        let mut complained = Instant::now();
        let mut told_of_foreign = None;
        loop {
            self.greet_all(&mut told_of_foreign).await?;
            let member = self.step().await;
            if member {
                tokio::time::sleep(SETTLED_INTERVAL).await;
                continue;
            }
            if complained.elapsed() > COMPLAIN_INTERVAL {
                complained = Instant::now();
                self.complain();
            }
            tokio::time::sleep(SEARCH_INTERVAL).await;
        }
    }

    /// One step towards membership; true once this server is a member with its present address.
    async fn step(&self) -> bool {
        let id = self.identity.server_id();
        let members = self.cluster.members();
        if let Some(me) = members.iter().find(|member| member.id == id) {
            let is_known = me.voter && Some(&me.server) == Discovery::me(&self.options, id).server.as_ref();
            if !is_known {
                self.ask_to_join().await;
            }
            return is_known;
        }
        if !members.is_empty() {
            // The cluster was told of this server's leaving, or has not replicated its coming yet.
            self.ask_to_join().await;
            return false;
        }
        if self.identity.settled().is_empty() && self.identity.get().is_empty() {
            self.settle_or_adopt();
        }
        if self.identity.settled().is_empty() {
            if !self.identity.get().is_empty() {
                self.ask_to_join().await;
            }
        } else {
            self.initialise_when_agreed().await;
        }
        false
    }

    /// A fresh server joins a cluster that is there, else settles on the first configuration when all
    /// expected servers are met.
    fn settle_or_adopt(&self) {
        let id = self.identity.server_id();
        let met: Vec<Met> = self.known.met().values().filter(|met| met.peer.id != id).cloned().collect();
        let formed = met.iter().find(|met| !met.cluster_id.is_empty() && !met.settled.contains(&id));
        let result = if let Some(formed) = formed {
            tracing::info!(cluster = hex(&formed.cluster_id), "found a cluster; asking to join it");
            self.identity.adopt(formed.cluster_id.clone(), Vec::new())
        } else if self.options.bootstrap_expect as usize == met.len() + 1 {
            let mut voters: Vec<u64> = met.iter().map(|met| met.peer.id).chain([id]).collect();
            voters.sort_unstable();
            tracing::info!(
                servers = voters.len(),
                "all expected servers are here; settling on them as the first voters"
            );
            self.identity.adopt(cluster_id_of(&voters), voters)
        } else {
            Ok(())
        };
        if let Err(error) = result {
            tracing::error!(%error, "this server's identity cannot be written; it stays outside the cluster");
        }
    }

    async fn initialise_when_agreed(&self) {
        let id = self.identity.server_id();
        let settled = self.identity.settled();
        let mut servers: BTreeMap<u64, Server> = BTreeMap::new();
        {
            let met = self.known.met();
            for voter in &settled {
                let server = if *voter == id {
                    Discovery::me(&self.options, id).server
                } else {
                    let agreed = met.get(voter).filter(|met| met.settled == settled);
                    agreed.and_then(|met| met.peer.server.clone())
                };
                let Some(server) = server else { return };
                servers.insert(*voter, server);
            }
        }
        match self.cluster.raft().initialize(servers).await {
            Ok(()) => tracing::info!(voters = settled.len(), "formed the cluster"),
            // Another of the first voters was quicker and its log has reached this one.
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => tracing::error!(%error, "the cluster cannot be formed"),
        }
    }

    async fn ask_to_join(&self) {
        let me = Discovery::me(&self.options, self.identity.server_id());
        if self.cluster.is_leader() {
            // It has moved and leads all the same; what it would ask is its own to do.
            if let Err(status) = admit(&self.cluster, me).await {
                tracing::warn!(
                    reason = status.message(),
                    "this server's own new address is not agreed on yet"
                );
            }
            return;
        }
        let Some(leader) = self.leader_address().await else { return };
        let request = JoinRequest { cluster_id: self.identity.get(), me: Some(me) };
        let asked = async {
            let mut client = self.peers.server(&leader)?;
            client.join(request).await
        };
        match timeout(Duration::from_secs(10), asked).await {
            Ok(Ok(_)) => tracing::info!(leader, "the leader knows this server and its address"),
            Ok(Err(status)) => tracing::warn!(
                leader,
                reason = status.message(),
                "the leader did not take this server in yet"
            ),
            Err(_) => tracing::warn!(leader, "the leader did not answer a request to join in time"),
        }
    }

    /// The leader's address as this server or anyone it greets knows it.
    async fn leader_address(&self) -> Option<String> {
        if let Some(leader) = self.cluster.leader() {
            return Some(self.peers.address_of(leader.id, &leader.server));
        }
        let replies = join_all(self.targets().into_iter().map(|target| self.greet(target))).await;
        let replies: Vec<GreetReply> = replies.into_iter().flatten().map(|(_, reply)| reply).collect();
        let leader = replies.iter().map(|reply| reply.leader_id).find(|leader| *leader != 0)?;
        let met = self.known.met();
        met.get(&leader).map(|met| rpc_addr(&met.peer).to_owned())
    }

    fn targets(&self) -> Vec<String> {
        let mut targets: Vec<String> = self.options.retry_join.clone();
        targets.extend(self.known.peers().iter().map(|peer| rpc_addr(peer).to_owned()));
        targets.extend(self.known.hearsay().iter().cloned());
        targets.extend(
            self.cluster.members().iter().map(|member| self.peers.address_of(member.id, &member.server)),
        );
        targets.sort();
        targets.dedup();
        targets.retain(|target| !target.is_empty() && *target != self.options.rpc_advertise);
        targets
    }

    async fn greet_all(&self, told_of_foreign: &mut Option<Instant>) -> Result<(), String> {
        let replies = join_all(self.targets().into_iter().map(|target| self.greet(target))).await;
        for (target, reply) in replies.into_iter().flatten() {
            self.check_foreign(&target, &reply, told_of_foreign)?;
            self.take_in(&target, reply);
        }
        Ok(())
    }

    async fn greet(&self, target: String) -> Option<(String, GreetReply)> {
        let request = GreetRequest {
            me: Some(Discovery::me(&self.options, self.identity.server_id())),
            cluster_id: self.identity.get(),
            bootstrap_expect: self.options.bootstrap_expect,
            settled: self.identity.settled(),
        };
        let asked = async {
            let mut client = self.peers.server(&target)?;
            client.greet(request).await
        };
        match timeout(GREET_TIMEOUT, asked).await {
            Ok(Ok(reply)) => Some((target, reply.into_inner())),
            Ok(Err(status)) => {
                tracing::debug!(target, reason = status.message(), "a server cannot be greeted");
                None
            }
            Err(_) => None,
        }
    }

    fn take_in(&self, target: &str, reply: GreetReply) {
        let Some(peer) = reply.me else { return };
        if peer.id == self.identity.server_id() || peer.region != self.options.region {
            return;
        }
        if let Some(server) = &peer.server {
            self.peers.met(peer.id, server.clone());
        }
        for other in reply.known {
            let is_new = other.id != self.identity.server_id()
                && !self.known.met().contains_key(&other.id)
                && other.region == self.options.region;
            let mut hearsay = self.known.hearsay();
            if is_new && hearsay.len() < HEARSAY_MAX && hearsay.insert(rpc_addr(&other).to_owned()) {
                // Only its address is taken on hearsay; it is greeted next time.
                tracing::debug!(target, other = rpc_addr(&other), "heard of another server");
            }
        }
        self.known.note(peer, reply.cluster_id, reply.settled);
    }

    /// A member of a cluster must not be told by its configuration to join another one. Of two that meet so,
    /// the one whose cluster works stays, or one stray server could end a healthy cluster.
    fn check_foreign(
        &self,
        target: &str,
        reply: &GreetReply,
        told: &mut Option<Instant>,
    ) -> Result<(), String> {
        let ours = self.identity.get();
        let is_foreign = !ours.is_empty() && !reply.cluster_id.is_empty() && reply.cluster_id != ours;
        if !is_foreign || !self.options.retry_join.iter().any(|configured| configured == target) {
            return Ok(());
        }
        if self.cluster.known_leader() || reply.leader_id == 0 {
            if told.is_none_or(|told| told.elapsed() > COMPLAIN_INTERVAL) {
                *told = Some(Instant::now());
                tracing::error!(
                    target,
                    theirs = hex(&reply.cluster_id),
                    ours = hex(&ours),
                    "a server that this one is told to join belongs to another cluster; it is left alone"
                );
            }
            return Ok(());
        }
        Err(format!(
            "the data directory {} belongs to cluster {}, but the server at {target} that it is told to join belongs \
             to cluster {}: give this server another data directory, or other servers to join",
            self.options.data_dir.display(),
            hex(&ours),
            hex(&reply.cluster_id)
        ))
    }

    fn complain(&self) {
        let settled = self.identity.settled();
        if settled.is_empty() {
            let found = self.known.met().len() + 1;
            tracing::warn!(
                found,
                expected = self.options.bootstrap_expect,
                "waiting for the cluster: bootstrap_expect servers have to find each other, or one of a cluster"
            );
        } else {
            let met = self.known.met();
            let missing: Vec<&u64> = settled
                .iter()
                .filter(|id| **id != self.identity.server_id() && !met.contains_key(id))
                .collect();
            tracing::warn!(?missing, "waiting for the first voters that this server has settled on");
        }
    }
}
