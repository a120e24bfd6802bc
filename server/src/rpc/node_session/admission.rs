//! Admits a node: registers it, or holds it while it knows a newer state than the servers.

use std::collections::BTreeSet;

use futures::Stream;
use ordu_core::command::Command;
use ordu_core::job::JobKind;
use ordu_core::state::reader::ReaderExt;
use ordu_core::state::{JobKey, Reader, Table, key, read};
use ordu_proto::command::{JobEvaluate, NodeRegister, NodeStatusChange, NodeStatusUpdate};
use ordu_proto::node::FromNode;
use ordu_proto::raft::LogId;
use ordu_proto::state::{Allocation, ClientStatus, DesiredStatus, Node, NodeStatus};
use ordu_store::runtime::{random_bytes, random_id};
use tonic::Status;

use super::WRITE_RETRY_PAUSE;
use super::hello::{self, Introduction};
use super::session::{End, Session};
use crate::error::WriteError;

/// Admission state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The node is registered and ready.
    Registered,
    /// The node has acted on a newer state than this server's, which may be behind the other servers. It is
    /// decided after a quorum has confirmed this server's state; until then the node is left unchanged.
    Undecided,
    /// All servers have an older state than the node. The node is not ready and gets no assignments until it
    /// accepts that state.
    Held {
        /// The index of the servers' state.
        state_index: u64,
    },
}

impl<S> Session<S>
where
    S: Stream<Item = Result<FromNode, Status>> + Unpin + Send,
{
    /// Registers the node, unless it is already known and may know a newer state than the servers.
    pub(super) async fn admit(&self, introduction: &Introduction) -> Result<Admission, End> {
        let knows_newer = || Ok::<_, End>(self.applied_index()? < introduction.acted_on_index);
        let known = self.shared.context.state.read(|reader| read::node(reader, &introduction.id));
        let is_same = |row: Node| row.secret_hash == introduction.node.secret_hash;
        if known.ok().flatten().is_some_and(is_same) && knows_newer()? {
            return Ok(Admission::Undecided);
        }
        self.register(introduction).await?;
        Ok(if knows_newer()? { Admission::Undecided } else { Admission::Registered })
    }

    /// Decides about an undecided node, after a quorum has confirmed this server's state.
    pub(super) async fn decide(&self, introduction: &Introduction) -> Result<Admission, End> {
        let state_index = self.applied_index()?;
        if state_index >= introduction.acted_on_index {
            self.register(introduction).await?;
            return Ok(Admission::Registered);
        }
        tracing::warn!(
            "{introduction} has acted on index {} of the servers' state, which is at index {state_index} as a quorum \
             confirms: the servers were restored from an older copy. The node is not ready until it takes that state",
            introduction.acted_on_index
        );
        self.hold(introduction, state_index).await?;
        Ok(Admission::Held { state_index })
    }

    fn applied_index(&self) -> Result<u64, End> {
        let position = self.shared.context.state.read(|reader| reader.row(Table::Meta, key::meta::APPLIED));
        let position: Option<LogId> =
            position.map_err(|corrupt| End::Broken(Status::internal(corrupt.to_string())))?;
        Ok(position.map_or(0, |position| position.index))
    }

    /// Marks a node that knows a newer state as not ready: nothing is placed on it, and its allocations are
    /// not replaced.
    pub(super) async fn hold(&self, introduction: &Introduction, state_index: u64) -> Result<(), End> {
        let known = self.shared.context.state.read(|reader| read::node(reader, &introduction.id));
        if known.ok().flatten().is_some_and(|row| row.status() == NodeStatus::Initializing) {
            return Ok(());
        }
        self.write(|| {
            let change = NodeStatusChange {
                node_id: introduction.id.to_vec(),
                status: NodeStatus::Initializing.into(),
                event_message: format!(
                    "Not ready: the servers' state (index {state_index}) is older than the node's (index {})",
                    introduction.acted_on_index
                ),
            };
            NodeStatusUpdate { changes: vec![change], eval_seed: random_bytes::<16>().to_vec() }
        })
        .await
    }

    /// Registers the node unless it is registered already.
    pub(super) async fn register(&self, introduction: &Introduction) -> Result<(), End> {
        let context = &self.shared.context;
        let known = context.state.read(|reader| read::node(reader, &introduction.id));
        if let Ok(Some(row)) = &known
            && hello::is_registered(row, &introduction.node)
        {
            return Ok(());
        }
        self.write(|| NodeRegister {
            node: Some(introduction.node.clone()),
            eval_seed: random_bytes::<16>().to_vec(),
        })
        .await
    }

    /// Writes a command; retries while there is no leader and the agent is connected.
    async fn write<C: Command>(&self, command: impl Fn() -> C) -> Result<(), End> {
        let writer = &self.shared.context.writer;
        let written = async {
            loop {
                match writer.write(command()).await {
                    Ok(_) => return Ok(()),
                    Err(WriteError::Refused { text, .. }) => return Err(End::Refused(text)),
                    Err(WriteError::Stopped) => return Err(End::Over),
                    Err(WriteError::NoRoom(_) | WriteError::NoLeader | WriteError::Unknown(_)) => {
                        tokio::time::sleep(WRITE_RETRY_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            written = written => written,
            () = self.outbound.closed() => Err(End::Gone),
            () = self.shared.live.closing() => Err(End::Over),
        }
    }

    /// Requests evaluations for jobs whose allocations this node stopped on orders from the newer state. The
    /// restored older state wants them running, but their processes are gone.
    pub(super) async fn replace_what_has_ended(&self, introduction: &Introduction) -> Result<(), End> {
        let read = |reader: &dyn Reader| read::allocs_of_node(reader, &introduction.id);
        let allocs = self.shared.context.state.read(read);
        let allocs = allocs.map_err(|corrupt| End::Broken(Status::internal(corrupt.to_string())))?;
        let has_ended = |alloc: &Allocation| {
            alloc.desired_status() == DesiredStatus::Run
                && alloc.client_status() == ClientStatus::Complete
                && JobKind::parse(&alloc.job_type) != Some(JobKind::Batch)
        };
        let jobs: BTreeSet<JobKey> =
            allocs.iter().filter(|alloc| has_ended(alloc)).map(JobKey::from).collect();
        for JobKey { namespace, id: job_id } in jobs {
            tracing::info!(
                "{introduction} had ended job {job_id:?}, which the older state runs: it is placed anew"
            );
            let evaluate = || JobEvaluate {
                namespace: namespace.clone(),
                job_id: job_id.clone(),
                eval_id: random_id().to_vec(),
                force_reschedule: false,
            };
            match self.write(evaluate).await {
                Err(End::Refused(text)) => tracing::warn!("job {job_id:?} cannot be evaluated: {text}"),
                done => done?,
            }
        }
        Ok(())
    }
}
