//! Tracks on the leader when nodes were last heard from, and marks silent nodes down.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::ReadPolicy;
use ordu_core::limits::ENTRY_ROWS_READ_MAX;
use ordu_core::scheduler::ClusterView;
use ordu_core::state::reader::ReaderExt;
use ordu_core::state::rows::Nodes;
use ordu_core::state::{Change, Corrupt, Id, Reader, Table, read, readable};
use ordu_proto::command::{NodeStatusChange, NodeStatusUpdate};
use ordu_proto::state::{Node, NodeStatus};
use ordu_store::background::heavy;
use ordu_store::runtime::random_bytes;
use rustc_hash::FxHashMap;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::duties::Duty;
use super::term::Term;
use crate::context::Context;
use crate::node_label;

/// Maximum number of nodes marked down in one entry.
const NODES_DOWN_PER_ENTRY_MAX: usize = 256;

/// Number of checks for silent nodes per TTL.
const LOOKS_PER_TTL: u32 = 20;

/// How long to wait for a quorum to confirm leadership before marking nodes down.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);

/// When nodes were last heard from. Every server has one; it is active only on the leader.
#[derive(Debug, Default)]
pub struct Liveness(Mutex<Option<Tracked>>);

#[derive(Debug)]
struct Tracked {
    term: u64,
    /// Nodes that must send heartbeats (ready or initializing), by id.
    heard: FxHashMap<Id, Instant>,
}

impl Liveness {
    /// Records that nodes are alive.
    pub fn note_alive(&self, nodes: &[Id]) {
        if let Some(tracked) = &mut *self.tracked() {
            let now = Instant::now();
            for id in nodes {
                if let Some(heard) = tracked.heard.get_mut(id) {
                    *heard = now;
                }
            }
        }
    }

    /// Starts tracking as the leader of `term`.
    fn begin(&self, term: u64) {
        *self.tracked() = Some(Tracked { term, heard: FxHashMap::default() });
    }

    /// Stops tracking for `term`; does nothing if a newer term has begun.
    fn end(&self, term: u64) {
        let mut tracked = self.tracked();
        if tracked.as_ref().is_some_and(|tracked| tracked.term == term) {
            *tracked = None;
        }
    }

    /// Follows a change of a node's row: an awaited node counts as just heard from, any other is no longer
    /// tracked.
    fn node_changed(&self, id: Id, is_awaited: bool) {
        if let Some(tracked) = &mut *self.tracked() {
            if is_awaited {
                tracked.heard.insert(id, Instant::now());
            } else {
                tracked.heard.remove(&id);
            }
        }
    }

    /// Returns the first nodes after id `after`, in id order, that have been silent for longer than
    /// `silence`.
    fn silent(&self, silence: Duration, after: Option<Id>) -> Vec<Id> {
        let Some(tracked) = &*self.tracked() else { return Vec::new() };
        let now = Instant::now();
        let is_silent = |(id, heard): &(&Id, &Instant)| {
            after.is_none_or(|after| **id > after) && now.duration_since(**heard) > silence
        };
        let mut silent: Vec<Id> = tracked.heard.iter().filter(is_silent).map(|(id, _)| *id).collect();
        silent.sort_unstable();
        silent.truncate(NODES_DOWN_PER_ENTRY_MAX);
        silent
    }

    /// Extends all nodes' time by `pause`, during which this server could not hear from them.
    fn forgive(&self, pause: Duration) {
        if let Some(tracked) = &mut *self.tracked() {
            let now = Instant::now();
            tracked.heard.values_mut().for_each(|heard| {
                *heard = heard.checked_add(pause).map_or(now, |heard| heard.min(now));
            });
        }
    }

    fn tracked(&self) -> MutexGuard<'_, Option<Tracked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty that tracks nodes and marks silent ones down.
pub(super) struct NodeLiveness(Term);

impl NodeLiveness {
    /// Starts the checks, with no nodes tracked yet.
    pub(super) fn start(term: &Term, tasks: &mut JoinSet<()>) -> Self {
        term.liveness.begin(term.number);
        let looking = term.clone();
        tasks.spawn(async move {
            let Context { options, cluster, .. } = &looking.context;
            let leads = || cluster.is_leader();
            let down = |nodes| write_down(&looking.context, looking.number, nodes);
            track(&looking.liveness, options.heartbeat_ttl, options.heartbeat_grace, leads, down).await;
        });
        Self(term.clone())
    }
}

impl Drop for NodeLiveness {
    fn drop(&mut self) {
        self.0.liveness.end(self.0.number);
    }
}

impl Duty for NodeLiveness {
    fn name(&self) -> &'static str {
        "liveness of nodes"
    }

