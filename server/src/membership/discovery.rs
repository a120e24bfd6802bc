//! Servers greet each other: first to form or find their cluster, later to keep contact.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use openraft::errors::{InitializeError, RaftError};
use ordu_core::command::FEATURE_LEVEL;
use ordu_core::job::Span;
use ordu_proto::server::{GreetReply, JoinRequest, Peer};
use ordu_store::identity::cluster_id_of;
use ordu_store::log::LogDb;
use ordu_store::state_machine::{State, position};
use ordu_store::types::Server;
use tokio::time::{Instant, timeout};

use super::autopilot;
use super::forming::{self, Gone, Heard, Next, Outlook, Own};
use super::greetings::{Greetings, Loss};
use super::known::{Known, Met, Said, rpc_addr};
use super::{Changes, ClusterId, hex};
use crate::alarms::{Alarm, Alarms};
use crate::clock::{ServerClock, Verdict};
use crate::cluster::Cluster;
use crate::options::ServerOptions;
use crate::peers::Peers;
use crate::server::ServerError;

/// Interval of greetings while a server looks for its cluster …
const SEARCH_INTERVAL: Duration = Duration::from_millis(200);
/// … and when it is a member.
const SETTLED_INTERVAL: Duration = Duration::from_millis(2_000);
/// Interval of log messages about what a server without a cluster waits for.
const COMPLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// Servers heard from within this time count for forming a cluster.
const LATELY: Duration = Duration::from_secs(3);
/// A server without a cluster gives up its set of first voters when a member is missing for this long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
/// Pause between requests to join.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of a request to join.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// A voter without a leader for this long may have been removed without knowing it.
const REMOVED_AFTER: Duration = Duration::from_secs(10);

/// A server's progress towards membership.
struct Step {
    /// It is a voter, and the membership has its current address.
    is_member: bool,
    /// It should ask the leader to join.
    asks: bool,
}

/// Greets other servers; forms or joins the cluster.
pub struct Discovery {
    /// The server's options.
    pub options: Arc<ServerOptions>,
    /// This server's identity.
    pub identity: ClusterId,
    /// Raft's view of the cluster.
    pub cluster: Cluster,
    /// Changes the membership, on the leader.
    pub changes: Changes,
    /// Channels to other servers.
    pub peers: Peers,
    /// Servers heard from.
    pub known: Known,
    /// This server's clock, which is compared with those of the greeted servers.
    pub clock: ServerClock,
    /// Handles greetings.
    pub greetings: Greetings,
    /// The log. With the tables, it tells what this server holds after raft has stopped.
    pub log: Arc<dyn LogDb>,
    /// The tables.
    pub state: State,
    /// Alarms of this server.
    pub alarms: Alarms,
}

impl Discovery {
    /// Returns this server's description for others.
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

    /// Runs until there is a reason to stop the server.
    ///
    /// # Errors
    /// The reason: the data directory belongs to another cluster or is a copy, its log lost entries, or the
    /// server must start anew to form a cluster.
    pub async fn run(self) -> Result<(), ServerError> {
        tokio::select! {
            end = self.greetings.end() => Err(end.into()),
            ended = self.rounds() => ended,
        }
    }

    async fn rounds(&self) -> Result<(), ServerError> {
        let mut complained = Instant::now();
        let mut told_of_foreign = None;
        let mut missing_since = None;
        let mut asked: Option<Instant> = None;
        loop {
            let holds_something = self.cluster.holds_something();
            if holds_something || self.identity.settled().is_empty() {
                self.known.belong_to(self.identity.get());
            }
            self.greet_all(&mut told_of_foreign).await?;
            self.compare_clocks();
            if !holds_something {
                self.give_up_in_time(&mut missing_since).await?;
            }
            let step = self.step().await;
            if step.asks && asked.is_none_or(|asked| asked.elapsed() > ASK_INTERVAL) {
                self.ask_to_join().await;
                asked = Some(Instant::now());
            }
            if step.is_member && holds_something {
                // A starting server may be needed as the leader, and cannot lead before its clock was
                // compared.
                let is_compared = self.clock.verdict() != Verdict::Unknown;
                let pause = if is_compared { SETTLED_INTERVAL } else { SEARCH_INTERVAL };
                self.pause(pause).await;
                continue;
            }
            if complained.elapsed() > COMPLAIN_INTERVAL {
                complained = Instant::now();
                self.complain();
            }
            tokio::time::sleep(SEARCH_INTERVAL).await;
        }
    }

