//! Keeps the leader's broker and node tracker in step with the state: everything from the tables when the
//! term begins, then what is applied, in the order of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordu_core::scheduler::is_terminal;
use ordu_core::state::rows::{Allocs, Evals, Jobs, Nodes, PeriodicLaunches};
use ordu_core::state::{
    Change, Corrupt, Id, Reader, RowChange, Table, key, read, readable, reader::ReaderExt,
};
use ordu_proto::raft::LogId;
use ordu_proto::state::{EvalStatus, Evaluation, Node, NodeStatus};
use ordu_store::background::heavy;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Duties;
use crate::feed::FeedEvent;

/// Follows the state for as long as it runs.
pub(super) async fn run(duties: Arc<Duties>, mut feed: UnboundedReceiver<FeedEvent>) {
    let mut loaded = load(&duties);
    while let Some(event) = feed.recv().await {
        match event {
            FeedEvent::Applied { changes, .. } => {
                let new: Vec<&(u64, Change)> = changes.iter().filter(|(index, _)| *index > loaded).collect();
                if let Err(corrupt) = follow(&duties, &new) {
                    give_up(&duties, &corrupt);
                }
            }
            // A leader installs no snapshots, but what is void is void.
            FeedEvent::Restored => {
                duties.broker.flush();
                loaded = load(&duties);
            }
        }
    }
}

/// Takes in what the tables hold. Answers the index of the state that it was read from. There may be a hundred
/// thousand evaluations that wait.
fn load(duties: &Duties) -> u64 {
    match heavy(true, || take_in(duties)) {
        Ok(index) => index,
        Err(corrupt) => {
            give_up(duties, &corrupt);
            0
        }
    }
}

fn take_in(duties: &Duties) -> Result<u64, Corrupt> {
    let open = duties.context.state.read(Open::read)?;
    let view = duties.context.state.machine().view.snapshot();
    let (pending, blocked, nodes) = (open.pending.len(), open.blocked.len(), open.awaited_nodes.len());
    open.awaited_nodes.into_iter().for_each(|id| duties.liveness.node_changed(id, true));
    duties.broker.enqueue(open.pending);
    for (eval, datacenters) in open.blocked {
        duties.broker.restore(eval, &datacenters, &view);
    }
    tracing::info!(
        "leading in term {} with {pending} evaluations to decide, {blocked} blocked ones and {nodes} nodes",
        duties.term
    );
    Ok(open.index)
}

/// A leader that does not know what is to be done must not lead on as if there were nothing. Single rows that
/// cannot be decoded are passed over, so this is a fault of the storage.
fn give_up(duties: &Duties, corrupt: &Corrupt) {
    let text =
        format!("this server leads and cannot read what is to be done, so it leaves service: {corrupt}");
    duties.context.state.db().faults().report(text);
}

/// What is to be done by the tables.
#[derive(Default)]
struct Open {
    index: u64,
    pending: Vec<Evaluation>,
    /// With the datacenters of their jobs.
    blocked: Vec<(Evaluation, Vec<String>)>,
    awaited_nodes: Vec<Id>,
}

/// An evaluation's status alone: most evaluations are over, and decoding the rest of them would take most
/// of the time.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct StatusOnly {
    #[prost(enumeration = "EvalStatus", tag = "10")]
    status: i32,
}

impl Open {
    fn read(reader: &dyn Reader) -> Result<Open, Corrupt> {
        let position: Option<LogId> = reader.row(Table::Meta, key::meta::APPLIED)?;
        let mut open = Open { index: position.map_or(0, |position| position.index), ..Open::default() };
        reader.scan_prefix(Table::Evals, &[], &mut |at, bytes| {
            let status = reader.decoded(Table::Evals, at, bytes).map(|StatusOnly { status }| status);
            match status.and_then(|status| EvalStatus::try_from(status).ok()) {
                Some(EvalStatus::Pending) => open.pending.extend(reader.decoded(Table::Evals, at, bytes)),
                Some(EvalStatus::Blocked) => {
                    if let Some(eval) = reader.decoded::<Evaluation>(Table::Evals, at, bytes) {
                        let datacenters = datacenters(reader, &eval)?;
                        open.blocked.push((eval, datacenters));
                    }
                }
                _ => {}
            }
            Ok(true)
        })?;
        read::each(reader, Table::Nodes, &[], &mut |node: Node| {
            if is_awaited(&node) {
                open.awaited_nodes.extend(Id::try_from(node.id.as_slice()));
            }
            Ok(())
        })?;
        // The tables have them by their ids.
        open.pending.sort_by_key(|eval| eval.create_index);
        open.blocked.sort_by_key(|(eval, _)| eval.create_index);
        Ok(open)
    }
}

