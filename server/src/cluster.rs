//! This server's view of the cluster: leader, members, and how current its own state is.

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

/// Whether raft runs. A request passed to raft while it runs may take effect even if raft stops afterwards.
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
    /// Whether it is a voter.
    pub voter: bool,
    /// Whether it is the leader.
    pub leader: bool,
    /// Whether this server has heard from it recently.
    pub alive: bool,
}

/// Which voters a server reaches.
pub(crate) struct Reach {
    /// The number of voters.
    pub(crate) voters: usize,
    /// The voters that are not reached.
    pub(crate) unreached: Vec<Member>,
    /// Whether this server and the voters it reaches form a quorum.
    pub(crate) has_quorum: bool,
}

impl Reach {
    /// Returns the names and addresses of the unreached voters, for operators.
    pub(crate) fn unreached_text(&self) -> String {
        let named = |it: &Member| format!("{} at {}", it.server.name, it.server.rpc_addr);
        self.unreached.iter().map(named).collect::<Vec<_>>().join(", ")
    }
}

/// How far a server is behind.
#[derive(Clone, Copy)]
pub(crate) struct Lag {
    /// The last log index applied.
    pub(crate) applied_index: u64,
    /// The highest index known to be committed.
    pub(crate) committed_index: u64,
    /// Whether the server has applied the first commit index it heard from a leader since its start, and is
    /// not far behind now.
    pub(crate) has_caught_up: bool,
}

impl Lag {
    /// Returns the number of committed entries that are not applied here.
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

/// A server not heard from for this long counts as failed: it has missed three greetings, which go out every
/// two seconds.
pub(crate) const HEARD_WITHIN: Duration = Duration::from_secs(7);
/// As [`HEARD_WITHIN`], while no leader is known: servers then greet each other several times a second.
const MISSED_WITHIN: Duration = Duration::from_millis(1_500);
/// A leader silent for this multiple of the maximum election timeout counts as lost.
const LOST_AFTER_TIMEOUTS: u32 = 4;

impl Cluster {
    /// Creates the view of the cluster that `raft` belongs to.
    pub fn new(raft: Raft, contact: Arc<Contact>, known: Known, space: DiskSpace) -> Self {
        let lost_after = Duration::from_millis(raft.config().election_timeout_max) * LOST_AFTER_TIMEOUTS;
        let (is_retired, slow_disk) = Default::default();
        Self { raft, contact, known, lost_after, is_retired, slow_disk, space }
    }

    /// Returns the raft handle.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Whether raft still runs here, as far as it has reported.
    pub fn raft_runs(&self) -> bool {
        runs(&self.raft)
    }

    /// Returns a copy of raft's metrics; holding the borrow could block raft.
    pub fn metrics(&self) -> RaftMetrics<TypeConfig> {
        self.raft.metrics().borrow_watched().clone()
    }

    /// Returns this server's raft id.
    pub fn id(&self) -> u64 {
        *self.raft.node_id()
    }

    /// Returns the leader, as far as this server knows.
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

    /// Returns the raft id of the leader, as far as this server knows.
    ///
    /// Raft itself remembers the last leader until there is another. This method returns `None` if that
    /// leader has been silent for too long, or if this server is the leader and no quorum has answered it for
    /// too long.
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

    /// Returns for how long no quorum has answered this server, which raft considers the leader. Before the
    /// first answer the time counts from the election, since the votes prove a quorum.
    fn unanswered(&self, metrics: &RaftMetrics<TypeConfig>) -> Duration {
        if metrics.membership_config.voter_ids().all(|voter| voter == metrics.id) {
            return Duration::ZERO;
        }
        let acked = metrics.last_quorum_acked.map(|acked| acked.elapsed());
        acked.into_iter().chain(self.contact.age()).min().unwrap_or(Duration::MAX)
    }

    /// If this server is raft's leader, records for how long no quorum has answered it, to be sent with
    /// heartbeats: followers that still get heartbeats learn that the leader is cut off.
    pub(crate) fn note_unanswered(&self) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leads = metrics.current_leader == Some(metrics.id);
        let unanswered = if leads { self.unanswered(&metrics) } else { Duration::ZERO };
        if let Some(acked) = metrics.last_quorum_acked.filter(|_| leads) {
            self.contact.answered(acked.elapsed());
        }
        // Ignore times below the election timeout: they occur between any two heartbeats.
        let told =
            if unanswered > self.lost_after / LOST_AFTER_TIMEOUTS { unanswered } else { Duration::ZERO };
        self.contact.note_unanswered(u64::try_from(told.as_millis()).unwrap_or(u64::MAX));
    }

