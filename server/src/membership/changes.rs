//! Membership changes: one at a time, by the leader, each in its own task.
//!
//! Raft changes voters in two entries, a joint configuration and then the final one, and only the caller
//! proposes the second. So changes do not run in request handlers, which may be cancelled in between. If a
//! leader fails in between, the next leader completes the change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::raft::Precondition;
use ordu_core::limits::ADMISSIONS_MAX;
use ordu_proto::server::{Peer, PeerChoice, peer_choice};
use ordu_proto::state::AutopilotConfig;
use ordu_store::state_machine::State;
use ordu_store::types::{Server, TypeConfig};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use tonic::Status;

use super::levels;
use crate::cluster::{Cluster, HEARD_WITHIN, Member};

/// Pause before a failed change is retried.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How long the new leader may take to appear after a handover.
const SUCCESSION_TIMEOUT: Duration = Duration::from_secs(2);

/// Changes the membership while this server leads. A cheap handle.
#[derive(Clone)]
pub struct Changes {
    cluster: Cluster,
    /// Provides the cluster's feature level.
    state: State,
    /// Held during a change.
    turn: Arc<Mutex<()>>,
    admissions: Arc<Semaphore>,
}

type Change = ChangeMembers<u64, Server>;

/// Risks that an operator has explicitly accepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Force {
    /// Remove a server that is alive. Unless it is stopped, it asks to join again.
    pub living: bool,
    /// Remove a server although the remaining voters then lack a majority of live ones. Until enough others
    /// return, nothing can be committed.
    pub without_majority: bool,
}

/// Error text: every membership change needs a majority of the present voters.
pub(crate) const QUORUM_LOST: &str = "no server can be removed, since that takes a majority of the present voters: start \
    those that are away again. Where they are lost for good, `ordu server recover` makes a new cluster of what one server has";

fn failed(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("the membership cannot be changed now: {error}"))
}

impl Changes {
    /// Creates the handle for `cluster`'s membership.
    pub fn new(cluster: Cluster, state: State) -> Self {
        Self { cluster, state, turn: Arc::default(), admissions: Arc::new(Semaphore::new(ADMISSIONS_MAX)) }
    }

    /// Returns the lock to hold while changing the membership or relying on its not changing.
    pub(super) fn turn(&self) -> &Mutex<()> {
        &self.turn
    }

