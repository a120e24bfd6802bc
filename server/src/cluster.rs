//! What this server knows of the cluster: who leads, who belongs, how fresh its own state is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use ordu_core::command::FEATURE_LEVEL;
use ordu_core::limits::{LEADER_WAIT_MS_MAX, VOTER_LAG_ENTRIES_MAX};
use ordu_proto::server::{DiskRoom, ServerLevel, Standing};
use ordu_store::codec::log_id_to_pb;
use ordu_store::state_machine::StateMachine;
use ordu_store::types::{LogId, Server, TypeConfig};

use crate::contact::Contact;
use crate::disk_space::DiskSpace;
use crate::distances::Distances;
use crate::membership::levels::RELEASE;
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

/// Which voters a server reaches.
pub(crate) struct Reach {
    /// All voters.
    pub(crate) voters: usize,
    /// Those that it does not reach.
    pub(crate) unreached: Vec<Member>,
    /// Whether it and those that it reaches are a quorum.
    pub(crate) has_quorum: bool,
}

impl Reach {
    /// The unreached with their addresses, as an operator reads them.
    pub(crate) fn unreached_text(&self) -> String {
        let named = |it: &Member| format!("{} at {}", it.server.name, it.server.rpc_addr);
        self.unreached.iter().map(named).collect::<Vec<_>>().join(", ")
    }
}

/// How far a server is behind.
#[derive(Clone, Copy)]
pub(crate) struct Lag {
    /// The log index that it has applied last.
    pub(crate) applied_index: u64,
    /// The highest that it has heard to be committed.
    pub(crate) committed_index: u64,
    /// Whether it has what was committed when it first heard of a leader, and is not far behind since.
    pub(crate) has_caught_up: bool,
}

