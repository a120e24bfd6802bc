//! Proposes commands from any server: locally if this server leads, otherwise through the leader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use ordu_core::command::{
    Answer, Command, EncodedAnswer, Envelope, Needs, Outcome, Proposal, envelope, stamped,
};
use ordu_core::limits::{
    FORWARD_BATCH_MAX, FORWARD_BYTES_MAX, LEADER_WAIT_MS_MAX, LOG_ENTRY_BYTES_MAX, VOTER_LAG_ENTRIES_MAX,
    WRITE_WAIT_MS_MAX,
};
use ordu_proto::command::Refusal;
use ordu_proto::server::{ProposeRequest, propose_result};
use ordu_store::runtime::random_bytes;
use ordu_store::state_machine::State;
use ordu_store::types;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::batching::{ArrivalBounds, Arrivals, BatchBounds, Batched, gather};
use crate::clock::ServerClock;
use crate::cluster::{Cluster, Member};
use crate::disk_space::DiskSpace;
use crate::error::WriteError;
use crate::membership::{ClusterId, levels};
use crate::peers::Peers;

/// A write that was decided.
#[derive(Clone, Debug)]
pub struct Written<A> {
    /// The log index at which it was decided.
    pub index: u64,
    /// The command's answer.
    pub answer: A,
}

/// Proposes commands. A cheap handle.
#[derive(Clone)]
pub struct Writer {
    cluster: Cluster,
    state: State,
    forward: Forward,
    clock: ServerClock,
    space: DiskSpace,
}

/// Outcome of one attempt to propose.
enum Attempt {
    Decided(u64, Outcome),
    /// The command is in no log.
    NotProposed,
    /// The command is and will be in no log: the leader's release cannot decode it.
    Unreadable(String),
    /// Likewise: the leader's disk, or too many other disks, lack space.
    NoRoom(String),
    /// Likewise: the command needs a feature level that the cluster has not reached.
    AboveLevel(String),
    /// The command may or may not be in the log.
    Unknown(String),
    /// The command is in no log, and this server cannot propose it: its raft has stopped.
    Stopped,
}

/// Pause between attempts, unless the leader changes earlier.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

impl Writer {
    /// Creates this server's writer.
    pub fn new(
        cluster: Cluster,
        state: State,
        peers: Peers,
        cluster_id: ClusterId,
        clock: ServerClock,
        space: DiskSpace,
    ) -> Self {
        Self { forward: Forward { peers, cluster_id, queues: Arc::default() }, cluster, state, clock, space }
    }

    /// Proposes `command`, and returns once it is decided and applied here.
    ///
    /// The command carries a request id, so that it takes effect only once even if it is retried after a lost
    /// reply or a change of leaders.
    ///
    /// # Errors
    /// See [`WriteError`]; only after [`WriteError::Unknown`] may the command still take effect.
    pub async fn write<C: Command>(&self, command: C) -> Result<Written<C::Answer>, WriteError> {
        read(self.write_proposal(command.into()).await?)
    }

