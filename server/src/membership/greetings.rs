//! Greetings between servers: what they say, which statements are believed, and the check that no two servers
//! share an id.
//!
//! A server that belongs to a cluster believes only servers of that cluster. Before it believes that a known
//! id has moved to another address, it asks at the old address. If two processes with the same id are alive,
//! the younger one must end: its data directory is a copy.

mod loss;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ordu_core::command::FEATURE_LEVEL;
use ordu_proto::server::{DiskRoom, GreetReply, GreetRequest, Peer, Standing};
use ordu_store::runtime::random_bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

pub use self::loss::{Has, Loss};
use super::former::Former;
use super::known::{Known, Said};
use super::levels::{self, RELEASE};
use super::{ClusterId, Discovery, hex};
use crate::clock::{ServerClock, now_ns};
use crate::options::ServerOptions;
use crate::peers::Peers;
use crate::rpc::bounds;
use crate::server::ServerError;

/// Timeout of a greeting. Like the timeouts below it is meant for servers in one rack.
const GREET_TIMEOUT: Duration = Duration::from_millis(1_000);
/// Timeout of a probe whether a server is still at its old address. Shorter than a greeting's, since a
/// greeting may wait for it.
const PROBE_TIMEOUT: Duration = Duration::from_millis(700);
/// Minimum time between log messages about servers of other clusters.
const TELL_INTERVAL: Duration = Duration::from_secs(10);
/// Processes that started within this time of each other count as started together.
const TOGETHER_MS: u64 = 1_000;

/// Raft state that a server tells others.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// Whether it holds entries of its cluster's log.
    pub formed: bool,
    /// Its term and last committed log id.
    pub standing: Standing,
    /// Whether its disk is too slow for a leader.
    pub slow_disk: bool,
    /// Its disk space state.
    pub disk_room: DiskRoom,
}

/// Returns why a call failed: the underlying system error, or the other server's message.
fn cause_of(status: &Status) -> String {
    // How tonic and h2 report a peer with another protocol, or a connection closed without an answer.
    const FOREIGN: [&str; 3] =
        ["h2 protocol error", "grpc-status header missing", "stream closed because of a broken pipe"];
    let said = status.message();
    let mut cause: &dyn Error = status;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let cause = if cause.is::<Status>() { said.to_owned() } else { cause.to_string() };
    if FOREIGN.iter().any(|foreign| said.starts_with(foreign) || cause.starts_with(foreign)) {
        return format!("what listens there is no server's RPC port, perhaps another of its ports ({cause})");
    }
    cause
}

/// Handles greetings. A cheap handle.
#[derive(Clone)]
pub struct Greetings(Arc<Inner>);

struct Inner {
    options: Arc<ServerOptions>,
    identity: ClusterId,
    peers: Peers,
    known: Known,
    former: Former,
    clock: ServerClock,
    incarnation: u64,
    start: Instant,
    /// Why this server must end, if it must.
    end: watch::Sender<Option<End>>,
    /// Why the last greeting of an address failed.
    failures: Mutex<BTreeMap<String, String>>,
    /// When a server of another cluster was last logged.
    told_of_foreign: Mutex<Option<Instant>>,
    /// When the refusal of an older release was last logged.
    told_of_older: Mutex<Option<Instant>>,
}

/// Why a server must end; the text is for the operator.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Another process runs with the same id.
    Copied(String),
    /// Its release is too old for its cluster.
    TooOld(String),
}

impl From<End> for ServerError {
    fn from(end: End) -> Self {
        match end {
            End::Copied(sentence) => Self::Fatal(sentence),
            End::TooOld(sentence) => Self::TooOld(sentence),
        }
    }
}

enum Verdict {
    Believed,
    Ignored,
    Refused(String),
}

impl Greetings {
    /// Creates the handler of this server's greetings.
    pub fn new(
        options: Arc<ServerOptions>,
        identity: ClusterId,
        peers: Peers,
        known: Known,
        former: Former,
        clock: ServerClock,
    ) -> Self {
        Self(Arc::new(Inner {
            options,
            identity,
            peers,
            known,
            former,
            clock,
            incarnation: u64::from_be_bytes(random_bytes()).max(1),
            start: Instant::now(),
            end: watch::channel(None).0,
            failures: Mutex::default(),
            told_of_foreign: Mutex::default(),
            told_of_older: Mutex::default(),
        }))
    }