    /// Waits until the next greetings, but only briefly if the leader is not heard from, to find out soon
    /// which other servers are missing.
    async fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            tokio::time::sleep(SEARCH_INTERVAL).await;
            if Instant::now() >= until || !self.cluster.is_in_touch() {
                return;
            }
        }
    }

    fn compare_clocks(&self) {
        let id = self.identity.server_id();
        let mut others: Vec<u64> = self.cluster.members().iter().map(|member| member.id).collect();
        if others.is_empty() {
            // Compare with the servers with which it is about to form the cluster.
            others = self.identity.settled();
        }
        others.retain(|other| *other != id);
        self.clock.check(&others);
    }

    /// Ends a server whose set of first voters cannot form a cluster any more, so that it starts anew.
    async fn give_up_in_time(&self, missing_since: &mut Option<Instant>) -> Result<(), ServerError> {
        let outlook = if self.identity.settled().is_empty() || self.cluster.known_leader() {
            Outlook::Good
        } else {
            self.look(forming::outlook)
        };
        let reason = match outlook {
            Outlook::Good | Outlook::Unsure(_) => {
                *missing_since = None;
                return Ok(());
            }
            Outlook::Missing(missing) => {
                // Measured from when this process noticed: it may have been suspended itself.
                if missing_since.get_or_insert_with(Instant::now).elapsed() <= GIVE_UP_AFTER {
                    return Ok(());
                }
                format!("of the first voters that this server has settled on, {missing:?} are missing")
            }
            Outlook::GivenUp => {
                "one of the first voters that this server has settled on has started anew".into()
            }
        };
        self.cluster.retire().await;
        let held = self.holds_something_on_disk();
        let held =
            held.map_err(|source| ServerError::Io { what: "cannot read the log".to_owned(), source })?;
        if held {
            // Entries arrived while raft was being stopped.
            return Err(ServerError::Again {
                reason: format!("{reason}, but it has entries of the log now"),
            });
        }
        Err(ServerError::Anew {
            reason: format!("{reason}; it holds nothing yet"),
            known: self.known.clone(),
        })
    }

    /// As [`Cluster::holds_something`], once raft has stopped.
    fn holds_something_on_disk(&self) -> io::Result<bool> {
        let applied = self.state.read(position)?.last_log_id;
        let last = self.log.last()?.map(|(index, _)| index);
        Ok(applied.is_some() || self.cluster.is_from_others(last))
    }

    /// Takes one step towards membership.
    async fn step(&self) -> Step {
        let id = self.identity.server_id();
        let members = self.cluster.members();
        if let Some(me) = members.iter().find(|member| member.id == id) {
            let is_known = Some(&me.server) == Discovery::me(&self.options, id).server.as_ref();
            // A server that was removed while it was away still finds itself among the voters of its own
            // configuration. Asking is harmless if it is a voter, and without a leader no request is sent.
            let may_be_removed = self.cluster.leaderless_for() > REMOVED_AFTER;
            return Step { is_member: me.voter && is_known, asks: !is_known || may_be_removed };
        }
        if !members.is_empty() {
            // The cluster has removed this server, or has not yet replicated its addition.
            return Step { is_member: false, asks: true };
        }
        if !self.identity.settled().is_empty() || self.identity.get().is_empty() {
            self.settle_or_adopt();
        }
        if self.identity.settled().is_empty() {
            return Step { is_member: false, asks: !self.identity.get().is_empty() };
        }
        self.initialise_when_agreed().await;
        Step { is_member: false, asks: false }
    }

    /// Without a cluster: joins an existing one, or else settles on a set of first voters.
    fn settle_or_adopt(&self) {
        let result = match self.look(forming::next) {
            Next::Wait | Next::SameName(_) => return,
            Next::Adopt(cluster_id) => {
                tracing::info!(cluster = hex(&cluster_id), "found a cluster; asking to join it");
                self.identity.adopt(cluster_id, Vec::new())
            }
            Next::Settle(voters) => {
                tracing::info!(
                    servers = voters.len(),
                    "all expected servers are here; settling on them as the first voters"
                );
                self.identity.adopt(cluster_id_of(&voters), voters)
            }
        };
        if let Err(error) = result {
            tracing::error!(%error, "this server's identity cannot be written; it stays outside the cluster");
        }
    }

    /// Applies `judge` to the statements of this server and the others.
    fn look<T>(&self, judge: impl FnOnce(&Own<'_>, &[Heard<'_>], &Gone) -> T) -> T {
        let met: Vec<Met> = self.known.met().values().cloned().collect();
        let heard: Vec<Heard<'_>> =
            met.iter().map(|met| Heard { said: &met.said, lately: met.at.elapsed() <= LATELY }).collect();
        let id = self.identity.server_id();
        let me = Discovery::me(&self.options, id).server.unwrap_or_default();
        let own = Own {
            id,
            name: &me.name,
            bootstrap_expect: self.options.bootstrap_expect,
            settled: &self.identity.settled(),
            left: self.greetings.left(),
        };
        judge(&own, &heard, &self.known.gone())
    }

    async fn initialise_when_agreed(&self) {
        let id = self.identity.server_id();
        let settled = self.identity.settled();
        if settled.first() != Some(&id) {
            // The server with the lowest id initialises the cluster.
            return;
        }
        let mut servers: BTreeMap<u64, Server> = BTreeMap::new();
        {
            let met = self.known.met();
            for voter in &settled {
                let server = if *voter == id {
                    Discovery::me(&self.options, id).server
                } else {
                    let agreed = met.get(voter).filter(|met| met.said.settled == settled);
                    agreed.and_then(|met| met.said.peer.server.clone())
                };
                let Some(server) = server else { return };
                servers.insert(*voter, server);
            }
        }
        match self.cluster.raft().initialize(servers).await {
            Ok(()) => tracing::info!(voters = settled.len(), "formed the cluster"),
            // The cluster is initialised already.
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => tracing::error!(%error, "the cluster cannot be formed"),
        }
    }

    async fn ask_to_join(&self) {
        let me = Discovery::me(&self.options, self.identity.server_id());
        if self.cluster.is_leader() {
            // This server leads and has moved, so it updates its own address.
            if let Err(status) = self.changes.admit(me, FEATURE_LEVEL).await {
                tracing::warn!(
                    reason = status.message(),
                    "this server's own new address is not agreed on yet"
                );
            }
            return;
        }
        let Some(leader) = self.leader_address().await else { return };
        let (cluster_id, me) = (self.identity.get(), Some(me));
        let request = JoinRequest { cluster_id, me, feature_level: FEATURE_LEVEL };
        let asked = async {
            let mut client = self.peers.server(&leader)?;
            client.join(request).await
        };
        match timeout(ASK_TIMEOUT, asked).await {
            Ok(Ok(_)) => tracing::info!(leader, "the leader knows this server and its address"),
            Ok(Err(status)) => tracing::warn!(
                leader,
                reason = status.message(),
                "the leader did not take this server in yet"
            ),
            Err(_) => tracing::warn!(leader, "the leader did not answer a request to join in time"),
        }
    }

    /// Returns the leader's address as known to this server or a server that it greets.
    async fn leader_address(&self) -> Option<String> {
        if let Some(leader) = self.cluster.leader() {
            return Some(self.peers.address_of(leader.id, &leader.server));
        }
        let replies = self.greet_targets().await;
        let mut of_ours = replies.into_iter().filter(|(_, reply)| self.greetings.is_ours(reply));
        let leader = of_ours.find_map(|(_, reply)| (reply.leader_id != 0).then_some(reply.leader_id))?;
        let met = self.known.met();
        met.get(&leader).map(|met| met.said.rpc_addr().to_owned())
    }

    fn targets(&self) -> Vec<String> {
        let mut targets: Vec<String> = self.options.retry_join.clone();
        targets.extend(self.known.addresses());
        targets.extend(
            self.cluster.members().iter().map(|member| self.peers.address_of(member.id, &member.server)),
        );
        targets.sort();
        targets.dedup();
        targets.retain(|target| !target.is_empty() && *target != self.options.rpc_advertise);
        targets
    }

    async fn greet_all(&self, told_of_foreign: &mut Option<Instant>) -> Result<(), ServerError> {
        let replies = self.greet_targets().await;
        for (target, reply) in &replies {
            self.greetings.note_refusal(reply);
            self.check_foreign(target, reply, told_of_foreign).map_err(ServerError::Fatal)?;
        }
        self.check_losses(&replies).await?;
        for (target, reply) in replies {
            self.take_in(&target, reply).await;
        }
        let targets = self.targets();
        let addresses: BTreeSet<&str> = targets.iter().map(String::as_str).collect();
        let wanted: BTreeSet<u64> = self.cluster.members().iter().map(|member| member.id).collect();
        let met: BTreeSet<u64> = self.known.met().keys().copied().collect();
        self.peers.keep(|id| wanted.contains(&id) || met.contains(&id), &addresses);
        Ok(())
    }

    async fn greet_targets(&self) -> Vec<(String, GreetReply)> {
        let telling = self.cluster.telling();
        let greeted = self.targets().into_iter().map(|target| {
            let telling = telling.clone();
            async move { self.greetings.greet(&target, telling).await.map(|reply| (target, reply)) }
        });
        join_all(greeted).await.into_iter().flatten().collect()
    }

    /// Ends this server if its log lacks entries that others rely on.
    async fn check_losses(&self, replies: &[(String, GreetReply)]) -> Result<(), ServerError> {
        let mut told = replies.iter().map(|(_, reply)| reply).filter(|reply| reply.had.is_some());
        // Read only now, so that it includes everything acknowledged before the replies.
        let Some(has) = self.cluster.has().await else { return Ok(()) };
        let Some(what) = told.find_map(|reply| self.greetings.lost(reply, has)) else { return Ok(()) };
        let loss = Loss { what, targets: self.targets() };
        self.alarms.raise(Alarm::LogWentBack, loss.sentence());
        self.cluster.retire().await;
        Err(self.greetings.end_of(&loss).await)
    }

    /// Processes a reply to a greeting.
    async fn take_in(&self, target: &str, reply: GreetReply) {
        let Some(said) = Said::of_reply(&reply) else { return };
        if said.peer.id != self.identity.server_id() && said.peer.region == self.options.region {
            for other in reply.known {
                let is_new = other.id != self.identity.server_id()
                    && !self.known.met().contains_key(&other.id)
                    && other.region == self.options.region;
                if is_new && self.known.note_hearsay(rpc_addr(&other)) {
                    // Remember only the address; the server there is greeted in the next round.
                    tracing::debug!(target, other = rpc_addr(&other), "heard of another server");
                }
            }
        }
        let member_at = self.cluster.address_of(said.peer.id);
        // Ignore a refusal; that server learns of it when it greets.
        let _ = self.greetings.hear(said, member_at).await;
    }

    /// Refuses to run a member of a cluster that is configured to join another cluster. Only a server whose
    /// cluster has no leader ends, so that a stray server cannot end a healthy cluster. A server that has
    /// only settled on first voters is not a member yet, and may join another set that was faster.
    fn check_foreign(
        &self,
        target: &str,
        reply: &GreetReply,
        told: &mut Option<Instant>,
    ) -> Result<(), String> {
        let ours = self.identity.get();
        let is_undecided = !self.identity.settled().is_empty() && self.cluster.members().is_empty();
        let is_foreign =
            !is_undecided && !ours.is_empty() && !reply.cluster_id.is_empty() && reply.cluster_id != ours;
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
             to cluster {}: give this server another data directory, or other servers to join. If that cluster was \
             recovered from another server's data, move this directory aside: with an empty one this server joins it",
            self.options.data_dir.display(),
            hex(&ours),
            hex(&reply.cluster_id)
        ))
    }

    fn complain(&self) {
        for (address, cause) in self.greetings.failures(&self.options.retry_join) {
            tracing::warn!(address, "a server that this one is told to join cannot be reached: {cause}");
        }
        let expected = self.options.bootstrap_expect;
        let settled = self.identity.settled();
        let has_cluster = settled.is_empty() && !self.identity.get().is_empty();
        let id = self.identity.server_id();
        if self.cluster.known_leader() && self.cluster.members().iter().any(|member| member.id == id) {
            let config = autopilot::config(&self.state, &self.options).unwrap_or(self.options.autopilot);
            tracing::warn!(
                "this server does not vote yet: it does once it has the log and has answered the leader without a break \
                 for {}",
                Span(config.server_stabilization_time_ns)
            );
            return;
        }
        if has_cluster || !self.cluster.members().is_empty() {
            tracing::warn!("waiting for the leader of this server's cluster to take it in");
            return;
        }
        if let Outlook::Unsure(missing) = self.look(forming::outlook) {
            tracing::error!(
                ?missing,
                "the first voters that this server has settled on are missing, and may have formed the cluster \
                 without it; it waits for them. If they are gone for good, stop this server, remove its data \
                 directory and start it again"
            );
            return;
        }
        if !settled.is_empty() {
            tracing::warn!(
                first_voters = ?settled,
                "waiting for the first voters that this server has settled on, to settle on the same"
            );
            return;
        }
        if let Next::SameName(name) = self.look(forming::next) {
            tracing::error!(
                name,
                "two servers that would form the cluster have this name; give each server a name of its own and \
                 start it again: until then there is no cluster"
            );
            return;
        }
        let (found, heard) =
            self.look(|own, heard, gone| (forming::waiting(own, heard, gone).count() + 1, heard.len() + 1));
        if expected > 0 && found > expected as usize {
            tracing::warn!(
                found,
                expected,
                "there are more servers than bootstrap_expect says; those of the lowest ids form the cluster, this \
                 server joins them then"
            );
            return;
        }
        self.look(|_, heard, _| {
            let differing = |other: &&Heard<'_>| ![expected, 0].contains(&other.said.bootstrap_expect);
            for Heard { said, .. } in heard.iter().filter(|other| other.lately).filter(differing) {
                tracing::warn!(
                    name = said.name(),
                    address = said.rpc_addr(),
                    "that server expects {} servers to form a cluster, this one {expected}: give all the same \
                     bootstrap_expect",
                    said.bootstrap_expect
                );
            }
        });
        tracing::warn!(
            found,
            heard,
            expected,
            "waiting for the cluster: bootstrap_expect servers that expect the same number have to find each other, \
             or one of a cluster"
        );
    }
}
