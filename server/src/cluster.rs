//! What this server knows of the cluster: who leads, who belongs, how fresh its own state is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use ordu_proto::server::{DiskRoom, Standing};
use ordu_store::codec::log_id_to_pb;
use ordu_store::state_machine::StateMachine;
use ordu_store::types::{Server, TypeConfig};
use tokio::time::Instant;

use crate::disk_space::DiskSpace;
use crate::distances::Distances;
use crate::membership::{Has, Known, Telling};

/// Raft with this project's types.
pub type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// Whether raft runs. What is handed to it while it does may take effect whatever happens to it then.
pub(crate) fn runs(raft: &Raft) -> bool {
    raft.metrics().borrow_watched().running_state.is_ok()
}

/// A server of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its raft id.
    pub id: u64,
    /// Its name and addresses.
    pub server: Server,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads.
    pub leader: bool,
    /// Whether this server has heard of it lately.
    pub alive: bool,
}

/// The cluster as this server knows it. A cheap handle.
#[derive(Clone)]
pub struct Cluster {
    raft: Raft,
    contact: Arc<Contact>,
    known: Known,
    lost_after: Duration,
    is_retired: Arc<AtomicBool>,
    slow_disk: Arc<AtomicBool>,
    space: DiskSpace,
}

/// Servers greet each other every two seconds: one that three greetings have missed has failed.
pub(crate) const HEARD_WITHIN: Duration = Duration::from_secs(7);
/// After this many of the greatest election timeout without a sign, a leader is not counted on.
const LOST_AFTER_TIMEOUTS: u32 = 4;

/// When the leader was last heard of, or this server was made one.
pub struct Contact {
    start: Instant,
    /// Milliseconds since `start`, plus one; 0 for never.
    at_ms: AtomicU64,
    /// Whether this server may have taken entries from another leader.
    follows: AtomicBool,
}

impl Contact {
    /// At the start of a server, whose log may have entries from another leader.
    pub fn new(follows: bool) -> Self {
        Self { start: Instant::now(), at_ms: AtomicU64::new(0), follows: AtomicBool::new(follows) }
    }

    /// A leader's entries have come and may be taken. To be called before they are.
    pub fn follow(&self) {
        self.follows.store(true, Ordering::SeqCst);
    }

    /// The leader was heard of now.
    pub fn stamp(&self) {
        self.at_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Milliseconds since then; since the start where it never was.
    fn age_ms(&self) -> u64 {
        self.now_ms().saturating_sub(self.at_ms.load(Ordering::Relaxed))
    }

    /// Whether there was such a moment within `age`. A vote that a server finds in its log at the start says
    /// who led then, not who leads.
    fn is_within(&self, age: Duration) -> bool {
        self.at_ms.load(Ordering::Relaxed) > 0 && Duration::from_millis(self.age_ms()) < age
    }
}

impl Cluster {
    /// A handle on what `raft` knows.
    pub fn new(raft: Raft, contact: Arc<Contact>, known: Known, space: DiskSpace) -> Self {
        let lost_after = Duration::from_millis(raft.config().election_timeout_max) * LOST_AFTER_TIMEOUTS;
        let (is_retired, slow_disk) = Default::default();
        Self { raft, contact, known, lost_after, is_retired, slow_disk, space }
    }

    /// Raft itself.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Whether raft still runs here, as far as it has said.
    pub fn raft_runs(&self) -> bool {
        runs(&self.raft)
    }

    /// Raft's figures. A clone, since holding the borrow can block raft.
    pub fn metrics(&self) -> RaftMetrics<TypeConfig> {
        self.raft.metrics().borrow_watched().clone()
    }

    /// This server's raft id.
    pub fn id(&self) -> u64 {
        *self.raft.node_id()
    }

    /// Who leads, as far as this server knows.
    pub fn leader(&self) -> Option<Member> {
        let id = self.leader_id()?;
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let server = membership.get_node(&id)?.clone();
        Some(Member {
            id,
            server,
            voter: membership.voter_ids().any(|voter| voter == id),
            leader: true,
            alive: true,
        })
    }