    fn load(&self, tables: &dyn Reader, _view: &ClusterView) -> Result<(), Corrupt> {
        let nodes = awaited(tables)?;
        tracing::info!("{} nodes are to speak to the leader", nodes.len());
        nodes.into_iter().for_each(|id| self.0.liveness.node_changed(id, true));
        Ok(())
    }

    fn follow(&self, changes: &[(u64, Change)]) -> Result<(), Corrupt> {
        for (_, change) in changes {
            if let Some(node) = change.of::<Nodes>()
                && let Ok(id) = Id::try_from(node.key.as_slice())
            {
                self.0.liveness.node_changed(id, node.new.as_ref().is_some_and(is_awaited));
            }
        }
        Ok(())
    }
}

/// Returns the nodes that must send heartbeats.
fn awaited(tables: &dyn Reader) -> Result<Vec<Id>, Corrupt> {
    let mut nodes = Vec::new();
    read::each(tables, Table::Nodes, &[], &mut |node: Node| {
        if is_awaited(&node) {
            nodes.extend(Id::try_from(node.id.as_slice()));
        }
        Ok(())
    })?;
    Ok(nodes)
}

/// Whether the node is marked down when it falls silent. Initializing nodes send heartbeats, too.
fn is_awaited(node: &Node) -> bool {
    matches!(node.status(), NodeStatus::Ready | NodeStatus::Initializing)
}

/// Repeatedly finds silent nodes and passes them to `down` in batches. `grace` is added to the TTL because
/// servers report their nodes to the leader once a second, a report may take a second, and one report may
/// fail.
///
/// Silence counts only while this server certainly leads. A leader without a quorum gets no reports, and
/// would otherwise mark all nodes down as soon as the quorum returns.
async fn track<F: Future<Output = ()>>(
    liveness: &Liveness,
    ttl: Duration,
    grace: Duration,
    leads: impl Fn() -> bool,
    mut down: impl FnMut(Vec<Id>) -> F,
) {
    let interval = (ttl / LOOKS_PER_TTL).clamp(Duration::from_millis(20), Duration::from_millis(500));
    let mut looked = Instant::now();
    loop {
        sleep(interval).await;
        let mut after = None;
        loop {
            let late = looked.elapsed().saturating_sub(interval);
            looked = Instant::now();
            if !leads() {
                liveness.forgive(Duration::MAX);
            } else if late > interval * 4 {
                tracing::warn!(
                    "nodes were not looked after for {} ms and get that time too",
                    late.as_millis()
                );
                liveness.forgive(late);
            }
            // Find each batch anew: some nodes may have been heard from while the previous batch was written.
            let nodes = liveness.silent(ttl + grace, after);
            let Some(last) = nodes.last() else { break };
            after = Some(*last);
            down(nodes).await;
        }
    }
}

/// Marks nodes down. Failures are retried in the next round if this server still leads.
async fn write_down(context: &Context, term: u64, nodes: Vec<Id>) {
    // Confirm leadership first: a proposal cannot be withdrawn and would stay in the log until a quorum
    // returns.
    let leads = context.cluster.raft().get_read_log_id(ReadPolicy::ReadIndex);
    if !matches!(timeout(CONFIRM_TIMEOUT, leads).await, Ok(Ok(_))) {
        let named = context.state.read(|reader| named(reader, &nodes)).unwrap_or_default();
        return tracing::warn!("{named}: silent, but no quorum confirms that this server leads");
    }
    let read = |reader: &dyn Reader| {
        let nodes = for_one_entry(reader, nodes)?;
        let named = named(reader, &nodes)?;
        Ok::<_, Corrupt>((nodes, named))
    };
    let (nodes, named) = match heavy(true, || context.state.read(read)) {
        Ok(found) => found,
        Err(error) => return tracing::error!(%error, "it cannot be read what runs on silent nodes"),
    };
    let change = |id: &Id| NodeStatusChange {
        node_id: id.to_vec(),
        status: NodeStatus::Down.into(),
        event_message: "Node heartbeat missed".to_owned(),
    };
    let changes = nodes.iter().map(change).collect();
    let command = NodeStatusUpdate { changes, eval_seed: random_bytes::<16>().to_vec() };
    match context.writer.write_as_leader(term, command).await {
        Ok(_) => tracing::warn!("{named}: silent for too long and down now"),
        Err(error) => tracing::warn!("{named}: silent, and not written down as down: {error}"),
    }
}

