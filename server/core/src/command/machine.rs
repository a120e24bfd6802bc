//! The state machine: takes log entries one by one, decides, and keeps the projections in step.

use std::collections::{BTreeMap, VecDeque};

use ordu_proto::command::outcome::Outcome as Answer;
use ordu_proto::command::{Envelope, Outcome, TooLate, envelope::Command};
use ordu_proto::state::{Allocation, AnsweredRequest, ClusterMeta, Node};
use prost::Message;
use prost::bytes::Buf;

use super::Step;
use super::entry::Entry;
use super::level::{self, FEATURE_LEVEL, FIRST_LEVEL};
use crate::limits::ANSWERED_REQUESTS_MAX;
use crate::scheduler::ClusterView;
use crate::state::hash::{self, Chain};
use crate::state::reader::ReaderExt;
use crate::state::{Census, Change, Corrupt, Id, Reader, Table, Tx, key, read, readable};

/// Where an entry stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The term it was logged in.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// Why a server cannot go on applying: skipping the entry would let the servers' states diverge.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The state cannot be read.
    #[error("the state cannot be read: {0}")]
    Corrupt(#[from] Corrupt),
    /// The entry is no envelope.
    #[error("log entry {index} cannot be decoded: {reason}")]
    Undecodable {
        /// The entry's log index.
        index: u64,
        /// What the decoder said.
        reason: String,
    },
    /// The entry is from a newer release.
    #[error(
        "log entry {index} needs feature level {needed} and a command that this release (level {FEATURE_LEVEL}) \
         may not know: run the release that the other servers run"
    )]
    TooNew {
        /// The entry's log index.
        index: u64,
        /// The level it was written at.
        needed: u32,
    },
}

/// Why bytes are no entry for this release.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// They are no envelope.
    #[error("it cannot be decoded: {0}")]
    Undecodable(#[from] prost::DecodeError),
    /// They are from a newer release.
    #[error(
        "it needs feature level {needed} and a command that this release (level {FEATURE_LEVEL}) may not know"
    )]
    TooNew {
        /// The level they were written at.
        needed: u32,
    },
}

impl Unreadable {
    fn at(self, index: u64) -> Fatal {
        match self {
            Self::Undecodable(error) => Fatal::Undecodable { index, reason: error.to_string() },
            Self::TooNew { needed } => Fatal::TooNew { index, needed },
        }
    }
}

/// Reads an envelope whose command this release knows, and takes the command out of it. What is large in it is copied
/// once from shared bytes, and twice from a slice.
///
/// # Errors
/// What is logged although it cannot be read ends every server that meets it.
pub fn read_envelope(bytes: impl Buf) -> Result<(Envelope, Command), Unreadable> {
    let mut envelope = Envelope::decode(bytes)?;
    let command = envelope.command.take();
    let needed = level::level_to_read(&envelope, command.as_ref());
    match command {
        Some(command) if needed <= FEATURE_LEVEL => Ok((envelope, command)),
        _ => Err(Unreadable::TooNew { needed }),
    }
}

/// Whether the command in an envelope reads all rows of some table, little though it says itself.
pub fn reads_all_of_something(envelope: &[u8]) -> bool {
    const BYTES_MAX: usize = 128;
    let reads_all =
        |command: &Command| matches!(command, Command::SummariesReconcile(_) | Command::TimeReset(_));
    envelope.len() <= BYTES_MAX && read_envelope(envelope).is_ok_and(|(_, command)| reads_all(&command))
}

/// What became of one entry.
#[derive(Debug)]
pub struct Applied {
    /// The answer to whoever proposed it.
    pub outcome: Outcome,
    /// What changed.
    pub changes: Vec<Change>,
}

/// The state that is kept in memory beside the tables, all of it derived from them.
pub struct Machine {
    /// The scheduler's columns.
    pub view: ClusterView,
    /// How many rows there are of what is counted.
    pub census: Census,
    cluster: ClusterMeta,
    chain: Chain,
    /// Request ids that were answered, with the log index of the answer; the oldest in front.
    answered: BTreeMap<Id, u64>,
    answered_order: VecDeque<(u64, Id)>,
}