    /// The raft id of the server that leads, as far as this server knows.
    ///
    /// Raft itself remembers the last leader until there is another. A server that has not heard of it for
    /// a while knows of none, and so does a leader that no quorum has answered for a while.
    pub fn leader_id(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let is_current = if leader == metrics.id {
            let is_alone = metrics.membership_config.voter_ids().all(|voter| voter == metrics.id);
            // Before the first answer it is the votes that speak for the new leader.
            is_alone
                || metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() < self.lost_after)
                || self.contact.is_within(self.lost_after)
        } else {
            self.contact.is_within(self.lost_after)
        };
        is_current.then_some(leader)
    }

    /// Returns once raft knows here that a server other than `leader` leads: what that one was asked is to be
    /// asked anew. Never once raft has stopped.
    pub async fn another_leads(&self, leader: u64) {
        let mut metrics = self.raft.server_metrics();
        while metrics.borrow_watched().current_leader.is_none_or(|current| current == leader) {
            if metrics.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether this server leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.leader_id() == Some(self.id())
    }

    /// Whether a leader is known here.
    pub fn known_leader(&self) -> bool {
        self.leader_id().is_some()
    }

    /// Whether this server holds what others may count on, or a client: entries behind the first, which is
    /// only the set of first voters, that a leader has sent or that are committed.
    pub fn holds_something(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let is_committed = metrics.last_applied.is_some() || metrics.local_committed.is_some();
        is_committed || self.is_from_others(metrics.last_log_index)
    }

    /// Whether entries up to `last` may come from another leader.
    pub fn is_from_others(&self, last: Option<u64>) -> bool {
        last.is_some_and(|index| index > 0) && self.contact.follows.load(Ordering::SeqCst)
    }

    /// What this server tells others of its raft: no more than what is synced.
    pub fn telling(&self) -> Telling {
        let synced = self.raft.watch_log_progress().get().and_then(|flushed| flushed.last_log_id);
        let (term, committed) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            (metrics.vote.leader_id.term, metrics.local_committed)
        };
        // Raft may commit here what the others have synced and this server has not.
        let committed = committed.min(synced).as_ref().map(log_id_to_pb);
        let slow_disk = self.slow_disk.load(Ordering::Relaxed);
        let (formed, disk_room) = (self.holds_something(), self.space.room());
        Telling { formed, standing: Standing { term, committed }, slow_disk, disk_room }
    }

    /// What this server has in its log; `None` once raft has stopped.
    pub async fn has(&self) -> Option<Has> {
        let read = self.raft.with_raft_state(|state| {
            let last = state.log_ids.last().map(|last| (last.leader_id.term, last.index));
            Has { term: state.vote_ref().leader_id.term, last }
        });
        read.await.ok()
    }

