//! What a node is to run, and what of that it was not told yet.

use std::collections::{BTreeMap, BTreeSet};

use ordu_core::scheduler::{is_client_terminal, is_server_terminal};
use ordu_core::state::{Corrupt, Id, Reader, Table, key, read, reader::ReaderExt};
use ordu_proto::node::{AllocSync, SpecOfJob};
use ordu_proto::raft::LogId;
use ordu_proto::state::{Allocation, ClientStatus};
use prost::Message;

/// Bytes of allocations and specifications in one message, but for a full one, which is one message.
const SYNC_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Specifications that an agent is taken to remember. After more it is told everything anew, since it keeps
/// those of a session.
const SPECS_TOLD_MAX: usize = 16_384;

/// Namespace, id, create index, version.
type Version = (String, String, u64, u64);

/// What one session was told.
pub(super) struct Assignments {
    node: Id,
    is_first: bool,
    /// Allocations with the index of their last change by the servers.
    told: BTreeMap<Id, u64>,
    specs: BTreeSet<Version>,
}

impl Assignments {
    /// Of a session that was told nothing yet.
    pub(super) fn new(node: Id) -> Self {
        Self { node, is_first: true, told: BTreeMap::new(), specs: BTreeSet::new() }
    }

    /// The messages that bring the agent to the state of `reader`: first a full one, later what changed,
    /// perhaps nothing.
    pub(super) fn next(&mut self, reader: &dyn Reader) -> Result<Vec<AllocSync>, Corrupt> {
        if self.specs.len() > SPECS_TOLD_MAX {
            *self = Self::new(self.node);
        }
        let position: Option<LogId> = reader.row(Table::Meta, key::meta::APPLIED)?;
        let full = std::mem::take(&mut self.is_first);
        let state_index = position.map_or(0, |position| position.index);
        let fresh = || AllocSync { full: false, state_index, ..AllocSync::default() };
        let mut messages = vec![AllocSync { full, ..fresh() }];
        let mut bytes = 0;
        let mut gone: BTreeSet<Id> = self.told.keys().copied().collect();
        for alloc in read::allocs_of_node(reader, &self.node)? {
            let Ok(id) = Id::try_from(alloc.id.as_slice()) else { continue };
            gone.remove(&id);
            if !self.is_news(id, &alloc) {
                // The agent keeps the files of what is over for as long as the servers know it.
                if let Some(message) = messages.last_mut().filter(|_| full) {
                    message.over.push(alloc.id);
                }
                continue;
            }
            self.told.insert(id, alloc.alloc_modify_index);
            let spec = self.spec_to_tell(reader, &alloc)?;
            let alloc = as_told(alloc);
            let more = alloc.encoded_len() + spec.as_ref().map_or(0, Message::encoded_len);
            if !full && bytes > 0 && bytes + more > SYNC_BYTES_MAX {
                messages.push(fresh());
                bytes = 0;
            }
            bytes += more;
            if let Some(message) = messages.last_mut() {
                message.specs.extend(spec);
                message.allocs.push(alloc);
            }
        }
        if let Some(message) = messages.last_mut() {
            message.removed = gone.iter().map(|id| id.to_vec()).collect();
        }
        self.told.retain(|id, _| !gone.contains(id));
        messages.retain(|message| message.full || !message.allocs.is_empty() || !message.removed.is_empty());
        Ok(messages)
    }

    /// An allocation that was over on both sides before the session began is no concern of the agent. One
    /// that the servers gave up as lost is: the node was only silent, and may still run it.
    fn is_news(&self, id: Id, alloc: &Allocation) -> bool {
        let node_has_spoken = is_client_terminal(alloc) && alloc.client_status() != ClientStatus::Lost;
        match self.told.get(&id) {
            Some(told) => *told != alloc.alloc_modify_index,
            None => !(is_server_terminal(alloc) && node_has_spoken),
        }
    }

    fn spec_to_tell(
        &mut self,
        reader: &dyn Reader,
        alloc: &Allocation,
    ) -> Result<Option<SpecOfJob>, Corrupt> {
        let Allocation { namespace, job_id, job_create_index, job_version, .. } = alloc;
        let version = (namespace.clone(), job_id.clone(), *job_create_index, *job_version);
        if self.specs.contains(&version) {
            return Ok(None);
        }
        let Some(spec) = read::job_spec(reader, namespace, job_id, *job_create_index, *job_version)? else {
            tracing::error!(
                "version {job_version} of job {job_id:?} is not kept, though an allocation runs by it"
            );
            return Ok(None);
        };
        self.specs.insert(version);
        Ok(Some(SpecOfJob {
            namespace: namespace.clone(),
            job_id: job_id.clone(),
            job_create_index: *job_create_index,
            job_version: *job_version,
            spec_json: spec.json,
            payload: spec.payload,
        }))
    }
}

/// Why the scheduler chose this node is nothing to the agent.
fn as_told(mut alloc: Allocation) -> Allocation {
    alloc.metrics = None;
    alloc
}

