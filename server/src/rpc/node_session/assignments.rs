//! Computes what a node is to run, and which part of it the node has not been told yet.

use std::collections::{BTreeMap, BTreeSet};

use ordu_core::state::{Corrupt, Id, JobKey, Reader, Table, key, read, readable, reader::ReaderExt};
use ordu_proto::node::{AllocSync, SpecOfJob};
use ordu_proto::raft::LogId;
use ordu_proto::state::{Allocation, ClientStatus};
use prost::Message;

/// Maximum bytes of allocations and specifications in one message. A larger single item gets a message of its
/// own.
const SYNC_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of an allocation that is sent as an id only.
const ID_BYTES: usize = 18;
/// Number and bytes of specifications that an agent may have to remember, in addition to twice those of the
/// full set. Beyond them a new full set is sent, since the agent keeps all specifications of a session.
const SPECS_TOLD_MAX: usize = 16_384;
const SPECS_TOLD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The job, its create index and its version.
type Version = (JobKey, u64, u64);

/// What the node was told about an allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// The allocation, as of its last change by the servers (`alloc_modify_index`).
    At(u64),
    /// Only that it has ended.
    Over,
    /// Only that it exists, since its row cannot be decoded.
    Kept,
}

/// What one session was told.
pub(super) struct Assignments {
    node: Id,
    is_first: bool,
    told: BTreeMap<Id, Told>,
    specs: BTreeSet<Version>,
    /// Total bytes of the specifications told.
    spec_bytes: usize,
    /// Maximum number and bytes of specifications before a new full set.
    specs_max: (usize, usize),
}

impl Assignments {
    /// Creates the state of a new session.
    pub(super) fn new(node: Id) -> Self {
        let (told, specs) = (BTreeMap::new(), BTreeSet::new());
        Self { node, is_first: true, told, specs, spec_bytes: 0, specs_max: (usize::MAX, usize::MAX) }
    }

    /// Whether the next messages are a full set.
    pub(super) fn begins_anew(&self) -> bool {
        self.is_first || self.specs.len() > self.specs_max.0 || self.spec_bytes > self.specs_max.1
    }

    /// Returns the messages that bring the agent to the state of `reader`: first a full set, later only
    /// changes, possibly none. Reads only changed allocations.
    pub(super) fn next(&mut self, reader: &dyn Reader) -> Result<Vec<AllocSync>, Corrupt> {
        if self.begins_anew() {
            *self = Self::new(self.node);
        }
        let position: Option<LogId> = reader.row(Table::Meta, key::meta::APPLIED)?;
        let full = std::mem::take(&mut self.is_first);
        let mut messages = Messages::new(full, position.map_or(0, |position| position.index));
        let mut gone: BTreeSet<Id> = self.told.keys().copied().collect();
        for (id, row) in read::node_allocs(reader, &self.node)? {
            gone.remove(&id);
            let before = self.told.get(&id).copied();
            let Some(row) = row else {
                self.keep(&mut messages, id, before);
                continue;
            };
            let news = if row.over { Told::Over } else { Told::At(row.alloc_modify_index) };
            if self.told.insert(id, news) == Some(news) {
                continue;
            }
            if row.over {
                messages.with_room_for(ID_BYTES).over.push(id.to_vec());
                continue;
            }
            let Some((alloc, spec)) = readable(self.alloc_to_tell(reader, &id))? else {
                self.keep(&mut messages, id, before);
                continue;
            };
            let bytes = alloc.encoded_len() + spec.as_ref().map_or(0, Message::encoded_len);
            let message = messages.with_room_for(bytes);
            message.specs.extend(spec);
            message.allocs.push(alloc);
        }
        for id in gone {
            self.told.remove(&id);
            messages.with_room_for(ID_BYTES).removed.push(id.to_vec());
        }
        if full {
            let (count, bytes) = (self.specs.len(), self.spec_bytes);
            self.specs_max = (2 * count + SPECS_TOLD_MAX, 2 * bytes + SPECS_TOLD_BYTES_MAX);
        }
        Ok(messages.all)
    }

    /// Tells the agent to keep an allocation whose row cannot be decoded: it may be running well on the node.
    fn keep(&mut self, messages: &mut Messages, id: Id, before: Option<Told>) {
        self.told.insert(id, Told::Kept);
        if before != Some(Told::Kept) {
            messages.with_room_for(ID_BYTES).kept.push(id.to_vec());
        }
    }