/// The datacenters of the evaluation's job; none if it is gone or cannot be decoded.
pub(super) fn datacenters(reader: &dyn Reader, eval: &Evaluation) -> Result<Vec<String>, Corrupt> {
    let job = readable(read::job(reader, &eval.namespace, &eval.job_id))?.flatten();
    Ok(job.map(|job| job.datacenters).unwrap_or_default())
}

/// Nodes with more room, each with the index of the latest change that gave it.
type Freed<'a> = BTreeMap<&'a [u8], u64>;

fn follow(duties: &Duties, changes: &[&(u64, Change)]) -> Result<(), Corrupt> {
    let mut freed = Freed::new();
    let mut pending = Vec::new();
    for (index, change) in changes {
        if let Some(RowChange { new: Some(eval), .. }) = change.of::<Evals>() {
            match eval.status() {
                EvalStatus::Pending => pending.push(eval.clone()),
                EvalStatus::Blocked => {
                    let datacenters = duties.context.state.read(|reader| datacenters(reader, eval))?;
                    duties.broker.block(eval.clone(), &datacenters);
                }
                EvalStatus::Complete => duties.broker.finished(eval, eval.failed_groups.is_empty()),
                EvalStatus::Failed | EvalStatus::Canceled => duties.broker.finished(eval, false),
                EvalStatus::Unspecified => {}
            }
        } else if let Some(RowChange { old: Some(old), new, .. }) = change.of::<Allocs>() {
            if !is_terminal(old) && new.as_ref().is_none_or(is_terminal) {
                freed.insert(&old.node_id, *index);
            }
        } else if let Some(RowChange { key, old, new }) = change.of::<Nodes>() {
            if let Ok(id) = Id::try_from(key.as_slice()) {
                duties.liveness.node_changed(id, new.as_ref().is_some_and(is_awaited));
            }
            if let Some(new) = new
                && has_more_to_offer(old.as_ref(), new)
            {
                freed.insert(&new.id, *index);
            }
        } else if let Some((namespace, id)) = rescheduled(change) {
            // Without the launcher the term is over.
            let _ = duties.periodic.send((namespace.to_owned(), id.to_owned()));
        }
    }
    if !pending.is_empty() {
        duties.broker.enqueue(pending);
    }
    if !freed.is_empty() {
        unblock(duties, &freed);
    }
    Ok(())
}

/// The periodic job, by namespace and id, whose next launch may be another one after this change.
fn rescheduled(change: &Change) -> Option<(&str, &str)> {
    if let Some(launch) = change.of::<PeriodicLaunches>() {
        return key::job_names(&launch.key);
    }
    let job = change.of::<Jobs>()?.latest()?;
    job.periodic.then_some((&*job.namespace, &*job.id))
}

/// Whether the node goes down when it falls silent: one that is not ready yet speaks, too.
fn is_awaited(node: &Node) -> bool {
    matches!(node.status(), NodeStatus::Ready | NodeStatus::Initializing)
}

/// Whether something may fit on the node that did not before.
fn has_more_to_offer(old: Option<&Node>, new: &Node) -> bool {
    let is_open = |node: &Node| node.status() == NodeStatus::Ready && !node.ineligible && !node.drain;
    let offers_the_same = |old: &Node| {
        old.computed_class == new.computed_class
            && old.resources == new.resources
            && old.reserved == new.reserved
            && old.attributes == new.attributes
            && old.meta == new.meta
    };
    is_open(new) && !old.is_some_and(|old| is_open(old) && offers_the_same(old))
}

/// Many nodes are of few classes: each class is told once.
fn unblock(duties: &Duties, freed: &Freed<'_>) {
    let mut classes: BTreeMap<(String, String), u64> = BTreeMap::new();
    {
        let machine = duties.context.state.machine();
        for (node, index) in freed {
            if let Some((class, datacenter)) = machine.view.class_and_datacenter(node) {
                let latest = classes.entry((class.to_owned(), datacenter.to_owned())).or_default();
                *latest = (*latest).max(*index);
            }
        }
    }
    for ((class, datacenter), index) in classes {
        duties.broker.unblock(&class, &datacenter, index);
    }
}

#[cfg(test)]
mod tests {
    use ordu_core::state::{MemoryTables, Write};
    use ordu_proto::state::{DriverInfo, Job, NodeEvent};
    use prost::Message;

    use super::*;

    fn node() -> Node {
        let mut node = Node { id: vec![1; 16], ..Node::default() };
        node.set_status(NodeStatus::Ready);
        node
    }

    type Edit = fn(&mut Node);