impl Lag {
    /// Entries that are committed and not applied here.
    pub(crate) fn entries(&self) -> u64 {
        self.committed_index.saturating_sub(self.applied_index)
    }
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
/// While no leader is known they greet each other several times a second: one that is silent for so long is missed.
const MISSED_WITHIN: Duration = Duration::from_millis(1_500);
/// After this many of the greatest election timeout without a sign, a leader is not counted on.
const LOST_AFTER_TIMEOUTS: u32 = 4;

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
            self.unanswered(&metrics) < self.lost_after
        } else {
            self.contact.is_within(self.lost_after)
        };
        is_current.then_some(leader)
    }

    /// For how long no quorum has answered this server, which raft has for the leader. Before the first answer it is
    /// the votes that speak for it.
    fn unanswered(&self, metrics: &RaftMetrics<TypeConfig>) -> Duration {
        if metrics.membership_config.voter_ids().all(|voter| voter == metrics.id) {
            return Duration::ZERO;
        }
        let acked = metrics.last_quorum_acked.map(|acked| acked.elapsed());
        acked.into_iter().chain(self.contact.age()).min().unwrap_or(Duration::MAX)
    }

    /// Notes for the others, where this server is raft's leader, for how long no quorum has answered it: they hear of
    /// it all the same.
    pub(crate) fn note_unanswered(&self) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leads = metrics.current_leader == Some(metrics.id);
        let unanswered = if leads { self.unanswered(&metrics) } else { Duration::ZERO };
        if let Some(acked) = metrics.last_quorum_acked.filter(|_| leads) {
            self.contact.answered(acked.elapsed());
        }
        // Shorter ones are those of every heartbeat.
        let told =
            if unanswered > self.lost_after / LOST_AFTER_TIMEOUTS { unanswered } else { Duration::ZERO };
        self.contact.note_unanswered(u64::try_from(told.as_millis()).unwrap_or(u64::MAX));
    }

    /// Returns once raft knows here that a server other than `leader` leads: what that one was asked is to be
    /// asked anew. Never once raft has stopped.
    pub async fn another_leads(&self, leader: u64) -> u64 {
        let mut metrics = self.raft.server_metrics();
        loop {
            let current = metrics.borrow_watched().current_leader;
            if let Some(another) = current.filter(|current| *current != leader) {
                return another;
            }
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
        last.is_some_and(|index| index > 0) && self.contact.follows()
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
        if metrics.current_leader != Some(metrics.id) {
            return self.contact.age_ms();
        }
        // A leader that is answered is current; one that is cut off ages like the others.
        let unanswered = self.unanswered(&metrics);
        if unanswered < self.lost_after {
            return 0;
        }
        u64::try_from(unanswered.as_millis()).unwrap_or(u64::MAX).min(self.contact.age_ms())
    }

    /// Notes that this server was elected: until a quorum has answered, the votes speak for it.
    pub fn note_elected(&self) {
        self.contact.elected();
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

    /// What each member has told of its release last, by id.
    pub(crate) fn levels(&self) -> Vec<ServerLevel> {
        let level = |member: Member| {
            let known = match member.id == self.id() {
                true => Some((FEATURE_LEVEL, RELEASE.to_owned())),
                false => self.known.feature_level(member.id),
            };
            let (level, release) = known.unwrap_or_default();
            ServerLevel {
                id: member.id,
                name: member.server.name,
                rpc_addr: member.server.rpc_addr,
                level,
                release,
            }
        };
        self.members().into_iter().map(level).collect()
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
        let leads_for_long = self.contact.elected_ago().is_some_and(|age| age >= HEARD_WITHIN);
        is_silent && !member.alive && leads_for_long
    }

    /// Whether a server answers this one, which leads, as one that is well does.
    pub(crate) fn answers(&self, metrics: &RaftMetrics<TypeConfig>, id: u64) -> bool {
        id == metrics.id || answered_within(metrics, id, self.lost_after)
    }

    /// For how long no leader is known here; nothing while one is.
    pub fn leaderless_for(&self) -> Duration {
        if self.known_leader() { Duration::ZERO } else { Duration::from_millis(self.last_contact_ms()) }
    }

    /// Whether no request waits for a leader any more: there is none for long, or this server is still to be taken into
    /// a cluster that others can be asked about.
    pub(crate) fn is_given_up(&self) -> bool {
        if self.known_leader() {
            return false;
        }
        let is_stranger = self.metrics().membership_config.membership().voter_ids().next().is_none();
        self.leaderless_for() > Duration::from_millis(LEADER_WAIT_MS_MAX)
            || is_stranger && self.known.is_formed()
    }

    /// Whether a leader was heard of within the greatest election timeout, or this server is one.
    pub(crate) fn is_in_touch(&self) -> bool {
        Duration::from_millis(self.last_contact_ms()) < self.lost_after / LOST_AFTER_TIMEOUTS
    }

    /// The voters that this server does not reach, as far as it can say, and whether those that it reaches, itself
    /// among them, are a quorum.
    pub(crate) fn reach(&self) -> Reach {
        let metrics = self.metrics();
        let voters: Vec<Member> = self.members_of(&metrics).into_iter().filter(|it| it.voter).collect();
        // Who looks for a leader greets the others more often.
        let within = if self.known_leader() { HEARD_WITHIN } else { self.lost_after.max(MISSED_WITHIN) };
        let is_reached = |it: &Member| {
            let leads = metrics.current_leader == Some(metrics.id);
            it.id == metrics.id
                || if leads { self.answers(&metrics, it.id) } else { self.known.is_alive(it.id, within) }
        };
        let quorum = voters.len() / 2 + 1;
        let count = voters.len();
        let unreached: Vec<Member> = voters.into_iter().filter(|it| !is_reached(it)).collect();
        Reach { voters: count, has_quorum: count - unreached.len() >= quorum, unreached }
    }

    /// How far this server is behind what is committed, as far as it has heard.
    pub(crate) fn lag(&self) -> Lag {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: Option<&LogId>| id.map_or(0, |id| id.index);
        let applied_index = index(metrics.last_applied.as_ref());
        let committed_index = index(metrics.local_committed.as_ref()).max(self.contact.committed_index());
        let has_caught_up = applied_index >= self.contact.first_committed_index()
            && committed_index.saturating_sub(applied_index) <= VOTER_LAG_ENTRIES_MAX;
        Lag { applied_index, committed_index, has_caught_up }
    }

    /// The log index of the membership in force.
    pub fn membership_index(&self) -> u64 {
        self.metrics().membership_config.log_id().as_ref().map_or(0, |id| id.index)
    }
}

/// How long ago a server was sent what it has answered this one last, which leads; `None` where it never has.
pub(crate) fn answered_ago(metrics: &RaftMetrics<TypeConfig>, id: u64) -> Option<Duration> {
    let acked = metrics.heartbeat.as_ref().and_then(|acked| acked.get(&id).copied().flatten());
    acked.map(|acked| acked.elapsed())
}

/// Whether a server has answered this one, which leads, within `age`.
fn answered_within(metrics: &RaftMetrics<TypeConfig>, id: u64, age: Duration) -> bool {
    answered_ago(metrics, id).is_some_and(|ago| ago < age)
}