    fn alloc_to_tell(
        &mut self,
        reader: &dyn Reader,
        id: &Id,
    ) -> Result<(Allocation, Option<SpecOfJob>), Corrupt> {
        let missing =
            || reader.corrupt_row(Table::Allocs, id, "allocs_by_node names it, and it is not there");
        let alloc = as_told(read::alloc(reader, id)?.ok_or_else(missing)?);
        let spec = self.spec_to_tell(reader, &alloc)?;
        Ok((alloc, spec))
    }

    fn spec_to_tell(
        &mut self,
        reader: &dyn Reader,
        alloc: &Allocation,
    ) -> Result<Option<SpecOfJob>, Corrupt> {
        // A lost allocation needs no specification: the node either runs it already or no longer does.
        if alloc.client_status() == ClientStatus::Lost {
            return Ok(None);
        }
        let Allocation { namespace, job_id, job_create_index, job_version, .. } = alloc;
        let version = (JobKey::from(alloc), *job_create_index, *job_version);
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
        self.spec_bytes += spec.json.len() + spec.payload.len();
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

/// Removes the scheduling metrics, which agents do not need.
fn as_told(mut alloc: Allocation) -> Allocation {
    alloc.metrics = None;
    alloc
}

/// Builds messages of limited size.
struct Messages {
    full: bool,
    state_index: u64,
    all: Vec<AllocSync>,
    /// Bytes of the last message.
    bytes: usize,
}

impl Messages {
    fn new(full: bool, state_index: u64) -> Self {
        let mut messages = Self { full, state_index, all: Vec::new(), bytes: 0 };
        // A full set has a message even if it is empty.
        if full {
            messages.begin();
        }
        messages
    }

    fn begin(&mut self) {
        if let Some(last) = self.all.last_mut() {
            last.more = self.full;
        }
        let full = self.full && self.all.is_empty();
        self.all.push(AllocSync { full, state_index: self.state_index, ..AllocSync::default() });
        self.bytes = 0;
    }

    fn with_room_for(&mut self, bytes: usize) -> &mut AllocSync {
        if self.all.is_empty() || (self.bytes > 0 && self.bytes + bytes > SYNC_BYTES_MAX) {
            self.begin();
        }
        self.bytes += bytes;
        let last = self.all.len() - 1;
        &mut self.all[last]
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

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
            row(
                Table::AllocsByNode,
                key::by_id(&alloc.node_id, &alloc.id),
                read::node_alloc(alloc).encode_to_vec(),
            ),
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
    fn the_first_message_is_full_and_tells_only_the_ids_of_what_is_over_on_the_node() {
        // A finished batch allocation must not be stopped.
        let mut done = alloc(1, 3);
        done.set_client_status(ClientStatus::Complete);
        let mut stopping = alloc(2, 3);
        stopping.set_desired_status(DesiredStatus::Stop);
        let mut lost = alloc(4, 3);
        lost.set_desired_status(DesiredStatus::Stop);
        lost.set_client_status(ClientStatus::Lost);
        let tables = tables(&[done, stopping, alloc(3, 3), lost]);
        let mut assignments = Assignments::new(NODE);
        let messages = assignments.next(&tables).unwrap();
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert!(message.full && !message.more);
        assert_eq!((ids(&message.allocs), message.specs.len(), message.state_index), (vec![2, 3, 4], 1, 7));
        assert_eq!(message.over, [vec![1; 16]]);
        assert!(message.allocs.iter().all(|alloc| alloc.metrics.is_none()));
        assert!(assignments.next(&tables).unwrap().is_empty(), "nothing is told twice");
        let empty = Assignments::new([1; 16]).next(&tables).unwrap();
        assert!(empty.len() == 1 && empty[0].full, "an agent is told that it has nothing to run");
    }

    #[test]
    fn a_full_set_larger_than_a_message_goes_in_several_that_say_so() {
        let mut all: Vec<Allocation> = (1..=5).map(|number| alloc(number, 3)).collect();
        all[1].set_client_status(ClientStatus::Complete);
        for large in &mut all {
            large.client_description = "a".repeat(SYNC_BYTES_MAX / 2);
        }
        let messages = Assignments::new(NODE).next(&tables(&all)).unwrap();
        let told: Vec<Vec<u8>> = messages.iter().map(|message| ids(&message.allocs)).collect();
        assert_eq!(told, [[1], [3], [4], [5]]);
        let marks: Vec<(bool, bool)> = messages.iter().map(|message| (message.full, message.more)).collect();
        assert_eq!(marks, [(true, true), (false, true), (false, true), (false, false)]);
        assert_eq!(messages.iter().flat_map(|message| &message.over).collect::<Vec<_>>(), [&vec![2; 16]]);
        assert!(messages.iter().all(|message| message.encoded_len() < SYNC_BYTES_MAX + 1024));
    }

    #[test]
    fn what_cannot_be_decoded_is_named_and_the_rest_is_told() {
        let row = |table, key: Vec<u8>, value: &[u8]| Write { table, key, value: Some(value.to_vec()) };
        let mut of_bad_spec = alloc(4, 3);
        of_bad_spec.job_version = 1;
        let mut tables = tables(&[alloc(1, 3), alloc(2, 3), alloc(3, 3), of_bad_spec]);
        tables.commit([
            row(Table::Allocs, vec![1; 16], &[0xff]),
            row(Table::AllocsByNode, key::by_id(&NODE, &[2; 16]), &[0xff]),
            row(Table::JobSpecs, key::job_spec("default", "j", 0, 1), &[0xff]),
            row(
                Table::AllocsByNode,
                key::by_id(&NODE, &[5; 16]),
                &read::node_alloc(&alloc(5, 3)).encode_to_vec(),
            ),
        ]);
        let mut assignments = Assignments::new(NODE);
        let messages = assignments.next(&tables).unwrap();
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!((message.full, ids(&message.allocs)), (true, vec![3]));
        let kept: Vec<u8> = message.kept.iter().map(|id| id[0]).collect();
        assert_eq!(kept, [1, 2, 4, 5], "an agent does not stop them");
        assert!(assignments.next(&tables).unwrap().is_empty(), "nothing is told twice");
        put(&mut tables, &alloc(1, 3));
        tables.commit([Write { table: Table::AllocsByNode, key: key::by_id(&NODE, &[5; 16]), value: None }]);
        let messages = assignments.next(&tables).unwrap();
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!((ids(&message.allocs), &message.removed), (vec![1], &vec![vec![5; 16]]), "it is mended");
    }

    /// Counts how many allocations are read.
    struct Counting<'a> {
        tables: &'a MemoryTables,
        allocs_read: Cell<usize>,
    }

    impl Reader for Counting<'_> {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
            self.allocs_read.set(self.allocs_read.get() + usize::from(table == Table::Allocs));
            self.tables.get(table, key)
        }

        fn scan(
            &self,
            table: Table,
            start: &[u8],
            end: Option<&[u8]>,
            visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
        ) -> Result<(), Corrupt> {
            assert_ne!(table, Table::Allocs, "allocations of other nodes are of no interest");
            self.tables.scan(table, start, end, visit)
        }
    }