    /// Returns a leader other than `leader` once raft here knows one, so that requests sent to `leader` can be
    /// retried. Waits forever once raft has stopped.
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

    /// Whether this server holds data that other servers or clients may rely on: an applied or committed
    /// entry, or an entry from another leader after the first. (The first entry is only the initial set of
    /// voters.)
    pub fn holds_something(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let is_committed = metrics.last_applied.is_some() || metrics.local_committed.is_some();
        is_committed || self.is_from_others(metrics.last_log_index)
    }

    /// Whether the log up to index `last` may contain entries from another leader.
    pub fn is_from_others(&self, last: Option<u64>) -> bool {
        last.is_some_and(|index| index > 0) && self.contact.follows()
    }

    /// Returns the id of the last log entry that is synced to disk.
    pub fn synced(&self) -> Option<LogId> {
        self.raft.watch_log_progress().get().and_then(|flushed| flushed.last_log_id)
    }

    /// Returns what this server tells others about its raft state: only what is synced to disk.
    pub fn telling(&self) -> Telling {
        let synced = self.synced();
        let (term, committed) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            (metrics.vote.leader_id.term, metrics.local_committed)
        };
        // Raft may regard an entry as committed that others have synced and this server has not.
        let committed = committed.min(synced).as_ref().map(log_id_to_pb);
        let slow_disk = self.slow_disk.load(Ordering::Relaxed);
        let (formed, disk_room) = (self.holds_something(), self.space.room());
        Telling { formed, standing: Standing { term, committed }, slow_disk, disk_room }
    }

    /// Returns this server's term and last log id; `None` once raft has stopped.
    pub async fn has(&self) -> Option<Has> {
        let read = self.raft.with_raft_state(|state| {
            let last = state.log_ids.last().map(|last| (last.leader_id.term, last.index));
            Has { term: state.vote_ref().leader_id.term, last }
        });
        read.await.ok()
    }

    /// Returns the last log id that follower `id` has acknowledged, if this server leads.
    pub fn acknowledged_by(&self, id: u64) -> Option<ordu_proto::raft::LogId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.replication.as_ref()?.get(&id)?.as_ref().map(log_id_to_pb)
    }

    /// Stops raft for good, so that this server neither votes nor acknowledges entries. The rest of the
    /// server runs until it is shut down.
    pub async fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "raft did not end in order");
        }
    }

    /// Whether [`Self::retire`] was called.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
    }

    /// Returns the milliseconds since the leader was last heard from; 0 at the leader.
    pub fn last_contact_ms(&self) -> u64 {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.current_leader != Some(metrics.id) {
            return self.contact.age_ms();
        }
        // A leader that a quorum answers reports 0; one that is cut off ages like a follower.
        let unanswered = self.unanswered(&metrics);
        if unanswered < self.lost_after {
            return 0;
        }
        u64::try_from(unanswered.as_millis()).unwrap_or(u64::MAX).min(self.contact.age_ms())
    }

    /// Records that this server was elected: until a quorum has answered, its votes count as the last
    /// contact.
    pub fn note_elected(&self) {
        self.contact.elected();
    }

    /// Returns all servers, by id.
    pub fn members(&self) -> Vec<Member> {
        self.members_of(&self.metrics())
    }

    /// Returns all servers in `metrics`, by id.
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

    /// Records whether this server's disk is too slow for a leader; the other servers are told.
    pub fn note_disk(&self, is_slow: bool) {
        self.slow_disk.store(is_slow, Ordering::Relaxed);
    }

    /// Returns the other voters that are heard from and whose disks are fast enough, if they form a quorum
    /// without this server.
    pub fn well_without_this(&self) -> Option<Vec<u64>> {
        let others = self.other_voters();
        let quorum = others.len().div_ceil(2) + 1;
        let is_well = |id: &u64| self.known.is_alive(*id, HEARD_WITHIN) && !self.known.has_slow_disk(*id);
        let well: Vec<u64> = others.into_iter().filter(is_well).collect();
        (well.len() >= quorum).then_some(well)
    }

    /// Returns the other voters that are heard from, each with the disk space state it reports.
    pub(crate) fn room_of_others(&self) -> Vec<(u64, DiskRoom)> {
        let heard_of = self.other_voters().into_iter().filter(|id| self.is_heard_of(*id));
        heard_of.map(|id| (id, self.known.disk_room(id))).collect()
    }

    /// Returns the feature level and release that each member reported last, by id.
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

    /// Whether server `id` was heard from recently.
    pub(crate) fn is_heard_of(&self, id: u64) -> bool {
        self.known.is_alive(id, HEARD_WITHIN)
    }

    /// Returns the measured round trips to the other servers that are alive. What was measured of a server
    /// that has died no longer counts: nothing could correct it.
    pub(crate) fn distances(&self) -> Distances {
        let others = self.members().into_iter().filter(|member| member.id != self.id() && member.alive);
        let measured = |member: Member| Some((member.server.name, self.known.round_trip(member.id)?));
        Distances { round_trips: others.filter_map(measured).collect() }
    }

    /// Returns the ids of the other voters.
    pub fn other_voters(&self) -> Vec<u64> {
        let id = self.id();
        self.metrics().membership_config.membership().voter_ids().filter(|voter| *voter != id).collect()
    }

    /// Returns the RPC address of server `id` in the membership.
    pub fn address_of(&self, id: u64) -> Option<String> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&id).map(|server| server.rpc_addr.clone())
    }

    /// Whether this server, as the leader, considers a member failed: it has led for at least
    /// `HEARD_WITHIN`, and has not heard from the member for as long.
    pub fn has_failed(&self, metrics: &RaftMetrics<TypeConfig>, member: &Member) -> bool {
        let is_silent = !answered_within(metrics, member.id, HEARD_WITHIN);
        let leads_for_long = self.contact.elected_ago().is_some_and(|age| age >= HEARD_WITHIN);
        is_silent && !member.alive && leads_for_long
    }

    /// Whether server `id` has answered this leader recently enough.
    pub(crate) fn answers(&self, metrics: &RaftMetrics<TypeConfig>, id: u64) -> bool {
        id == metrics.id || answered_within(metrics, id, self.lost_after)
    }

    /// Returns for how long no leader is known here; zero while one is.
    pub fn leaderless_for(&self) -> Duration {
        if self.known_leader() { Duration::ZERO } else { Duration::from_millis(self.last_contact_ms()) }
    }

    /// Whether requests should no longer wait for a leader: there has been none for long, or this server has
    /// no membership yet and another server reports that the cluster is already formed.
    pub(crate) fn is_given_up(&self) -> bool {
        if self.known_leader() {
            return false;
        }
        let is_stranger = self.metrics().membership_config.membership().voter_ids().next().is_none();
        self.leaderless_for() > Duration::from_millis(LEADER_WAIT_MS_MAX)
            || is_stranger && self.known.is_formed()
    }

    /// Whether this server heard from a leader within the maximum election timeout, or is the leader.
    pub(crate) fn is_in_touch(&self) -> bool {
        Duration::from_millis(self.last_contact_ms()) < self.lost_after / LOST_AFTER_TIMEOUTS
    }

    /// Returns the voters that this server does not reach, and whether those it reaches (including itself)
    /// form a quorum.
    pub(crate) fn reach(&self) -> Reach {
        let metrics = self.metrics();
        let voters: Vec<Member> = self.members_of(&metrics).into_iter().filter(|it| it.voter).collect();
        // Servers without a leader greet each other more often.
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

    /// Returns how far this server is behind the highest commit index it has heard of.
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

    /// Returns the log index of the membership in force.
    pub fn membership_index(&self) -> u64 {
        self.metrics().membership_config.log_id().as_ref().map_or(0, |id| id.index)
    }
}

/// Returns the age of the last request that server `id` has answered to this leader; `None` if it never
/// answered.
pub(crate) fn answered_ago(metrics: &RaftMetrics<TypeConfig>, id: u64) -> Option<Duration> {
    let acked = metrics.heartbeat.as_ref().and_then(|acked| acked.get(&id).copied().flatten());
    acked.map(|acked| acked.elapsed())
}

/// Whether server `id` has answered this leader within `age`.
fn answered_within(metrics: &RaftMetrics<TypeConfig>, id: u64, age: Duration) -> bool {
    answered_ago(metrics, id).is_some_and(|ago| ago < age)
}