    /// The last log id that a follower has acknowledged to this server, where it leads.
    pub fn acknowledged_by(&self, id: u64) -> Option<ordu_proto::raft::LogId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.replication.as_ref()?.get(&id)?.as_ref().map(log_id_to_pb)
    }

    /// Stops raft for good, while the rest of this server goes on until it ends: it neither votes nor
    /// acknowledges any more.
    pub async fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "raft did not end in order");
        }
    }

    /// Whether raft was stopped so.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
    }

    /// Milliseconds since the leader was last heard of; 0 at the leader.
    pub fn last_contact_ms(&self) -> u64 {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let age_ms = self.contact.age_ms();
        if metrics.current_leader != Some(metrics.id) {
            return age_ms;
        }
        // A leader that is answered is current; one that is cut off ages like the others.
        let acked_ms = metrics
            .last_quorum_acked
            .map_or(u64::MAX, |acked| u64::try_from(acked.elapsed().as_millis()).unwrap_or(u64::MAX));
        let age_ms = age_ms.min(acked_ms);
        let is_alone = metrics.membership_config.voter_ids().all(|voter| voter == metrics.id);
        if is_alone || u128::from(age_ms) < self.lost_after.as_millis() { 0 } else { age_ms }
    }

    /// Notes that this server was elected: until a quorum has answered, the votes speak for it.
    pub fn note_elected(&self) {
        self.contact.stamp();
    }

    /// All servers, by id.
    pub fn members(&self) -> Vec<Member> {
        self.members_of(&self.metrics())
    }

    /// All servers, by id, as `metrics` has them.
    pub fn members_of(&self, metrics: &RaftMetrics<TypeConfig>) -> Vec<Member> {
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let member = |(id, server): (&u64, &Server)| Member {
            id: *id,
            server: server.clone(),
            voter: voters.contains(id),
            leader: metrics.current_leader == Some(*id),
            alive: *id == metrics.id || self.known.is_alive(*id, HEARD_WITHIN),
        };
        membership.nodes().map(member).collect()
    }

    /// Notes whether this server's disk is too slow for a leader's: the others are told.
    pub fn note_disk(&self, is_slow: bool) {
        self.slow_disk.store(is_slow, Ordering::Relaxed);
    }

    /// The other voters that are heard of and whose disks are well, if they are enough to do without this server.
    pub fn well_without_this(&self) -> Option<Vec<u64>> {
        let others = self.other_voters();
        let quorum = others.len().div_ceil(2) + 1;
        let is_well = |id: &u64| self.known.is_alive(*id, HEARD_WITHIN) && !self.known.has_slow_disk(*id);
        let well: Vec<u64> = others.into_iter().filter(is_well).collect();
        (well.len() >= quorum).then_some(well)
    }

    /// The other voters that are heard of, each with what it says that its disk has left.
    pub(crate) fn room_of_others(&self) -> Vec<(u64, DiskRoom)> {
        let heard_of = self.other_voters().into_iter().filter(|id| self.is_heard_of(*id));
        heard_of.map(|id| (id, self.known.disk_room(id))).collect()
    }

    /// Whether another server was heard of lately.
    pub(crate) fn is_heard_of(&self, id: u64) -> bool {
        self.known.is_alive(id, HEARD_WITHIN)
    }

    /// How far the other servers are, as far as that is measured.
    pub(crate) fn distances(&self) -> Distances {
        let others = self.members().into_iter().filter(|member| member.id != self.id());
        let measured = |member: Member| Some((member.server.name, self.known.round_trip(member.id)?));
        Distances { round_trips: others.filter_map(measured).collect() }
    }

    /// The ids of the other voters.
    pub fn other_voters(&self) -> Vec<u64> {
        let id = self.id();
        self.metrics().membership_config.membership().voter_ids().filter(|voter| *voter != id).collect()
    }

    /// Where the membership has a server.
    pub fn address_of(&self, id: u64) -> Option<String> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&id).map(|server| server.rpc_addr.clone())
    }

    /// Whether a member has failed, by what this server knows as the leader: it was not heard of for as long
    /// as this server leads, and that is long enough to say so.
    pub fn has_failed(&self, metrics: &RaftMetrics<TypeConfig>, member: &Member) -> bool {
        let is_silent = !answered_within(metrics, member.id, HEARD_WITHIN);
        // A leader is stamped when it is elected.
        is_silent && !member.alive && !self.contact.is_within(HEARD_WITHIN)
    }

    /// Whether a server answers this one, which leads, as one that is well does.
    pub(crate) fn answers(&self, metrics: &RaftMetrics<TypeConfig>, id: u64) -> bool {
        id == metrics.id || answered_within(metrics, id, self.lost_after)
    }

    /// For how long no leader is known here; nothing while one is.
    pub fn leaderless_for(&self) -> Duration {
        if self.known_leader() { Duration::ZERO } else { Duration::from_millis(self.contact.age_ms()) }
    }

    /// The log index of the membership in force.
    pub fn membership_index(&self) -> u64 {
        self.metrics().membership_config.log_id().as_ref().map_or(0, |id| id.index)
    }
}

/// Whether a server has answered this one, which leads, within `age`.
fn answered_within(metrics: &RaftMetrics<TypeConfig>, id: u64, age: Duration) -> bool {
    let acked = metrics.heartbeat.as_ref().and_then(|acked| acked.get(&id).copied().flatten());
    acked.is_some_and(|acked| acked.elapsed() < age)
}
