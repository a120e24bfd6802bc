//! Changes of the membership: one at a time, by the leader, each in a task of its own.
//!
//! Raft changes voters by two entries, a joint configuration and then the new one alone, and nothing but
//! the caller goes from the first to the second. So the caller must be no one who may go away in between,
//! as a request does; and whatever a leader that died has left joint, the leader of the day makes uniform.

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

/// Pause before a change that did not get through is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How long the server that leadership is handed to may take to show itself.
const SUCCESSION_TIMEOUT: Duration = Duration::from_secs(2);

/// Changes the membership while this server leads. A cheap handle.
#[derive(Clone)]
pub struct Changes {
    cluster: Cluster,
    /// Tells the cluster's feature level.
    state: State,
    /// Held by the one change under way.
    turn: Arc<Mutex<()>>,
    admissions: Arc<Semaphore>,
}

type Change = ChangeMembers<u64, Server>;

/// What an operator has done although it is advised against, each in so many words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Force {
    /// Remove a server that lives: unless it is stopped, it asks to join again.
    pub living: bool,
    /// Remove one although the voters that are left have no majority of living ones. Nothing is decided then before
    /// enough of those that are away are back.
    pub without_majority: bool,
}

/// No change of the membership is decided without a majority of the voters that there are.
pub(crate) const QUORUM_LOST: &str = "no server can be removed, since that takes a majority of the present voters: start \
    those that are away again. Where they are lost for good, `ordu server recover` makes a new cluster of what one server has";

fn failed(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("the membership cannot be changed now: {error}"))
}

impl Changes {
    /// Changes of `cluster`'s membership.
    pub fn new(cluster: Cluster, state: State) -> Self {
        Self { cluster, state, turn: Arc::default(), admissions: Arc::new(Semaphore::new(ADMISSIONS_MAX)) }
    }

    /// Held by whoever changes the membership, or counts on it that no one does.
    pub(super) fn turn(&self) -> &Mutex<()> {
        &self.turn
    }

    /// Takes a server in as a learner whose release knows so high a feature level: once it is well, [`super::autopilot`] has it vote. A known server gets its new
    /// address. What has begun is carried through, whether the caller waits for it or not.
    ///
    /// # Errors
    /// When this server does not lead, when the change does not get through, when the server that asks knows less than the
    /// cluster's feature level, or when a member that lives has its name.
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

    /// Makes every configuration uniform that is left joint while this server leads.
    ///
    /// # Errors
    /// When raft has stopped.
    pub async fn keep_uniform(self) -> Result<(), String> {
        let mut metrics = self.cluster.raft().server_metrics();
        loop {
            let is_left_joint = {
                let metrics = metrics.borrow_watched();
                let is_joint = metrics.membership_config.membership().get_joint_config().len() > 1;
                is_joint && metrics.current_leader == Some(metrics.id)
            };
            if is_left_joint {
                // A change that is under way makes it uniform itself before the turn comes.
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

    /// Has the membership know a server by its present address, as a learner where it was unknown.
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

    /// Makes a learner a voter, in the place of its former self where there is one, or of another that has failed where
    /// `config` lets that one go.
    ///
    /// # Errors
    /// When the change does not get through, or would leave the living without a majority.
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
        // Its own former self never comes back. Of others one goes for one: who has failed may come back, and a quorum
        // must be left then as well.
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

    /// Removes a learner that has failed: if it comes back, it asks to join again.
    ///
    /// # Errors
    /// When the change does not get through.
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

    /// Removes a server that has failed, or another one by force. What has begun is carried through, whether the caller
    /// waits for it or not.
    ///
    /// # Errors
    /// When there is no such server, when it lives or the rest would be left without a majority of the living and that
    /// is not forced, when it leads, and when the change does not get through.
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

    /// Hands leadership to a voter, the chosen one or whoever has most of the log, and answers from whom to whom it went.
    ///
    /// # Errors
    /// When there is no such server, when it does not vote or does not answer, and when it does not take over.
    pub async fn hand_over(&self, choice: Option<PeerChoice>) -> Result<(Member, Member), Status> {
        // A voter that is removed meanwhile would be a leader that nobody counts.
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
        // Between the two there may be a moment without any.
        let leader = timeout(SUCCESSION_TIMEOUT, self.cluster.another_leads(me.id)).await;
        let to = leader.ok().and_then(|leader| members.iter().find(|it| it.id == leader));
        let to =
            to.ok_or_else(|| Status::unavailable("no other server took leadership over in time; ask again"))?;
        Ok((me.clone(), to.clone()))
    }

    /// Refuses voters of whom the living, by what this leader knows, would be too few.
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

    /// Which members a server takes the place of: the dead of its name, but of voters no more than one. So
    /// names that are the same by mistake cost no quorum.
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

    /// Completes what was cut between the joint and the uniform configuration. To be called in turn.
    async fn make_uniform(&self) -> Result<(), Status> {
        let metrics = self.cluster.metrics();
        if metrics.membership_config.membership().get_joint_config().len() < 2 {
            return Ok(());
        }
        tracing::info!("completing a change of membership that was cut in the middle");
        // From a joint configuration, any change leads to the new one alone, and this one to no other.
        self.change(&metrics, Change::AddVoterIds(BTreeSet::new()), false).await
    }

    /// Changes the membership that `seen` shows, and no other. To be called in turn.
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

/// The member that an operator means.
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

/// The last log index that a server is known to have; `None` where this server does not lead.
pub(super) fn replicated(metrics: &RaftMetrics<TypeConfig>, id: u64) -> Option<Option<u64>> {
    let replication = metrics.replication.as_ref()?;
    Some(replication.get(&id).copied().flatten().map(|log_id| log_id.index))
}
