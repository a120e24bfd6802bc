//! Linearizable reads at any server: the leader confirms through a quorum that it still leads, and this
//! server waits until it has applied what was committed at that time. Waiting reads share a round.

use std::time::Duration;

use openraft::ReadPolicy;
use ordu_core::limits::{LEADER_WAIT_MS_MAX, VOTER_LAG_ENTRIES_MAX};
use ordu_proto::server::ReadIndexRequest;
use ordu_store::state_machine::State;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::cluster::{Cluster, Member};
use crate::error::ReadError;
use crate::membership::ClusterId;
use crate::options::RaftTiming;
use crate::peers::Peers;

type Asker = oneshot::Sender<Result<u64, ReadError>>;

/// Confirms reads. A cheap handle.
#[derive(Clone)]
pub struct ReadIndex {
    state: State,
    askers: mpsc::UnboundedSender<Asker>,
}

/// Timeout of one round, at rack-scale timing; then another round is tried.
const ROUND_TIMEOUT: Duration = Duration::from_millis(1_000);

impl ReadIndex {
    /// Starts the task that runs the rounds.
    pub fn start(
        cluster: Cluster,
        state: State,
        peers: Peers,
        cluster_id: ClusterId,
        timing: RaftTiming,
    ) -> Self {
        let (askers, asked) = mpsc::unbounded_channel();
        let rounds = Rounds { cluster, peers, cluster_id, round_time_max: timing.scaled(ROUND_TIMEOUT, 5) };
        tokio::spawn(rounds.run(asked));
        Self { state, askers }
    }

    /// Waits until a read of this server's state sees every write acknowledged before the call.
    pub async fn confirm(&self) -> Result<(), ReadError> {
        let index = self.index().await?;
        let lacks = index.saturating_sub(self.state.applied_index());
        if lacks > VOTER_LAG_ENTRIES_MAX {
            return Err(ReadError::Behind(lacks));
        }
        if lacks > 0 {
            let applied = self.state.wait_applied(index);
            timeout(Duration::from_millis(LEADER_WAIT_MS_MAX), applied)
                .await
                .map_err(|_| ReadError::Unconfirmed(format!("log entry {index} is not applied here yet")))?;
        }
        Ok(())
    }

    /// Returns the log index that must be applied before the read.
    pub async fn index(&self) -> Result<u64, ReadError> {
        let (asker, answer) = oneshot::channel();
        let stopped = || ReadError::Unconfirmed("this server is shutting down".to_owned());
        self.askers.send(asker).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

struct Rounds {
    cluster: Cluster,
    peers: Peers,
    cluster_id: ClusterId,
    round_time_max: Duration,
}

impl Rounds {
    async fn run(self, mut asked: mpsc::UnboundedReceiver<Asker>) {
        let mut askers = Vec::new();
        // Requests that arrive during a round share the next one: a round is valid only for requests made
        // before it began.
        while asked.recv_many(&mut askers, usize::MAX).await > 0 {
            let answer = self.round().await;
            for asker in askers.drain(..) {
                // The receiver may have been dropped.
                let _ = asker.send(answer.clone());
            }
        }
    }

    async fn round(&self) -> Result<u64, ReadError> {
        let start = Instant::now();
        let mut last = ReadError::NoLeader;
        while start.elapsed() < Duration::from_millis(LEADER_WAIT_MS_MAX) {
            let attempt = timeout(self.round_time_max, self.attempt()).await;
            match attempt {
                Ok(Ok(index)) => return Ok(index),
                Ok(Err(error)) => last = error,
                Err(_) => {
                    last = ReadError::Unconfirmed(format!("no answer in {} s", self.round_time_max.as_secs()))
                }
            }
            if self.cluster.is_given_up() {
                return Err(ReadError::NoLeader);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(last)
    }

    async fn attempt(&self) -> Result<u64, ReadError> {
        let leader = self.cluster.leader().ok_or(ReadError::NoLeader)?;
        tokio::select! {
            index = self.ask(&leader) => index,
            _ = self.cluster.another_leads(leader.id) => {
                Err(ReadError::Unconfirmed("its leader was deposed before it answered".to_owned()))
            }
        }
    }

    async fn ask(&self, leader: &Member) -> Result<u64, ReadError> {
        let unconfirmed = |reason: String| ReadError::Unconfirmed(reason);
        if leader.id == self.cluster.id() {
            let confirmed = self.cluster.raft().get_read_log_id(ReadPolicy::ReadIndex).await;
            let (read_log_id, _) = confirmed.map_err(|error| unconfirmed(error.to_string()))?;
            return Ok(read_log_id.log_id().index);
        }
        let address = self.peers.address_of(leader.id, &leader.server);
        let mut client = self.peers.server(&address).map_err(|status| unconfirmed(status.to_string()))?;
        let request = ReadIndexRequest { cluster_id: self.cluster_id.get() };
        let reply =
            client.read_index(request).await.map_err(|status| unconfirmed(status.message().to_owned()))?;
        reply.into_inner().log_id.map(|id| id.index).ok_or_else(|| unconfirmed("an empty answer".to_owned()))
    }
}
