//! The state machine: applies log entries one by one and keeps the in-memory projections up to date.

use std::collections::{BTreeMap, VecDeque};

use ordu_proto::state::{Allocation, AnsweredRequest, ClusterMeta, Job, Node};
use prost::Message;
use prost::bytes::Bytes;

use super::Step;
use super::entry::Entry;
use super::envelope::{Read, Unreadable, read_envelope};
use super::level::{self, FEATURE_LEVEL, FIRST_LEVEL};
use super::outcome::{EncodedAnswer, Outcome};
use crate::limits::ANSWERED_REQUESTS_MAX;
use crate::scheduler::ClusterView;
use crate::state::hash::{self, Chain};
use crate::state::reader::ReaderExt;
use crate::state::rows::{Allocs, Jobs, Nodes};
use crate::state::{Census, Change, Corrupt, Id, Reader, RowChange, Table, Tx, key, read, readable};

/// Position of an entry in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// Term in which the entry was logged.
    pub term: u64,
    /// Log index.
    pub index: u64,
}

/// Reason why a server cannot go on applying. Skipping the entry would make the servers' states diverge.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The state cannot be read.
    #[error("the state cannot be read: {0}")]
    Corrupt(#[from] Corrupt),
    /// The entry is not an envelope.
    #[error("log entry {index} cannot be decoded: {reason}")]
    Undecodable {
        /// Log index of the entry.
        index: u64,
        /// Message of the decoder.
        reason: String,
    },
    /// The entry was written by a newer release.
    #[error(
        "log entry {index} needs feature level {needed} and a command that this release (level {FEATURE_LEVEL}) \
         may not know: run the release that the other servers run"
    )]
    TooNew {
        /// Log index of the entry.
        index: u64,
        /// Feature level that the entry needs.
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

/// Result of applying one entry.
#[derive(Debug)]
pub struct Applied {
    /// Answer to the proposer.
    pub outcome: Outcome,
    /// Row changes of the entry.
    pub changes: Vec<Change>,
}

/// The in-memory state, all of it derived from the tables.
pub struct Machine {
    /// The scheduler's view of nodes and allocations.
    pub view: ClusterView,
    /// Row counts.
    pub census: Census,
    cluster: ClusterMeta,
    chain: Chain,
    /// Answered request ids with the log index of their answer.
    answered: BTreeMap<Id, u64>,
    answered_order: VecDeque<(u64, Id)>,
}

impl Machine {
    /// Derives the in-memory state from the tables.
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
        read::each(reader, Table::Jobs, &[], &mut |job: Job| {
            machine.census.job_changed(None, Some(&job));
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
            // Count undecodable rows too, so that every server evicts rows in the same order.
            machine.answered_order.push_back((index, id.unwrap_or_default()));
            Ok(true)
        })?;
        Ok(machine)
    }

    /// Returns the cluster's metadata.
    pub fn cluster(&self) -> &ClusterMeta {
        &self.cluster
    }

    /// Returns the cluster's feature level. Commands of a higher level are refused.
    pub fn feature_level(&self) -> u32 {
        self.cluster.feature_level.max(FIRST_LEVEL)
    }

    /// Returns the hash over all writes of the entries applied so far.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Applies one entry and adds its writes to `tx`. A refused entry writes at most its answer
    /// and rows of `Table::Meta`.
    ///
    /// # Errors
    /// Any error is fatal for this server: nothing of the batch may be committed.
    pub fn apply(&mut self, tx: &mut Tx<'_>, at: LogPosition, envelope: Bytes) -> Result<Applied, Fatal> {
        let read = read_envelope(envelope).map_err(|unreadable| unreadable.at(at.index))?;
        self.decide(tx, at, read)
    }

    fn decide(&mut self, tx: &mut Tx<'_>, at: LogPosition, read: Read) -> Result<Applied, Fatal> {
        let envelope = &read.head;
        let request_id = Id::try_from(envelope.request_id.as_slice()).ok();
        // A repeated request: return its first answer, or `TooLate` if the answer cannot be decoded.
        if let Some(answered_at) = request_id.and_then(|id| self.answered.get(&id)) {
            let outcome = readable(first_answer(tx, *answered_at))?.unwrap_or(Outcome::TooLate);
            return Ok(Applied { outcome, changes: Vec::new() });
        }
        let earliest_index = envelope.earliest_index;
        if request_id.is_some() && (1..=self.cluster.answers_dropped_to).contains(&earliest_index) {
            return Ok(Applied { outcome: Outcome::TooLate, changes: Vec::new() });
        }

        let stamp_ns = envelope.time_ns.max(0);
        self.cluster.time_ns = self.cluster.time_ns.max(stamp_ns);
        let fenced = envelope.fence_term != 0 && envelope.fence_term != at.term;
        let step = if fenced {
            Ok(Err(super::refuse(409, "the leader that proposed this no longer leads")))
        } else {
            self.dispatch(tx, at, stamp_ns, read)
        };
        let step = match step {
            // All servers hold the same bytes, so all of them refuse the command.
            Err(corrupt) if corrupt.is_row() => Err(super::refuse_unreadable(&corrupt)),
            step => step?,
        };
        let outcome = match step {
            Ok(answer) => Outcome::Answered(answer),
            Err(refusal) => {
                tx.drop_entry();
                Outcome::Refused(refusal)
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
        stamp_ns: i64,
        read: Read,
    ) -> Step<EncodedAnswer> {
        let reached = level::must_have_reached(read.needs.feature_level, self.feature_level());
        if let Err(refusal) = reached.and_then(|()| read.command.check()) {
            return Ok(Err(refusal));
        }
        let mut entry = Entry::new(tx, at.index, stamp_ns, &mut self.cluster, &self.view);
        let answer = read.command.apply(&mut entry)?;
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
            if let Some(RowChange { old, new, .. }) = change.of::<Allocs>() {
                self.view.alloc_changed(old.as_ref(), new.as_ref());
                self.census.alloc_changed(old.as_ref(), new.as_ref());
            } else if let Some(RowChange { old, new, .. }) = change.of::<Jobs>() {
                self.census.job_changed(old.as_ref(), new.as_ref());
            } else if let Some(RowChange { old, new, .. }) = change.of::<Nodes>() {
                self.census.node_changed(old.as_ref(), new.as_ref());
                match (old, new) {
                    (_, Some(node)) => self.view.node_upserted(node),
                    (Some(node), None) => self.view.node_removed(&node.id),
                    (None, None) => {}
                }
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
    Outcome::decode(answered.outcome).map_err(|error| reader.corrupt_row(Table::Requests, &at, error))
}