impl Machine {
    /// Derives the projections from the tables.
    pub fn load(reader: &dyn Reader) -> Result<Self, Corrupt> {
        let mut machine = Self {
            view: ClusterView::default(),
            census: Census::default(),
            cluster: read::cluster_meta(reader)?,
            chain: hash::chain(reader)?,
            answered: BTreeMap::new(),
            answered_order: VecDeque::new(),
        };
        read::each(reader, Table::Nodes, &[], &mut |node: Node| {
            machine.view.node_upserted(&node);
            machine.census.node_changed(None, Some(&node));
            Ok(())
        })?;
        read::each(reader, Table::Allocs, &[], &mut |alloc: Allocation| {
            machine.view.alloc_changed(None, Some(&alloc));
            machine.census.alloc_changed(None, Some(&alloc));
            Ok(())
        })?;
        reader.scan(Table::Requests, &[], None, &mut |at, bytes| {
            let Some(index) = <[u8; 8]>::try_from(at).ok().map(u64::from_be_bytes) else {
                reader.set_aside(Table::Requests, at, "a key that is no log index");
                return Ok(true);
            };
            let id = bytes.first_chunk::<16>().copied();
            match id {
                Some(id) => drop(machine.answered.insert(id, index)),
                None => reader.set_aside(Table::Requests, at, "a row without a request id"),
            }
            // A row counts although its id is not known: rows go in the same order on every server.
            machine.answered_order.push_back((index, id.unwrap_or_default()));
            Ok(true)
        })?;
        Ok(machine)
    }

    /// The cluster's own facts.
    pub fn cluster(&self) -> &ClusterMeta {
        &self.cluster
    }

    /// The cluster's feature level: what a command belongs to that is above it is refused.
    pub fn feature_level(&self) -> u32 {
        self.cluster.feature_level.max(FIRST_LEVEL)
    }

    /// The hash of all that was written by the entries applied so far.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Applies one entry. The writes are in `tx` afterwards; a refused entry leaves none.
    ///
    /// # Errors
    /// An error is fatal for this server: nothing of the batch may be committed.
    pub fn apply(&mut self, tx: &mut Tx<'_>, at: LogPosition, envelope: impl Buf) -> Result<Applied, Fatal> {
        let (envelope, command) = read_envelope(envelope).map_err(|unreadable| unreadable.at(at.index))?;
        self.decide(tx, at, &envelope, command)
    }

    fn decide(
        &mut self,
        tx: &mut Tx<'_>,
        at: LogPosition,
        envelope: &Envelope,
        command: Command,
    ) -> Result<Applied, Fatal> {
        let request_id = Id::try_from(envelope.request_id.as_slice()).ok();
        // It was decided on, and what came of it is not known any more.
        let too_late = || Outcome { outcome: Some(Answer::TooLate(TooLate {})) };
        if let Some(answered_at) = request_id.and_then(|id| self.answered.get(&id)) {
            let outcome = readable(first_answer(tx, *answered_at))?.unwrap_or_else(too_late);
            return Ok(Applied { outcome, changes: Vec::new() });
        }
        let earliest_index = envelope.earliest_index;
        if request_id.is_some() && (1..=self.cluster.answers_dropped_to).contains(&earliest_index) {
            return Ok(Applied { outcome: too_late(), changes: Vec::new() });
        }

        let stamp_ns = envelope.time_ns.max(0);
        self.cluster.time_ns = self.cluster.time_ns.max(stamp_ns);
        let fenced = envelope.fence_term != 0 && envelope.fence_term != at.term;
        let step = if fenced {
            Ok(Err(super::refuse(409, "the leader that proposed this no longer leads")))
        } else {
            self.dispatch(tx, at, level::needed_level(envelope, &command), stamp_ns, command)
        };
        let step = match step {
            // All servers hold the same bytes, so that it is refused by all of them.
            Err(corrupt) if corrupt.is_row() => Err(super::refuse_unreadable(&corrupt)),
            step => step?,
        };
        let outcome = match step {
            Ok(answer) => Outcome { outcome: Some(answer) },
            Err(refusal) => {
                tx.drop_entry();
                Outcome { outcome: Some(Answer::Refused(refusal)) }
            }
        };
        if let Some(id) = request_id {
            self.remember(tx, at.index, id, &outcome);
        }
        tx.put(Table::Meta, key::meta::CLUSTER.to_vec(), &self.cluster);
        tx.put_bytes(Table::Meta, key::meta::INDEXES.to_vec(), tx.indexes().encode());
        self.chain = hash::chain_after(&self.chain, tx);
        tx.put_bytes(Table::Meta, key::meta::CHAIN.to_vec(), self.chain.to_vec());
        let changes = tx.keep_entry();
        self.follow(&changes);
        Ok(Applied { outcome, changes })
    }