    #[test]
    fn only_a_change_for_the_better_offers_more() {
        let cases: [(&str, Edit, Edit, bool); 6] = [
            ("nothing", |_| {}, |_| {}, false),
            ("an event", |_| {}, |new| new.events.push(NodeEvent::default()), false),
            ("eligible again", |old| old.ineligible = true, |_| {}, true),
            ("up again", |old| old.set_status(NodeStatus::Down), |_| {}, true),
            ("another class", |_| {}, |new| "c".clone_into(&mut new.computed_class), true),
            ("drained", |old| old.computed_class.push('c'), |new| new.drain = true, false),
        ];
        for (name, before, after, expected) in cases {
            let (mut old, mut new) = (node(), node());
            new.drivers.insert("d".to_owned(), DriverInfo { update_time_ns: 1, ..DriverInfo::default() });
            before(&mut old);
            after(&mut new);
            assert_eq!(expected, has_more_to_offer(Some(&old), &new), "{name}");
        }
        assert!(has_more_to_offer(None, &node()));
    }

    #[test]
    fn a_row_that_cannot_be_decoded_drops_only_itself_when_a_term_begins() {
        let eval = |number: u8, job_id: &str, status: EvalStatus| {
            let mut eval =
                Evaluation { id: vec![number; 16], job_id: job_id.to_owned(), ..Evaluation::default() };
            eval.set_status(status);
            Write { table: Table::Evals, key: eval.id.clone(), value: Some(eval.encode_to_vec()) }
        };
        let row = |table, key: &[u8], value: Vec<u8>| Write { table, key: key.to_vec(), value: Some(value) };
        let good = Job { id: "good".to_owned(), datacenters: vec!["dc1".to_owned()], ..Job::default() };
        let pending = eval(9, "good", EvalStatus::Pending).value.unwrap();
        let mut tables = MemoryTables::default();
        tables.commit([
            eval(1, "good", EvalStatus::Pending),
            eval(2, "bad", EvalStatus::Pending),
            eval(3, "good", EvalStatus::Blocked),
            eval(4, "bad", EvalStatus::Blocked),
            row(Table::Evals, &[5; 16], vec![0xff]),
            // Its status can be read, and nothing behind it.
            row(Table::Evals, &[6; 16], [pending, vec![0xff]].concat()),
            row(Table::Jobs, &key::job("", "good"), good.encode_to_vec()),
            row(Table::Jobs, &key::job("", "bad"), vec![0xff]),
            row(Table::Nodes, &[1; 16], node().encode_to_vec()),
            row(Table::Nodes, &[2; 16], vec![0xff]),
        ]);
        let open = Open::read(&tables).unwrap();
        assert_eq!(open.pending.iter().map(|eval| eval.id[0]).collect::<Vec<_>>(), [1, 2]);
        let blocked: Vec<_> =
            open.blocked.iter().map(|(eval, datacenters)| (eval.id[0], datacenters.concat())).collect();
        assert_eq!(blocked, [(3, "dc1".to_owned()), (4, String::new())]);
        assert_eq!(open.awaited_nodes, [[1; 16]]);
    }

    #[test]
    fn a_term_begins_with_what_the_tables_hold_open() {
        let eval = |number: u8, status: EvalStatus| {
            let mut eval =
                Evaluation { id: vec![number; 16], job_id: "j".to_owned(), ..Evaluation::default() };
            eval.set_status(status);
            Write { table: Table::Evals, key: eval.id.clone(), value: Some(eval.encode_to_vec()) }
        };
        let job = Job { id: "j".to_owned(), datacenters: vec!["dc1".to_owned()], ..Job::default() };
        let down = Node { id: vec![2; 16], status: NodeStatus::Down.into(), ..Node::default() };
        let held = Node { id: vec![3; 16], status: NodeStatus::Initializing.into(), ..Node::default() };
        let row = |table, key: &[u8], value: Vec<u8>| Write { table, key: key.to_vec(), value: Some(value) };
        let mut tables = MemoryTables::default();
        tables.commit([
            eval(1, EvalStatus::Pending),
            eval(2, EvalStatus::Complete),
            eval(3, EvalStatus::Blocked),
            eval(4, EvalStatus::Canceled),
            row(Table::Jobs, &key::job("", "j"), job.encode_to_vec()),
            row(Table::Nodes, &[1; 16], node().encode_to_vec()),
            row(Table::Nodes, &[2; 16], down.encode_to_vec()),
            row(Table::Nodes, &[3; 16], held.encode_to_vec()),
            row(Table::Meta, key::meta::APPLIED, LogId { term: 1, index: 7 }.encode_to_vec()),
        ]);
        let open = Open::read(&tables).unwrap();
        assert_eq!(open.index, 7);
        assert_eq!(open.pending.iter().map(|eval| eval.id[0]).collect::<Vec<_>>(), [1]);
        let blocked: Vec<_> =
            open.blocked.iter().map(|(eval, datacenters)| (eval.id[0], datacenters.concat())).collect();
        assert_eq!(blocked, [(3, "dc1".to_owned())]);
        assert_eq!(open.awaited_nodes, [[1; 16], [3; 16]]);
    }
}