    fn id(&self) -> u64 {
        self.0.identity.server_id()
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns the first voters that this server had settled on before it gave up its previous id.
    pub(super) fn left(&self) -> &[u64] {
        &self.0.former.left
    }

    /// Returns this server's description for others.
    pub fn me(&self) -> Peer {
        Discovery::me(&self.0.options, self.id())
    }

    /// Waits until this server must end.
    pub(super) async fn end(&self) -> End {
        let mut end = self.0.end.subscribe();
        let told = end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        match told {
            Some(end) => end,
            // The sender lives as long as this handle.
            None => std::future::pending().await,
        }
    }

    fn request(&self, telling: Telling, probe: bool) -> GreetRequest {
        GreetRequest {
            me: Some(self.me()),
            cluster_id: self.0.identity.get(),
            bootstrap_expect: self.0.options.bootstrap_expect,
            settled: self.0.identity.settled(),
            formed: telling.formed,
            incarnation: self.0.incarnation,
            uptime_ms: self.uptime_ms(),
            former: self.0.former.ids.clone(),
            probe,
            standing: Some(telling.standing),
            slow_disk: telling.slow_disk,
            disk_room: telling.disk_room.into(),
            feature_level: FEATURE_LEVEL,
            release: RELEASE.to_owned(),
        }
    }

    /// Returns this server's answer to a greeting.
    pub fn reply(&self, telling: Telling) -> GreetReply {
        GreetReply {
            me: Some(self.me()),
            cluster_id: self.0.identity.get(),
            known: self.0.known.peers(),
            settled: self.0.identity.settled(),
            bootstrap_expect: self.0.options.bootstrap_expect,
            formed: telling.formed,
            incarnation: self.0.incarnation,
            uptime_ms: self.uptime_ms(),
            former: self.0.former.ids.clone(),
            standing: Some(telling.standing),
            slow_disk: telling.slow_disk,
            disk_room: telling.disk_room.into(),
            feature_level: FEATURE_LEVEL,
            release: RELEASE.to_owned(),
            time_ns: now_ns(),
            ..GreetReply::default()
        }
    }

    /// Greets the server at `target`.
    pub(super) async fn greet(&self, target: &str, telling: Telling) -> Option<GreetReply> {
        let asked = self.ask(target, self.request(telling, false), self.far(GREET_TIMEOUT)).await;
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match asked {
            Ok(reply) => {
                failures.remove(target);
                Some(reply)
            }
            Err(cause) => {
                failures.insert(target.to_owned(), cause);
                None
            }
        }
    }

    /// Returns why the last greetings of `targets` failed; forgets the failures of other addresses.
    pub(super) fn failures(&self, targets: &[String]) -> BTreeMap<String, String> {
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|target, _| targets.contains(target));
        failures.clone()
    }

    /// Asks which server is at `target`.
    async fn probe(&self, target: &str) -> Option<GreetReply> {
        self.ask(target, self.request(Telling::default(), true), self.far(PROBE_TIMEOUT)).await.ok()
    }

    /// Scales a timeout to the distance between servers; capped so that waiting for a server that is down
    /// does not make the others appear silent.
    fn far(&self, in_a_rack: Duration) -> Duration {
        self.0.options.raft.scaled(in_a_rack, 3)
    }

    /// Sends a greeting. The error text is for operators.
    async fn ask(&self, target: &str, request: GreetRequest, within: Duration) -> Result<GreetReply, String> {
        let asked_at = Instant::now();
        let asked = async {
            let mut client = self.0.peers.server(target)?;
            client.greet(request).await
        };
        match timeout(within, asked).await {
            Ok(Ok(reply)) => {
                let reply = reply.into_inner();
                let told = bounds::greeting_answer(&reply).inspect_err(|status| {
                    tracing::debug!(target, reason = status.message(), "a server's answer is left alone");
                });
                told.map_err(|status| status.message().to_owned())?;
                self.note_clock(&reply, asked_at);
                if let Some(peer) = reply.me.as_ref().filter(|_| self.is_ours(&reply)) {
                    self.0.known.note_round_trip(peer.id, asked_at.elapsed());
                }
                Ok(reply)
            }
            Ok(Err(status)) => {
                let cause = cause_of(&status);
                tracing::debug!(target, cause, "a server cannot be greeted");
                if status.code() == Code::Unauthenticated {
                    self.0.peers.trust().tell_refusal(target, &cause);
                }
                Err(cause)
            }
            Err(_) => Err(format!("no answer in {} ms", within.as_millis())),
        }
    }

    /// Records the time reported by a server of this cluster.
    fn note_clock(&self, reply: &GreetReply, asked_at: Instant) {
        let id = reply.me.as_ref().map_or(0, |peer| peer.id);
        if !reply.cluster_id.is_empty() && self.is_ours(reply) && id != self.id() && reply.time_ns > 0 {
            self.0.clock.note(id, reply.time_ns, asked_at);
        }
    }

    /// Processes another server's statement; `member_at` is the address of its id in the membership. Returns
    /// an error text if that server is refused.
    pub async fn hear(&self, said: Said, member_at: Option<String>) -> Option<String> {
        match self.weigh(&said, member_at).await {
            Verdict::Believed => {
                if let Some(server) = &said.peer.server {
                    self.0.peers.met(said.peer.id, server.clone());
                }
                self.0.known.note(said);
                None
            }
            Verdict::Ignored => None,
            Verdict::Refused(sentence) => {
                tracing::error!("{sentence}");
                Some(sentence)
            }
        }
    }