    fn dispatch(
        &mut self,
        tx: &mut Tx<'_>,
        at: LogPosition,
        needed_level: u32,
        stamp_ns: i64,
        command: Command,
    ) -> Step {
        let reached = level::must_have_reached(needed_level, self.feature_level());
        if let Err(refusal) = reached.and_then(|()| super::check::check(&command)) {
            return Ok(Err(refusal));
        }
        if let Command::ClusterInit(command) = command {
            return Ok(super::cluster_init::apply(&mut self.cluster, at.index, command));
        }
        if let Command::FeatureLevelRaise(command) = command {
            return Ok(Ok(super::feature_level_raise::apply(&mut self.cluster, at.index, &command)));
        }
        // A reset is of the time that it resets to.
        let time_ns = if matches!(command, Command::TimeReset(_)) { stamp_ns } else { self.cluster.time_ns };
        let mut entry = Entry::new(tx, at.index, time_ns);
        let answer = match command {
            Command::JobRegister(command) => super::job_register::apply(&mut entry, command)?,
            Command::JobDeregister(command) => super::job_deregister::apply(&mut entry, command)?,
            Command::JobEvaluate(command) => super::job_evaluate::apply(&mut entry, command)?,
            Command::EvalUpdate(command) => super::eval_update::apply(&mut entry, command)?,
            Command::PlanApply(command) => super::plan_apply::apply(&mut entry, &self.view, command)?,
            Command::AllocClientUpdate(command) => super::alloc_client_update::apply(&mut entry, command)?,
            Command::NodeRegister(command) => super::node_register::apply(&mut entry, command)?,
            Command::NodeStatusUpdate(command) => super::node_status_update::apply(&mut entry, command)?,
            Command::JobDispatch(command) => super::job_dispatch::apply(&mut entry, command)?,
            Command::JobRevert(command) => super::job_revert::apply(&mut entry, command)?,
            Command::JobStability(command) => super::job_stability::apply(&mut entry, command)?,
            Command::PeriodicLaunch(command) => super::periodic_launch::apply(&mut entry, command)?,
            Command::SummariesReconcile(command) => super::summaries_reconcile::apply(&mut entry, command)?,
            Command::TimeReset(command) => super::time_reset::apply(&mut entry, &mut self.cluster, command)?,
            Command::AutopilotSet(command) => super::autopilot_set::apply(&mut entry, command)?,
            #[cfg(feature = "next-level")]
            Command::NotePut(command) => super::note_put::apply(&mut entry, command)?,
            Command::ClusterInit(_) | Command::FeatureLevelRaise(_) => unreachable!("handled above"),
        };
        if answer.is_ok() {
            entry.finish()?;
        }
        Ok(answer)
    }

    fn remember(&mut self, tx: &mut Tx<'_>, index: u64, id: Id, outcome: &Outcome) {
        let mut bytes = id.to_vec();
        AnsweredRequest { index, outcome: outcome.encode_to_vec() }
            .encode(&mut bytes)
            .expect("a vector takes any length");
        tx.put_bytes(Table::Requests, key::index(index), bytes);
        self.answered.insert(id, index);
        self.answered_order.push_back((index, id));
        while self.answered_order.len() > ANSWERED_REQUESTS_MAX
            && let Some((oldest, id)) = self.answered_order.pop_front()
        {
            tx.delete(Table::Requests, key::index(oldest));
            self.answered.remove(&id);
            self.cluster.answers_dropped_to = oldest;
        }
    }

    fn follow(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Alloc { old, new } => {
                    self.view.alloc_changed(old.as_deref(), new.as_deref());
                    self.census.alloc_changed(old.as_deref(), new.as_deref());
                }
                Change::Node { old, new } => {
                    self.census.node_changed(old.as_deref(), new.as_deref());
                    match (old, new) {
                        (_, Some(node)) => self.view.node_upserted(node),
                        (Some(node), None) => self.view.node_removed(&node.id),
                        (None, None) => {}
                    }
                }
                Change::Job { .. } | Change::Eval(_) | Change::Deployment(_) => {}
            }
        }
    }
}

fn first_answer(reader: &dyn Reader, index: u64) -> Result<Outcome, Corrupt> {
    let at = key::index(index);
    let bytes = reader
        .get(Table::Requests, &at)?
        .filter(|bytes| bytes.len() >= 16)
        .ok_or_else(|| reader.corrupt_row(Table::Requests, &at, "no answer is in it"))?;
    let answered: AnsweredRequest = reader.decode_row(Table::Requests, &at, &bytes[16..])?;
    reader.decode_row(Table::Requests, &at, &answered.outcome)
}