#[cfg(test)]
mod tests {
    use ordu_core::state::{MemoryTables, Write};
    use ordu_proto::state::{AllocMetric, DesiredStatus, JobSpec};

    use super::*;

    const NODE: Id = [9; 16];

    fn alloc(number: u8, index: u64) -> Allocation {
        let mut alloc = Allocation {
            id: vec![number; 16],
            node_id: NODE.to_vec(),
            namespace: "default".to_owned(),
            job_id: "j".to_owned(),
            metrics: Some(AllocMetric::default()),
            alloc_modify_index: index,
            ..Allocation::default()
        };
        alloc.set_desired_status(DesiredStatus::Run);
        alloc.set_client_status(ClientStatus::Running);
        alloc
    }

    fn put(tables: &mut MemoryTables, alloc: &Allocation) {
        let row = |table, key, value| Write { table, key, value: Some(value) };
        tables.commit([
            row(Table::Allocs, alloc.id.clone(), alloc.encode_to_vec()),
            row(Table::AllocsByNode, key::by_id(&alloc.node_id, &alloc.id), Vec::new()),
        ]);
    }

    fn tables(allocs: &[Allocation]) -> MemoryTables {
        let mut tables = MemoryTables::default();
        let write = |table, key, value| Write { table, key, value: Some(value) };
        let spec = JobSpec { json: b"{}".to_vec(), payload: Vec::new() }.encode_to_vec();
        tables.commit([
            write(Table::JobSpecs, key::job_spec("default", "j", 0, 0), spec),
            write(Table::Meta, key::meta::APPLIED.to_vec(), LogId { term: 1, index: 7 }.encode_to_vec()),
        ]);
        allocs.iter().for_each(|alloc| put(&mut tables, alloc));
        tables
    }

    fn ids(allocs: &[Allocation]) -> Vec<u8> {
        allocs.iter().map(|alloc| alloc.id[0]).collect()
    }

    #[test]
    fn the_first_message_is_full_and_leaves_out_what_is_over_on_both_sides() {
        let mut over = alloc(1, 3);
        over.set_desired_status(DesiredStatus::Stop);
        over.set_client_status(ClientStatus::Complete);
        let mut stopping = alloc(2, 3);
        stopping.set_desired_status(DesiredStatus::Stop);
        let tables = tables(&[over, stopping, alloc(3, 3)]);
        let mut assignments = Assignments::new(NODE);
        let messages = assignments.next(&tables).unwrap();
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert!(message.full);
        assert_eq!((ids(&message.allocs), message.specs.len(), message.state_index), (vec![2, 3], 1, 7));
        assert_eq!(message.over, [vec![1; 16]]);
        assert!(message.allocs.iter().all(|alloc| alloc.metrics.is_none()));
        assert!(assignments.next(&tables).unwrap().is_empty(), "nothing is told twice");
        let empty = Assignments::new([1; 16]).next(&tables).unwrap();
        assert!(empty.len() == 1 && empty[0].full, "an agent is told that it has nothing to run");
    }

    #[test]
    fn later_messages_hold_what_servers_changed_and_what_is_gone() {
        let mut tables = tables(&[alloc(1, 3), alloc(2, 3), alloc(3, 3)]);
        let mut assignments = Assignments::new(NODE);
        assignments.next(&tables).unwrap();
        let mut reported = alloc(1, 3);
        reported.set_client_status(ClientStatus::Complete);
        put(&mut tables, &reported);
        let mut stopped = alloc(2, 8);
        stopped.set_desired_status(DesiredStatus::Stop);
        stopped.set_client_status(ClientStatus::Lost);
        put(&mut tables, &stopped);
        put(&mut tables, &alloc(4, 8));
        tables.commit([
            Write { table: Table::Allocs, key: vec![3; 16], value: None },
            Write { table: Table::AllocsByNode, key: key::by_id(&NODE, &[3; 16]), value: None },
        ]);
        let messages = assignments.next(&tables).unwrap();
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert!(!message.full && message.specs.is_empty(), "the specification was told before");
        assert_eq!((ids(&message.allocs), &message.removed), (vec![2, 4], &vec![vec![3; 16]]));
        assert!(assignments.next(&tables).unwrap().is_empty());
    }

    #[test]
    fn many_changes_go_in_several_messages_each_with_its_specifications() {
        let mut tables = tables(&[]);
        let mut assignments = Assignments::new(NODE);
        assignments.next(&tables).unwrap();
        for number in 1..=3 {
            let mut large = alloc(number, 8);
            large.client_description = "a".repeat(SYNC_BYTES_MAX / 2);
            put(&mut tables, &large);
        }
        let messages = assignments.next(&tables).unwrap();
        assert_eq!(messages.iter().map(|message| ids(&message.allocs)).collect::<Vec<_>>(), [[1], [2], [3]]);
        assert_eq!(messages.iter().map(|message| message.specs.len()).collect::<Vec<_>>(), [1, 0, 0]);
    }
}
