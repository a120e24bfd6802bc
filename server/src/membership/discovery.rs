//! Servers greet each other: at first to form or find their cluster, later to stay found.

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

/// How often servers greet while they look for their cluster …
const SEARCH_INTERVAL: Duration = Duration::from_millis(200);
/// … and when they have it.
const SETTLED_INTERVAL: Duration = Duration::from_millis(2_000);
/// After so long without its cluster a server says what it waits for.
const COMPLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// Servers that were heard of within this time are counted on to form a cluster.
const LATELY: Duration = Duration::from_secs(3);
/// A server without a cluster that misses one of the first voters for so long gives them up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);
/// Pause between requests to join.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a request to join may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// A voter that has heard of no leader for so long may have been removed without its knowing.
const REMOVED_AFTER: Duration = Duration::from_secs(10);

/// Where a server stands on its way to membership.
struct Step {
    /// It votes, and the membership has its present address.
    is_member: bool,
    /// It has reason to ask the leader.
    asks: bool,
}

/// Greets, forms, joins.
pub struct Discovery {
    /// The server's options.
    pub options: Arc<ServerOptions>,
    /// Who this server is.
    pub identity: ClusterId,
    /// Raft and what it knows.
    pub cluster: Cluster,
    /// Changes of the membership, for a leader.
    pub changes: Changes,
    /// Channels.
    pub peers: Peers,
    /// Who was heard of.
    pub known: Known,
    /// This server's clock, which is compared with those of the servers that are greeted.
    pub clock: ServerClock,
    /// How this server meets others.
    pub greetings: Greetings,
    /// The log and the tables, which say what this server holds when raft has stopped.
    pub log: Arc<dyn LogDb>,
    /// See `log`.
    pub state: State,
    /// What is wrong here.
    pub alarms: Alarms,
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
    /// Why this server must end: the data directory is another cluster's or a copy, its log went back, or it
    /// has to start anew to form a cluster.
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
                // One that has just started may be needed as the leader, and is none before it has heard
                // whether its clock is right.
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

    /// Waits until the next greetings, but not for long where the leader is not heard of: who else is missing is to be
    /// known soon then.
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
            // Those that it is about to form the cluster with.
            others = self.identity.settled();
        }
        others.retain(|other| *other != id);
        self.clock.check(&others);
    }

    /// Ends a server that waits in vain for the others that it has settled on, so that it starts anew.
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
                // From when it was noticed: this process may have stood still itself.
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
            // It came while raft was being stopped.
            return Err(ServerError::Again {
                reason: format!("{reason}, but it has entries of the log now"),
            });
        }
        Err(ServerError::Anew {
            reason: format!("{reason}; it holds nothing yet"),
            known: self.known.clone(),
        })
    }

    /// The same as [`Cluster::holds_something`], once raft has stopped.
    fn holds_something_on_disk(&self) -> io::Result<bool> {
        let applied = self.state.read(position)?.last_log_id;
        let last = self.log.last()?.map(|(index, _)| index);
        Ok(applied.is_some() || self.cluster.is_from_others(last))
    }

    /// One step towards membership.
    async fn step(&self) -> Step {
        let id = self.identity.server_id();
        let members = self.cluster.members();
        if let Some(me) = members.iter().find(|member| member.id == id) {
            let is_known = Some(&me.server) == Discovery::me(&self.options, id).server.as_ref();
            // Who is removed while it is away is not told: its own configuration says that it votes. If it
            // does, the question changes nothing, and where nobody leads, nobody is asked.
            let may_be_removed = self.cluster.leaderless_for() > REMOVED_AFTER;
            return Step { is_member: me.voter && is_known, asks: !is_known || may_be_removed };
        }
        if !members.is_empty() {
            // The cluster was told of this server's leaving, or has not replicated its coming yet.
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

    /// A server without a cluster joins one that is there, else settles on the first voters of one.
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

    /// Judges what this server and the others say of themselves.
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
            // Its log comes from the one of the lowest id.
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
            // It has by now.
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => tracing::error!(%error, "the cluster cannot be formed"),
        }
    }

    async fn ask_to_join(&self) {
        let me = Discovery::me(&self.options, self.identity.server_id());
        if self.cluster.is_leader() {
            // It has moved and leads all the same; what it would ask is its own to do.
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

    /// The leader's address as this server or anyone it greets knows it.
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

    /// Ends a server that has less than the others count on.
    async fn check_losses(&self, replies: &[(String, GreetReply)]) -> Result<(), ServerError> {
        let mut told = replies.iter().map(|(_, reply)| reply).filter(|reply| reply.had.is_some());
        // Asked only now: what it has acknowledged up to the answers is in there.
        let Some(has) = self.cluster.has().await else { return Ok(()) };
        let Some(what) = told.find_map(|reply| self.greetings.lost(reply, has)) else { return Ok(()) };
        let loss = Loss { what, targets: self.targets() };
        self.alarms.raise(Alarm::LogWentBack, loss.sentence());
        self.cluster.retire().await;
        Err(self.greetings.end_of(&loss).await)
    }

    /// Hears what a server that was greeted says.
    async fn take_in(&self, target: &str, reply: GreetReply) {
        let Some(said) = Said::of_reply(&reply) else { return };
        if said.peer.id != self.identity.server_id() && said.peer.region == self.options.region {
            for other in reply.known {
                let is_new = other.id != self.identity.server_id()
                    && !self.known.met().contains_key(&other.id)
                    && other.region == self.options.region;
                if is_new && self.known.note_hearsay(rpc_addr(&other)) {
                    // Only its address is taken on hearsay; it is greeted next time.
                    tracing::debug!(target, other = rpc_addr(&other), "heard of another server");
                }
            }
        }
        let member_at = self.cluster.address_of(said.peer.id);
        // Who is refused hears of it when it greets.
        let _ = self.greetings.hear(said, member_at).await;
    }

    /// A member of a cluster must not be told by its configuration to join another one. Of two that meet so,
    /// the one whose cluster works stays, or one stray server could end a healthy cluster. One that has only
    /// settled on first voters is no member yet: where another set was quicker, it goes there.
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