    /// Adds a server as a learner; once it is healthy, [`super::autopilot`] makes it a voter. Updates the
    /// address of a known server. `feature_level` is the highest level that its release supports. Once begun,
    /// the change completes even if the caller stops waiting.
    ///
    /// # Errors
    /// Returned if this server does not lead, the change fails, `feature_level` is below the cluster's, or a
    /// live member has the same name.
    pub async fn admit(&self, peer: Peer, feature_level: u32) -> Result<(), Status> {
        let Some(server) = peer.server.filter(|server| !server.rpc_addr.is_empty() && peer.id != 0) else {
            return Err(Status::invalid_argument("a server that joins says its id and its address"));
        };
        let permit = self.admissions.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{ADMISSIONS_MAX} requests to join are under way; ask again"))
        })?;
        let changes = self.clone();
        let admission = tokio::spawn(async move {
            let _permit = permit;
            changes.make_known(peer.id, &server, feature_level).await
        });
        admission
            .await
            .map_err(|error| Status::internal(format!("the request to join was not worked on: {error}")))?
    }

    /// Completes joint configurations that were left over while this server leads.
    ///
    /// # Errors
    /// Returned when raft has stopped.
    pub async fn keep_uniform(self) -> Result<(), String> {
        let mut metrics = self.cluster.raft().server_metrics();
        loop {
            let is_left_joint = {
                let metrics = metrics.borrow_watched();
                let is_joint = metrics.membership_config.membership().get_joint_config().len() > 1;
                is_joint && metrics.current_leader == Some(metrics.id)
            };
            if is_left_joint {
                // A running change makes the configuration uniform itself before it releases the lock.
                let _turn = self.turn.lock().await;
                if let Err(status) = self.make_uniform().await {
                    tracing::debug!(reason = status.message(), "the membership is still joint");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
            }
            if metrics.changed().await.is_err() {
                return Err("raft has stopped, this server leaves service".to_owned());
            }
        }
    }

    /// Adds an unknown server as a learner, or updates the address of a known one.
    async fn make_known(&self, id: u64, server: &Server, feature_level: u32) -> Result<(), Status> {
        let _turn = self.turn.lock().await;
        let level = self.state.feature_level();
        if feature_level < level {
            let (name, address) = (&server.name, &server.rpc_addr);
            let text = levels::too_old(&format!("{name} at {address}"), "an older one", feature_level, level);
            tracing::warn!("a server that asks to join is refused: {text}");
            return Err(Status::failed_precondition(text));
        }
        self.make_uniform().await?;
        let metrics = self.cluster.metrics();
        let members = self.cluster.members_of(&metrics);
        let Some(known) = members.iter().find(|member| member.id == id) else {
            self.former(&metrics, &members, id, server)?;
            tracing::info!(name = server.name, address = server.rpc_addr, "a server joins");
            let change = Change::AddNodes([(id, server.clone())].into());
            return self.change(&metrics, change, true).await;
        };
        if known.server != *server {
            tracing::info!(
                name = server.name,
                from = known.server.rpc_addr,
                to = server.rpc_addr,
                "a server has moved"
            );
            let change = Change::SetNodes([(id, server.clone())].into());
            self.change(&metrics, change, true).await?;
        }
        Ok(())
    }

    /// Makes a learner a voter. It replaces the failed voter of the same name if there is one, or else
    /// another failed voter if `config` allows.
    ///
    /// # Errors
    /// Returned if the change fails, or would leave the voters without a live majority.
    pub(super) async fn promote(&self, id: u64, config: &AutopilotConfig) -> Result<(), Status> {
        let _turn = self.turn.lock().await;
        self.make_uniform().await?;
        let metrics = self.cluster.metrics();
        let members = self.cluster.members_of(&metrics);
        let Some(me) = members.iter().find(|member| member.id == id) else {
            return Err(Status::unavailable("it was removed from the membership meanwhile"));
        };
        if me.voter {
            return Ok(());
        }
        let (namesake, learners) = self.former(&metrics, &members, id, &me.server)?;
        let has_failed = |it: &&Member| it.voter && self.cluster.has_failed(&metrics, it);
        // A failed voter of the same name will not return. Of other failed voters replace only one per new
        // voter: they may return, and a quorum must exist then, too.
        let left = members.iter().filter(|it| it.voter).count() as u64;
        let may_go = config.cleanup_dead_servers && left >= config.min_quorum;
        let failed = || members.iter().filter(|_| may_go).find(has_failed).map(|it| it.id);
        let former = namesake.or_else(failed);
        let voters = members.iter().filter(|it| it.voter && Some(it.id) != former).chain([me]);
        self.must_have_a_majority(&metrics, voters)?;
        let mut steps = vec![Change::AddVoterIds([id].into())];
        if let Some(voter) = former {
            steps.push(Change::RemoveVoters([voter].into()));
        }
        if !learners.is_empty() {
            steps.push(Change::RemoveNodes(learners));
        }
        self.change(&metrics, Change::Batch(steps), false).await?;
        let name = &me.server.name;
        match former.and_then(|former| members.iter().find(|it| it.id == former)) {
            Some(former) if former.server.name == *name => {
                tracing::info!(name, former = former.id, "a server votes in its former self's place");
            }
            Some(former) => {
                tracing::info!(
                    name,
                    failed = former.server.name,
                    "a server votes in the place of one that has failed"
                );
            }
            None => tracing::info!(name, "a server votes"),
        }
        Ok(())
    }

    /// Removes a failed learner. If it returns, it asks to join again.
    ///
    /// # Errors
    /// Returned if the change fails.
    pub(super) async fn forget(&self, id: u64) -> Result<(), Status> {
        let _turn = self.turn.lock().await;
        self.make_uniform().await?;
        let metrics = self.cluster.metrics();
        let members = self.cluster.members_of(&metrics);
        let is_gone = |it: &&Member| it.id == id && !it.voter && self.cluster.has_failed(&metrics, it);
        let Some(learner) = members.iter().find(is_gone) else { return Ok(()) };
        self.change(&metrics, Change::RemoveNodes([id].into()), false).await?;
        tracing::info!(
            name = learner.server.name,
            "a server that has gone before it could vote is forgotten"
        );
        Ok(())
    }

    /// Removes a failed server, or by force another one. Once begun, the change completes even if the caller
    /// stops waiting.
    ///
    /// # Errors
    /// Returned if there is no such server, it leads, or the change fails. Without `force`, also if it is
    /// alive or its removal would leave no live majority.
    pub async fn remove(&self, choice: PeerChoice, force: Force) -> Result<(), Status> {
        let changes = self.clone();
        let removal = tokio::spawn(async move { changes.remove_chosen(&choice, force).await });
        removal.await.map_err(|error| Status::internal(format!("the removal was not worked on: {error}")))?
    }

    async fn remove_chosen(&self, choice: &PeerChoice, force: Force) -> Result<(), Status> {
        let _turn = self.turn.lock().await;
        let metrics = self.cluster.metrics();
        let members = self.cluster.members_of(&metrics);
        if self.must_have_a_majority(&metrics, members.iter().filter(|it| it.voter)).is_err() {
            return Err(Status::failed_precondition(QUORUM_LOST));
        }
        self.make_uniform().await?;
        let metrics = self.cluster.metrics();
        let members = self.cluster.members_of(&metrics);
        let chosen = chosen(&members, choice)?;
        let name = &chosen.server.name;
        let has_failed = self.cluster.has_failed(&metrics, chosen);
        if !has_failed && !force.living {
            return Err(Status::failed_precondition(format!(
                "{name} was heard of in the last {} s or so, or this leader is younger than that: one that lives asks to \
                 join again, so stop it, wait, and ask again, or have it removed living by force (force_living, \
                 -force-living)",
                HEARD_WITHIN.as_secs()
            )));
        }
        if chosen.id == metrics.id {
            return Err(Status::failed_precondition(format!(
                "{name} leads: hand leadership to another server before it is removed"
            )));
        }
        let rest = members.iter().filter(|it| it.voter && it.id != chosen.id);
        if let Err(status) = self.must_have_a_majority(&metrics, rest) {
            let why = status.message();
            if !force.without_majority {
                return Err(Status::failed_precondition(format!(
                    "{why}: start the others again first. By force (force_without_majority, -force-without-majority) it \
                     is removed all the same, and nothing is decided any more before enough of them are back"
                )));
            }
            tracing::warn!(name, "an operator has a server removed by force: {why}");
        }
        let gone = [chosen.id].into();
        let change = if chosen.voter { Change::RemoveVoters(gone) } else { Change::RemoveNodes(gone) };
        self.change(&metrics, change, false).await?;
        let what = if has_failed { "a server that has failed" } else { "a server that lives" };
        tracing::info!(name, id = chosen.id, "an operator has removed {what}");
        Ok(())
    }

    /// Transfers leadership to the chosen voter, or to the one with the most complete log. Returns the old
    /// and the new leader.
    ///
    /// # Errors
    /// Returned if there is no such server, it is no voter, does not answer, or does not take over.
    pub async fn hand_over(&self, choice: Option<PeerChoice>) -> Result<(Member, Member), Status> {
        // Hold the lock so that the new leader is not removed from the voters meanwhile.
        let _turn = self.turn.lock().await;
        let metrics = self.cluster.metrics();
        let members = self.cluster.members_of(&metrics);
        let me = members.iter().find(|it| it.id == metrics.id);
        let me = me.filter(|_| self.cluster.is_leader());
        let me = me.ok_or_else(|| Status::unavailable("this server does not lead"))?;
        let chosen = choice.map(|choice| chosen(&members, &choice)).transpose()?;
        if chosen.is_some_and(|chosen| chosen.id == me.id) {
            return Ok((me.clone(), me.clone()));
        }
        let is_fit = |it: &Member| it.id != me.id && it.voter && self.cluster.answers(&metrics, it.id);
        if let Some(chosen) = chosen.filter(|chosen| !is_fit(chosen)) {
            let why = if chosen.voter { "does not answer this leader" } else { "does not vote" };
            return Err(Status::failed_precondition(format!("{} {why}", chosen.server.name)));
        }
        let fit: Vec<u64> = members.iter().filter(|it| is_fit(it)).map(|it| it.id).collect();
        if fit.is_empty() {
            return Err(Status::failed_precondition("no other voter answers this leader"));
        }
        let may_lead = |id| chosen.map_or_else(|| fit.contains(&id), |chosen| chosen.id == id);
        crate::leader::hand_over(&self.cluster, may_lead).await;
        // There may be a moment without a leader.
        let leader = timeout(SUCCESSION_TIMEOUT, self.cluster.another_leads(me.id)).await;
        let to = leader.ok().and_then(|leader| members.iter().find(|it| it.id == leader));
        let to =
            to.ok_or_else(|| Status::unavailable("no other server took leadership over in time; ask again"))?;
        Ok((me.clone(), to.clone()))
    }

    /// Returns an error unless a majority of `voters` answers this leader.
    fn must_have_a_majority<'a>(
        &self,
        metrics: &RaftMetrics<TypeConfig>,
        voters: impl Iterator<Item = &'a Member>,
    ) -> Result<(), Status> {
        let (living, dead): (Vec<_>, Vec<_>) = voters.partition(|it| self.cluster.answers(metrics, it.id));
        if living.len() > dead.len() {
            return Ok(());
        }
        let (living, all) = (living.len(), living.len() + dead.len());
        let text = format!("{living} of {all} voters would be alive then, which is no majority");
        Err(Status::failed_precondition(text))
    }

    /// Returns the failed members of the same name that a server replaces: at most one voter, so that
    /// duplicate names by mistake cannot cost the quorum, and all learners.
    fn former(
        &self,
        metrics: &RaftMetrics<TypeConfig>,
        members: &[Member],
        id: u64,
        server: &Server,
    ) -> Result<(Option<u64>, BTreeSet<u64>), Status> {
        let namesakes = || members.iter().filter(|it| it.id != id && it.server.name == server.name);
        if let Some(alive) = namesakes().find(|it| !self.cluster.has_failed(metrics, it)) {
            return Err(Status::failed_precondition(format!(
                "a member named {} is at {} and was heard of in the last {} s or so: give this server another name, \
                 or, if it is to take that one's place, stop that one and wait",
                server.name,
                alive.server.rpc_addr,
                HEARD_WITHIN.as_secs()
            )));
        }
        let voter = namesakes().find(|it| it.voter).map(|it| it.id);
        Ok((voter, namesakes().filter(|it| !it.voter).map(|it| it.id).collect()))
    }

    /// Completes a change that was interrupted in the joint configuration. The caller must hold the lock.
    async fn make_uniform(&self) -> Result<(), Status> {
        let metrics = self.cluster.metrics();
        if metrics.membership_config.membership().get_joint_config().len() < 2 {
            return Ok(());
        }
        tracing::info!("completing a change of membership that was cut in the middle");
        // From a joint configuration, any change leads to its final one; this empty change does nothing else.
        self.change(&metrics, Change::AddVoterIds(BTreeSet::new()), false).await
    }

    /// Changes the membership, provided that it is still the one in `seen`. The caller must hold the lock.
    async fn change(
        &self,
        seen: &RaftMetrics<TypeConfig>,
        change: Change,
        retain: bool,
    ) -> Result<(), Status> {
        let unchanged =
            Precondition::LastMembershipLogId { last_membership_log_id: *seen.membership_config.log_id() };
        let changed = self.cluster.raft().change_membership_if(change, retain, [unchanged]).await;
        changed.map(|_| ()).map_err(failed)
    }
}

/// Returns the member that an operator chose.
fn chosen<'a>(members: &'a [Member], choice: &PeerChoice) -> Result<&'a Member, Status> {
    let (found, named) = match &choice.by {
        Some(peer_choice::By::Id(id)) => (members.iter().find(|it| it.id == *id), format!("the id {id}")),
        Some(peer_choice::By::Address(address)) => {
            (members.iter().find(|it| it.server.rpc_addr == *address), format!("the address {address}"))
        }
        None => return Err(Status::invalid_argument("a server is named by its id or its address")),
    };
    found.ok_or_else(|| {
        let known =
            members.iter().map(|it| format!("{} ({}, {})", it.server.name, it.id, it.server.rpc_addr));
        let known: Vec<String> = known.collect();
        Status::not_found(format!("no server has {named}; there are {}", known.join(", ")))
    })
}

/// Returns the last log index that a server is known to have; `None` if this server does not lead.
pub(super) fn replicated(metrics: &RaftMetrics<TypeConfig>, id: u64) -> Option<Option<u64>> {
    let replication = metrics.replication.as_ref()?;
    Some(replication.get(&id).copied().flatten().map(|log_id| log_id.index))
}