    async fn write_proposal(&self, command: Proposal) -> Result<Written<EncodedAnswer>, WriteError> {
        let mut request = envelope(Some(random_bytes()), 0, 0, command);
        request.head.earliest_index = self.state.applied_index() + 1;
        let needs = request.needs();
        let mut bytes = encoded(&request)?;
        let start = Instant::now();
        let deadline = start + Duration::from_millis(WRITE_WAIT_MS_MAX);
        let leader_wait_max = Duration::from_millis(LEADER_WAIT_MS_MAX);
        let mut unknown = None;
        loop {
            let attempt = match self.cluster.leader() {
                _ if Instant::now() >= deadline => break,
                _ if !self.cluster.raft_runs() => Attempt::Stopped,
                None if start.elapsed() >= leader_wait_max || self.cluster.is_given_up() => break,
                None => Attempt::NotProposed,
                Some(leader) => {
                    tokio::select! {
                        attempt = self.attempt(&leader, &bytes, needs, deadline) => attempt,
                        // A frozen or disconnected leader may never answer. The request id makes it safe to
                        // ask its successor.
                        _ = self.cluster.another_leads(leader.id) => {
                            Attempt::Unknown("its leader was deposed before it answered".to_owned())
                        }
                    }
                }
            };
            match attempt {
                Attempt::Decided(index, Outcome::TooLate) => {
                    if let Some(reason) = unknown {
                        return Err(WriteError::Unknown(reason));
                    }
                    // Nothing was logged before: the server's own applied index was just too old for
                    // deduplication.
                    request.head.earliest_index = index.saturating_add(1);
                    bytes = encoded(&request)?;
                    continue;
                }
                Attempt::Decided(index, outcome) => {
                    // The write is durable. If this server cannot apply it in time, answer anyway; a server
                    // far behind refuses reads until it has caught up.
                    if index.saturating_sub(self.state.applied_index()) <= VOTER_LAG_ENTRIES_MAX {
                        let _ = timeout_at(deadline, self.state.wait_applied(index)).await;
                    }
                    return decided(index, outcome);
                }
                Attempt::Unreadable(reason) => {
                    // The leader's own level may be what holds the cluster's level back.
                    let refused = || match levels::refusal_of(&self.cluster, &self.state, needs.feature_level)
                    {
                        Some(text) => above_level(text),
                        None => unreadable(&reason),
                    };
                    return Err(unknown.map_or_else(refused, WriteError::Unknown));
                }
                Attempt::NoRoom(reason) => {
                    return Err(unknown.map_or(WriteError::NoRoom(reason), WriteError::Unknown));
                }
                Attempt::AboveLevel(reason) => {
                    return Err(unknown.map_or_else(|| above_level(reason), WriteError::Unknown));
                }
                Attempt::Stopped => return Err(unknown.map_or(WriteError::Stopped, WriteError::Unknown)),
                Attempt::NotProposed => {}
                Attempt::Unknown(reason) => unknown = Some(reason),
            }
            self.wait_for_another_leader().await;
        }
        Err(unknown.map_or(WriteError::NoLeader, WriteError::Unknown))
    }

    /// Makes one attempt through `leader`.
    async fn attempt(&self, leader: &Member, bytes: &Bytes, needs: Needs, deadline: Instant) -> Attempt {
        if leader.id != self.cluster.id() {
            let address = self.forward.peers.address_of(leader.id, &leader.server);
            return self.forward.send(address, bytes.clone(), deadline).await;
        }
        // A leader without a quorum would wait forever.
        let proposed = timeout_at(deadline, self.propose(bytes, needs)).await;
        proposed.unwrap_or_else(|_| Attempt::Unknown("it was not committed in time".to_owned()))
    }

    /// Proposes `command` as the leader of `term`. It takes effect only in that term, and is not retried.
    pub async fn write_as_leader<C: Command>(
        &self,
        term: u64,
        command: C,
    ) -> Result<Written<C::Answer>, WriteError> {
        read(self.write_proposal_as_leader(term, command.into()).await?)
    }

    async fn write_proposal_as_leader(
        &self,
        term: u64,
        command: Proposal,
    ) -> Result<Written<EncodedAnswer>, WriteError> {
        let request = envelope(None, term, 0, command);
        match self.propose(&encoded(&request)?, request.needs()).await {
            Attempt::Decided(index, outcome) => decided(index, outcome),
            Attempt::NotProposed => Err(WriteError::NoLeader),
            Attempt::Unreadable(reason) => Err(unreadable(&reason)),
            Attempt::NoRoom(reason) => Err(WriteError::NoRoom(reason)),
            Attempt::AboveLevel(reason) => Err(above_level(reason)),
            Attempt::Unknown(reason) => Err(WriteError::Unknown(reason)),
            Attempt::Stopped => Err(WriteError::Stopped),
        }
    }

