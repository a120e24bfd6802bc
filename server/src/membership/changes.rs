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
use ordu_core::limits::{ADMISSIONS_MAX, VOTER_LAG_ENTRIES_MAX};
use ordu_proto::server::Peer;
use ordu_store::types::{Server, TypeConfig};
use tokio::sync::{Mutex, Semaphore};
use tonic::Status;

use crate::cluster::{Cluster, HEARD_WITHIN, Member};

/// How long one request to join waits for the server to have the log. It asks again.
const LOG_WAIT: Duration = Duration::from_secs(8);
/// Pause before a change that did not get through is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Changes the membership while this server leads. A cheap handle.
#[derive(Clone)]
pub struct Changes {
    cluster: Cluster,
    /// Held by the one change under way.
    turn: Arc<Mutex<()>>,
    admissions: Arc<Semaphore>,
}

type Change = ChangeMembers<u64, Server>;

fn failed(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("the membership cannot be changed now: {error}"))
}

impl Changes {
    /// Changes of `cluster`'s membership.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, turn: Arc::default(), admissions: Arc::new(Semaphore::new(ADMISSIONS_MAX)) }
    }

    /// Takes a server in: as a learner first, as a voter once it has the log. A known server gets its new
    /// address; one that comes back under a new id (its disk was wiped) takes the place of its former self.
    /// What has begun is carried through, whether the caller waits for it or not.
    ///
    /// # Errors
    /// When this server does not lead, when the change does not get through, or while the server that asks
    /// has not got the log: it may ask again.
    pub async fn admit(&self, peer: Peer) -> Result<(), Status> {
        let Some(server) = peer.server.filter(|server| !server.rpc_addr.is_empty() && peer.id != 0) else {
            return Err(Status::invalid_argument("a server that joins says its id and its address"));
        };
        let permit = self.admissions.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{ADMISSIONS_MAX} requests to join are under way; ask again"))
        })?;
        let changes = self.clone();
        let admission = tokio::spawn(async move {
            let _permit = permit;
            changes.take_in(peer.id, server).await
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

    async fn take_in(&self, id: u64, server: Server) -> Result<(), Status> {
        if self.make_known(id, &server).await? {
            return Ok(());
        }
        self.wait_for_log(id).await?;
        self.make_voter(id, &server).await
    }

    /// Has the membership know a server by its present address, as a learner where it was unknown; true if
    /// it votes.
    async fn make_known(&self, id: u64, server: &Server) -> Result<bool, Status> {
        let _turn = self.turn.lock().await;
        self.make_uniform().await?;
        let metrics = self.cluster.metrics();
        let members = self.cluster.members_of(&metrics);
        let Some(known) = members.iter().find(|member| member.id == id) else {
            self.former(&metrics, &members, id, server)?;
            tracing::info!(name = server.name, address = server.rpc_addr, "a server joins");
            let change = Change::AddNodes([(id, server.clone())].into());
            return self.change(&metrics, change, true).await.map(|()| false);
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
        Ok(known.voter)
    }

    /// Waits until a learner has the log: a voter without it would hold up every write.
    async fn wait_for_log(&self, id: u64) -> Result<(), Status> {
        let member_since = self.cluster.membership_index();
        let enough = |metrics: &RaftMetrics<TypeConfig>| {
            let last = metrics.last_log_index.unwrap_or_default();
            let needed = member_since.max(last.saturating_sub(VOTER_LAG_ENTRIES_MAX));
            replicated(metrics, id).is_none_or(|index| index.is_some_and(|index| index >= needed))
        };
        let waited = self.cluster.raft().wait(Some(LOG_WAIT)).metrics(enough, "a learner has the log").await;
        let metrics = waited.unwrap_or_else(|_| self.cluster.metrics());
        if metrics.replication.is_none() {
            return Err(Status::unavailable("this server does not lead any more"));
        }
        if enough(&metrics) {
            return Ok(());
        }
        let has = replicated(&metrics, id).flatten();
        Err(Status::unavailable(format!(
            "it cannot vote before it has the log: it has the entries up to {}, this server has them up to {}",
            has.map_or_else(|| "none".to_owned(), |index| index.to_string()),
            metrics.last_log_index.unwrap_or_default()
        )))
    }

    /// Makes a learner a voter, in the place of its former self where there is one.
    async fn make_voter(&self, id: u64, server: &Server) -> Result<(), Status> {
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
        let (voter, learners) = self.former(&metrics, &members, id, server)?;
        let mut steps = vec![Change::AddVoterIds([id].into())];
        if let Some(voter) = voter {
            steps.push(Change::RemoveVoters([voter].into()));
        }
        if !learners.is_empty() {
            steps.push(Change::RemoveNodes(learners));
        }
        self.change(&metrics, Change::Batch(steps), false).await?;
        match voter {
            Some(former) => {
                tracing::info!(name = server.name, former, "a server votes in its former self's place")
            }
            None => tracing::info!(name = server.name, "a server votes"),
        }
        Ok(())
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

/// The last log index that a server is known to have; `None` where this server does not lead.
fn replicated(metrics: &RaftMetrics<TypeConfig>, id: u64) -> Option<Option<u64>> {
    let replication = metrics.replication.as_ref()?;
    Some(replication.get(&id).copied().flatten().map(|log_id| log_id.index))
}