/// Formats the nodes for the log.
fn named(reader: &dyn Reader, nodes: &[Id]) -> Result<String, Corrupt> {
    let mut rows = Vec::new();
    for id in nodes {
        // A node that cannot be decoded is named by its id.
        let row = readable(read::node(reader, id))?.flatten();
        rows.push(row.unwrap_or_else(|| Node { id: id.to_vec(), ..Node::default() }));
    }
    Ok(node_label::several(&rows))
}

/// Returns as many of the first nodes as have together no more allocations than one entry may read, but at
/// least one. The next check finds the rest, unless they are heard from before.
fn for_one_entry(reader: &dyn Reader, mut nodes: Vec<Id>) -> Result<Vec<Id>, Corrupt> {
    let mut rows = 0;
    for at in 0..nodes.len() {
        reader.scan_prefix(Table::AllocsByNode, &nodes[at], &mut |_, _| {
            rows += 1;
            Ok(rows <= ENTRY_ROWS_READ_MAX)
        })?;
        if rows > ENTRY_ROWS_READ_MAX {
            nodes.truncate(at.max(1));
            break;
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use ordu_core::state::{MemoryTables, Write, key};
    use prost::Message;
    use tokio::sync::mpsc;
    use tokio::task::JoinSet;
    use tokio::time::advance;

    use super::*;

    #[test]
    fn silent_nodes_with_much_on_them_go_down_in_several_entries() {
        let half = ENTRY_ROWS_READ_MAX as u64 / 2;
        let mut tables = MemoryTables::default();
        for (node, allocs) in [(1, half), (2, half), (3, 1), (4, 3 * half)] {
            let owned = |alloc: u64| Write {
                table: Table::AllocsByNode,
                key: key::by_id(&[node; 16], &[[0; 8], alloc.to_be_bytes()].concat()),
                value: Some(Vec::new()),
            };
            tables.commit((0..allocs).map(owned).collect::<Vec<_>>());
        }
        for (silent, expected) in [
            (vec![1, 2, 5, 3, 4], vec![1, 2, 5]),
            (vec![3, 4], vec![3]),
            (vec![4, 5], vec![4]),
            (vec![5, 6], vec![5, 6]),
        ] {
            let nodes = |bytes: &[u8]| -> Vec<Id> { bytes.iter().map(|node| [*node; 16]).collect() };
            assert_eq!(nodes(&expected), for_one_entry(&tables, nodes(&silent)).unwrap(), "{silent:?}");
        }
    }

    #[test]
    fn nodes_that_are_ready_or_will_be_are_to_speak_and_one_that_cannot_be_decoded_is_passed_over() {
        let node = |number: u8, status: NodeStatus| {
            let node = Node { id: vec![number; 16], status: status.into(), ..Node::default() };
            Write { table: Table::Nodes, key: node.id.clone(), value: Some(node.encode_to_vec()) }
        };
        let mut tables = MemoryTables::default();
        tables.commit([
            node(1, NodeStatus::Ready),
            node(2, NodeStatus::Down),
            node(3, NodeStatus::Initializing),
            Write { table: Table::Nodes, key: vec![4; 16], value: Some(vec![0xff]) },
        ]);
        assert_eq!(awaited(&tables).unwrap(), [[1; 16], [3; 16]]);
    }

    const TTL: Duration = Duration::from_secs(10);
    const GRACE: Duration = Duration::from_secs(3);

    fn tracked(nodes: &[Id]) -> (Arc<Liveness>, mpsc::UnboundedReceiver<Vec<Id>>, JoinSet<()>) {
        let (liveness, down, tasks, _leads) = tracked_by(nodes, Duration::ZERO);
        (liveness, down, tasks)
    }

    type Tracking = (Arc<Liveness>, mpsc::UnboundedReceiver<Vec<Id>>, JoinSet<()>, Arc<AtomicBool>);

    /// Starts a tracker that takes `writing` to mark nodes down; returns the flag that says whether it leads.
    fn tracked_by(nodes: &[Id], writing: Duration) -> Tracking {
        let leads = Arc::new(AtomicBool::new(true));
        let leads_now = leads.clone();
        let liveness = Arc::new(Liveness::default());
        liveness.begin(1);
        nodes.iter().for_each(|id| liveness.node_changed(*id, true));
        let (sender, down) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let tracker = liveness.clone();
        tasks.spawn(async move {
            let write = |nodes: Vec<Id>| {
                nodes.iter().for_each(|id| tracker.node_changed(*id, false));
                sender.send(nodes).unwrap();
                sleep(writing)
            };
            track(&tracker, TTL, GRACE, || leads_now.load(Ordering::Relaxed), write).await;
        });
        (liveness, down, tasks, leads)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_while_no_quorum_answers_is_not_held_against_nodes() {
        let node = [1; 16];
        let (_liveness, mut down, _tasks, leads) = tracked_by(&[node], Duration::ZERO);
        leads.store(false, Ordering::Relaxed);
        assert!(timeout(TTL * 5, down.recv()).await.is_err(), "it was written down without a quorum");
        leads.store(true, Ordering::Relaxed);
        let back = Instant::now();
        assert_eq!(down.recv().await.unwrap(), [node]);
        assert!(back.elapsed() > TTL, "it had only {:?} to speak", back.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_an_entry_waited_is_not_held_against_other_nodes() {
        let (first, second) = ([1; 16], [2; 16]);
        let (liveness, mut down, _tasks, _leads) = tracked_by(&[first, second], TTL * 5);
        sleep(Duration::from_secs(2)).await;
        liveness.note_alive(&[second]);
        assert_eq!(down.recv().await.unwrap(), [first]);
        let proposed = Instant::now();
        assert_eq!(down.recv().await.unwrap(), [second]);
        assert!(proposed.elapsed() > TTL * 5 + Duration::from_secs(1), "{:?}", proposed.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn many_nodes_go_down_in_batches_and_one_that_speaks_meanwhile_does_not() {
        let nodes: Vec<Id> = (0..=NODES_DOWN_PER_ENTRY_MAX as u128).map(u128::to_be_bytes).collect();
        let (liveness, mut down, _tasks, _leads) = tracked_by(&nodes, Duration::from_millis(1));
        assert_eq!(down.recv().await.unwrap(), nodes[..NODES_DOWN_PER_ENTRY_MAX]);
        liveness.note_alive(&nodes[NODES_DOWN_PER_ENTRY_MAX..]);
        assert!(timeout(TTL, down.recv()).await.is_err(), "the last one spoke before its batch was made");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_node_goes_down_after_its_time_and_one_that_speaks_does_not() {
        let (quiet, loud) = ([1; 16], [2; 16]);
        let (liveness, mut down, mut tasks) = tracked(&[quiet, loud]);
        let start = Instant::now();
        tasks.spawn(async move {
            loop {
                liveness.note_alive(&[loud]);
                sleep(Duration::from_secs(3)).await;
            }
        });
        assert_eq!(down.recv().await.unwrap(), [quiet]);
        let after = start.elapsed();
        assert!(after > TTL && after < TTL + GRACE + Duration::from_secs(1), "{after:?}");
        assert!(
            timeout(TTL * 10, down.recv()).await.is_err(),
            "the other one is alive, the first is down for good"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_server_stood_still_is_not_held_against_nodes() {
        let node = [1; 16];
        let (_liveness, mut down, _tasks) = tracked(&[node]);
        tokio::task::yield_now().await;
        advance(TTL * 5).await;
        assert!(timeout(TTL, down.recv()).await.is_err());
        assert_eq!(down.recv().await.unwrap(), [node]);
    }

    #[test]
    fn nothing_is_tracked_where_no_term_is_and_a_term_ends_only_itself() {
        let liveness = Liveness::default();
        liveness.node_changed([1; 16], true);
        assert!(liveness.tracked().is_none());
        liveness.begin(2);
        liveness.end(1);
        assert!(liveness.tracked().is_some());
        liveness.end(2);
        assert!(liveness.tracked().is_none());
    }
}