    /// Proposes locally, with this server's time: only the leader's timestamp gets into the log.
    async fn propose(&self, envelope: &[u8], needs: Needs) -> Attempt {
        // Checked first: if raft stops after it was given the write, the outcome is unknown.
        if !self.cluster.raft_runs() {
            return Attempt::Stopped;
        }
        if let Some(reason) = levels::refusal_of(&self.cluster, &self.state, needs.feature_level) {
            return if levels::has_first_level(&self.state) {
                Attempt::AboveLevel(reason)
            } else {
                Attempt::NotProposed
            };
        }
        if let Some(reason) = self.space.refusal_of(needs) {
            return Attempt::NoRoom(reason);
        }
        let bytes = stamped(envelope, self.clock.now_ns());
        match self.cluster.raft().client_write(types::Command(bytes.into())).await {
            Ok(response) => match response.data.0 {
                Some(outcome) => Attempt::Decided(response.log_id.index, outcome),
                None => Attempt::Unknown("raft tells no outcome of it".to_owned()),
            },
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => {
                Attempt::Unknown("its leader was deposed before it was committed".to_owned())
            }
            Err(RaftError::APIError(_)) => Attempt::NotProposed,
            Err(RaftError::Fatal(error)) => {
                Attempt::Unknown(format!("raft ended here before it told what became of it: {error}"))
            }
        }
    }

    /// Waits for a change of leader, but only briefly: the attempt may have failed for another reason.
    async fn wait_for_another_leader(&self) {
        let mut metrics = self.cluster.raft().server_metrics();
        let before = metrics.borrow_watched().current_leader;
        let pause = if before.is_none() { RETRY_PAUSE * 10 } else { RETRY_PAUSE };
        let news = async {
            while metrics.changed().await.is_ok() && metrics.borrow_watched().current_leader == before {}
        };
        // Returns at a change of leader or after the pause.
        let _ = tokio::time::timeout(pause, news).await;
    }
}

fn encoded(request: &Envelope) -> Result<Bytes, WriteError> {
    let size = request.encoded_len();
    if size > LOG_ENTRY_BYTES_MAX {
        let text = format!(
            "the request makes a log entry of {size} bytes, and an entry may have {LOG_ENTRY_BYTES_MAX}: \
             ask for less at one time"
        );
        return Err(WriteError::Refused { status: 413, text });
    }
    Ok(request.encode_to_vec().into())
}

fn unreadable(reason: &str) -> WriteError {
    let text =
        format!("the leader cannot take this server's request: {reason}. Run one release on all servers");
    WriteError::Refused { status: 503, text }
}

fn above_level(text: String) -> WriteError {
    WriteError::Refused { status: 409, text }
}

fn decided(index: u64, outcome: Outcome) -> Result<Written<EncodedAnswer>, WriteError> {
    match outcome {
        Outcome::Refused(Refusal { status, text }) => {
            Err(WriteError::Refused { status: u16::try_from(status).unwrap_or(500), text })
        }
        Outcome::Answered(answer) => Ok(Written { index, answer }),
        Outcome::TooLate => Err(WriteError::Unknown("whether it took effect is forgotten".to_owned())),
    }
}

/// Decodes the answer of a command that took effect.
fn read<A: Answer>(written: Written<EncodedAnswer>) -> Result<Written<A>, WriteError> {
    let Written { index, answer } = written;
    let unknown = |error| {
        let text =
            format!("it took effect, and this release cannot read the answer of the leader's: {error}");
        WriteError::Unknown(text)
    };
    Ok(Written { index, answer: A::from_encoded(&answer).map_err(unknown)? })
}

/// Limits for batching the writes forwarded to one leader.
const FORWARD_BATCH: BatchBounds =
    BatchBounds { items_max: FORWARD_BATCH_MAX, bytes_max: FORWARD_BYTES_MAX, in_flight_max: 4 };