    async fn weigh(&self, said: &Said, member_at: Option<String>) -> Verdict {
        if said.peer.region != self.0.options.region {
            return Verdict::Ignored;
        }
        let id = said.peer.id;
        if id == self.id() {
            return self.weigh_namesake(said);
        }
        if !self.0.known.is_one_of_us(&said.cluster_id) {
            // Remember a server without a cluster or of another one; it displaces no server of this cluster.
            self.0.known.note(said.clone());
            self.tell_of_foreign(said);
            return Verdict::Ignored;
        }
        // A server of another cluster with this id says nothing about this cluster's server.
        let met = self
            .0
            .known
            .met()
            .get(&id)
            .filter(|met| self.0.known.is_one_of_us(&met.said.cluster_id))
            .map(|met| (met.said.rpc_addr().to_owned(), met.said.incarnation));
        let Some((at, incarnation)) = met.or_else(|| member_at.map(|at| (at, 0))) else {
            return Verdict::Believed;
        };
        let is_same_process = said.incarnation == 0 || said.incarnation == incarnation;
        if at.is_empty() || at == said.rpc_addr() || is_same_process {
            return Verdict::Believed;
        }
        let there = self.probe(&at).await.as_ref().and_then(Said::of_reply);
        let Some(other) = there.filter(|other| self.0.known.is_one_of_us(&other.cluster_id)) else {
            return Verdict::Believed;
        };
        let is_another =
            other.peer.id == id && other.incarnation != 0 && other.incarnation != said.incarnation;
        if is_another && is_elder(age(&other), age(said)) {
            return Verdict::Refused(copied(id, &at, said.rpc_addr()));
        }
        Verdict::Believed
    }

    /// Logs from time to time that a server of another cluster is present.
    fn tell_of_foreign(&self, said: &Said) {
        let mut told = self.0.told_of_foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if said.cluster_id.is_empty() || told.is_some_and(|told| told.elapsed() < TELL_INTERVAL) {
            return;
        }
        *told = Some(Instant::now());
        tracing::warn!(
            name = said.name(),
            address = said.rpc_addr(),
            theirs = hex(&said.cluster_id),
            ours = hex(&self.0.identity.get()),
            "a server of another cluster greets this one, and is left alone"
        );
    }

    /// Judges a process with this server's id.
    fn weigh_namesake(&self, said: &Said) -> Verdict {
        let (id, mine) = (self.id(), &self.0.options.rpc_advertise);
        if said.incarnation == 0 || said.incarnation == self.0.incarnation {
            // This server greeted itself.
            return Verdict::Ignored;
        }
        if is_elder((self.uptime_ms(), self.0.incarnation), age(said)) {
            return Verdict::Refused(copied(id, mine, said.rpc_addr()));
        }
        self.0.end.send_replace(Some(End::Copied(copied(id, said.rpc_addr(), mine))));
        Verdict::Ignored
    }

    /// Whether a reply comes from this server's cluster. While this server has none, replies from servers
    /// without a cluster match.
    pub(super) fn is_ours(&self, reply: &GreetReply) -> bool {
        reply.cluster_id == self.0.identity.get()
    }

    /// Ends this server if the reply refuses it.
    pub(super) fn note_refusal(&self, reply: &GreetReply) {
        let is_for_us = self.is_ours(reply) || self.0.identity.get().is_empty();
        let is_in_region = reply.me.as_ref().is_some_and(|peer| peer.region == self.0.options.region);
        if is_for_us
            && is_in_region
            && let Some(sentence) = levels::is_too_old(&self.0.options.name, reply.cluster_level)
        {
            self.0.end.send_replace(Some(End::TooOld(sentence)));
        } else if !reply.refused.is_empty() && self.is_ours(reply) {
            self.0.end.send_replace(Some(End::Copied(reply.refused.clone())));
        }
    }

    /// Returns the text that refuses a server whose release supports less than the cluster's `level`.
    pub fn refuse_older(&self, said: &Said, level: u32) -> Option<String> {
        let is_for_us = said.cluster_id.is_empty() || said.cluster_id == self.0.identity.get();
        if !is_for_us || said.peer.region != self.0.options.region || said.feature_level >= level {
            return None;
        }
        let name = format!("{} at {}", said.name(), said.rpc_addr());
        let sentence = levels::too_old(&name, &said.release, said.feature_level, level);
        let mut told = self.0.told_of_older.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
            *told = Some(Instant::now());
            tracing::warn!("a server of an older release is refused: {sentence}");
        }
        Some(sentence)
    }
}

/// Returns the key by which the elder of two processes is found.
fn age(said: &Said) -> (u64, u64) {
    (said.uptime_ms, said.incarnation)
}

/// Whether the first process is the elder. Uptimes are measured at different moments, so two processes that
/// started together would each appear elder to itself; the incarnation decides between them.
fn is_elder(one: (u64, u64), other: (u64, u64)) -> bool {
    if one.0.abs_diff(other.0) < TOGETHER_MS { one.1 > other.1 } else { one.0 > other.0 }
}

fn copied(id: u64, elder: &str, younger: &str) -> String {
    format!(
        "server {id} runs at {elder}, and under the same id at {younger}: one's data directory is a copy of the \
         other's. The one at {younger} was started later and has to end; with an empty data directory it is a \
         server of its own"
    )
}