    #[test]
    fn only_what_is_news_is_read() {
        let mut all: Vec<Allocation> = (1..=200).map(|number| alloc(number, 3)).collect();
        for done in &mut all[50..] {
            done.set_client_status(ClientStatus::Complete);
        }
        let mut tables = tables(&all);
        let mut assignments = Assignments::new(NODE);
        let mut read = |tables: &MemoryTables| {
            let counting = Counting { tables, allocs_read: Cell::new(0) };
            let messages = assignments.next(&counting).unwrap();
            (counting.allocs_read.get(), messages)
        };
        assert_eq!(read(&tables).0, 50, "of what is over only the id is told");
        assert_eq!(read(&tables).0, 0);
        all[0].set_client_status(ClientStatus::Failed);
        put(&mut tables, &all[0]);
        put(&mut tables, &alloc(2, 9));
        put(&mut tables, &alloc(201, 9));
        let (count, messages) = read(&tables);
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!((count, ids(&message.allocs), &message.over), (2, vec![2, 201], &vec![vec![1; 16]]));
    }

    #[test]
    fn later_messages_hold_what_servers_changed_and_what_is_gone() {
        let mut tables = tables(&[alloc(1, 3), alloc(2, 3), alloc(3, 3)]);
        let mut assignments = Assignments::new(NODE);
        assignments.next(&tables).unwrap();
        let mut reported = alloc(1, 3);
        reported.client_description = "told by the node".to_owned();
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