const FORWARD_ARRIVALS: ArrivalBounds =
    ArrivalBounds { spacing: Duration::ZERO, queue_max: 4 * FORWARD_BATCH_MAX };

/// A command, and the channel for its outcome.
type Waiting = (Bytes, oneshot::Sender<Attempt>);

impl Batched for Waiting {
    fn bytes(&self) -> usize {
        self.0.len()
    }

    /// A command whose caller has stopped waiting is not sent, and so takes no effect.
    fn is_wanted(&self) -> bool {
        !self.1.is_closed()
    }
}

/// Forwards writes to leaders, many in one message.
#[derive(Clone)]
struct Forward {
    peers: Peers,
    cluster_id: ClusterId,
    queues: Arc<Mutex<BTreeMap<String, mpsc::Sender<Waiting>>>>,
}

impl Forward {
    async fn send(&self, address: String, bytes: Bytes, deadline: Instant) -> Attempt {
        let (reply, attempt) = oneshot::channel();
        let queue = self.queue(address);
        // A queue that stays full until the deadline means that the leader does not answer.
        let Ok(Ok(())) = timeout_at(deadline, queue.send((bytes, reply))).await else {
            return Attempt::NotProposed;
        };
        match timeout_at(deadline, attempt).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(_)) => Attempt::Unknown("the forwarding ended".to_owned()),
            Err(_) => Attempt::Unknown("the leader did not answer in time".to_owned()),
        }
    }

    fn queue(&self, address: String) -> mpsc::Sender<Waiting> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(address).or_insert_with_key(|address| {
            let (sender, waiting) = Arrivals::channel(FORWARD_ARRIVALS);
            let (peers, cluster_id, address) = (self.peers.clone(), self.cluster_id.clone(), address.clone());
            // Client and node writes share this queue, so it runs on the peers' runtime.
            self.peers.spawn(gather(FORWARD_BATCH, waiting, move |batch| {
                send_batch(peers.clone(), cluster_id.get(), address.clone(), batch)
            }));
            sender
        });
        queue.clone()
    }
}

async fn send_batch(peers: Peers, cluster_id: Vec<u8>, address: String, batch: Vec<Waiting>) {
    let (commands, replies): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let request = ProposeRequest { cluster_id, commands };
    let proposed = async { peers.server(&address)?.propose(request).await };
    let results = match timeout(Duration::from_millis(WRITE_WAIT_MS_MAX), proposed).await {
        Ok(Ok(reply)) => Ok(reply.into_inner().results),
        Ok(Err(status)) => Err(format!("the leader at {address}: {}", status.message())),
        Err(_) => Err(format!("the leader at {address} did not answer in time")),
    };
    let mut results = results.map(Vec::into_iter);
    for reply in replies {
        let attempt = match &mut results {
            Ok(results) => match results.next().and_then(|result| result.result) {
                Some(propose_result::Result::Applied(applied)) => match Outcome::decode(applied.outcome) {
                    Ok(outcome) => Attempt::Decided(applied.log_index, outcome),
                    Err(error) => Attempt::Unknown(format!("the leader's answer cannot be read: {error}")),
                },
                Some(propose_result::Result::NotProposed(_)) => Attempt::NotProposed,
                Some(propose_result::Result::NoRoom(reason)) => Attempt::NoRoom(reason),
                Some(propose_result::Result::AboveLevel(reason)) => Attempt::AboveLevel(reason),
                Some(propose_result::Result::Unreadable(reason)) => Attempt::Unreadable(reason),
                Some(propose_result::Result::Unknown(reason)) => Attempt::Unknown(reason),
                None => Attempt::Unknown("the leader's answer has no result for it".to_owned()),
            },
            Err(reason) => Attempt::Unknown(reason.clone()),
        };
        // The receiver may have been dropped.
        let _ = reply.send(attempt);
    }
}

#[cfg(test)]
mod tests;
