//! Who waits for what: blocking queries and node sessions register a key and are woken by what `apply`
//! touched.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordu_core::state::{Change, Id, Table};
use rustc_hash::{FxBuildHasher, FxHashMap};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// What a watcher waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Any change of a table: `Jobs`, `JobSummaries`, `Evals`, `Allocs`, `Nodes` or `Deployments`.
    Table(Table),
    /// A job and its versions: namespace, id.
    Job(String, String),
    /// A job's summary.
    Summary(String, String),
    /// The evaluations of a job.
    JobEvals(String, String),
    /// The allocations of a job.
    JobAllocs(String, String),
    /// An evaluation.
    Eval(Id),
    /// An allocation.
    Alloc(Id),
    /// A node.
    Node(Id),
    /// The allocations of a node.
    NodeAllocs(Id),
    /// A deployment.
    Deployment(Id),
    /// The deployments of a job.
    JobDeployments(String, String),
}

const SHARDS: usize = 64;

#[derive(Default)]
struct Shard(Mutex<FxHashMap<Key, Watched>>);

struct Watched {
    notify: Arc<Notify>,
    watchers: usize,
}

/// The registry of all who wait on this server.
pub struct Watches {
    shards: Vec<Shard>,
    watchers: AtomicUsize,
}

impl Default for Watches {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { shards, watchers: AtomicUsize::new(0) }
    }
}

/// A registration; it ends when it is dropped.
pub struct Watch {
    watches: Arc<Watches>,
    keys: Vec<(Key, Arc<Notify>)>,
}

impl Watches {
    /// Registers for changes of any of `keys`.
    pub fn watch(self: &Arc<Self>, keys: Vec<Key>) -> Watch {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        // With the one in `wake`: either the change finds this watcher, or what this watcher reads has it.
        fence(Ordering::SeqCst);
        let register = |key: Key| {
            let mut shard = self.shard(&key);
            let watched = shard
                .entry(key.clone())
                .or_insert_with(|| Watched { notify: Arc::new(Notify::new()), watchers: 0 });
            watched.watchers += 1;
            (key, watched.notify.clone())
        };
        Watch { watches: self.clone(), keys: keys.into_iter().map(register).collect() }
    }

    /// Registrations that are open.
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Wakes those who wait for what `changes` touched.
    pub fn wake(&self, changes: &[(u64, Change)]) {
        fence(Ordering::SeqCst);
        if self.watchers() == 0 {
            return;
        }
        for (_, change) in changes {
            match change {
                Change::Job { namespace, id, job, summary, schedule: _ } => {
                    if *job {
                        self.notify(&Key::Table(Table::Jobs));
                        self.notify(&Key::Job(namespace.clone(), id.clone()));
                    }
                    if *summary {
                        self.notify(&Key::Table(Table::JobSummaries));
                        self.notify(&Key::Summary(namespace.clone(), id.clone()));
                    }
                }
                Change::Eval(eval) => {
                    self.notify(&Key::Table(Table::Evals));
                    self.notify(&Key::JobEvals(eval.namespace.clone(), eval.job_id.clone()));
                    self.notify_id(Key::Eval, &eval.id);
                }
                Change::Alloc { old, new } => {
                    let Some(alloc) = new.as_ref().or(old.as_ref()) else { continue };
                    self.notify(&Key::Table(Table::Allocs));
                    self.notify(&Key::JobAllocs(alloc.namespace.clone(), alloc.job_id.clone()));
                    self.notify_id(Key::Alloc, &alloc.id);
                    self.notify_id(Key::NodeAllocs, &alloc.node_id);
                }
                Change::Node { old, new } => {
                    let Some(node) = new.as_ref().or(old.as_ref()) else { continue };
                    self.notify(&Key::Table(Table::Nodes));
                    self.notify_id(Key::Node, &node.id);
                }
                Change::Deployment(deployment) => {
                    let (namespace, job_id) = (deployment.namespace.clone(), deployment.job_id.clone());
                    self.notify(&Key::Table(Table::Deployments));
                    self.notify(&Key::JobDeployments(namespace, job_id));
                    self.notify_id(Key::Deployment, &deployment.id);
                }
            }
        }
    }

    /// Wakes everybody: all tables were replaced.
    pub fn wake_all(&self) {
        for shard in &self.shards {
            for watched in lock(shard).values() {
                watched.notify.notify_waiters();
            }
        }
    }

    fn notify_id(&self, key: fn(Id) -> Key, id: &[u8]) {
        if let Ok(id) = Id::try_from(id) {
            self.notify(&key(id));
        }
    }

    fn notify(&self, key: &Key) {
        if let Some(watched) = self.shard(key).get(key) {
            watched.notify.notify_waiters();
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, FxHashMap<Key, Watched>> {
        lock(&self.shards[(FxBuildHasher.hash_one(key) >> 58) as usize % SHARDS])
    }
}

fn lock(shard: &Shard) -> MutexGuard<'_, FxHashMap<Key, Watched>> {
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Arms the watch: a change from here on completes what is returned. Arm, then read, then wait, and
    /// no change is missed.
    pub fn armed(&self) -> Armed {
        let arm = |(_, notify): &(Key, Arc<Notify>)| {
            let mut notified = Box::pin(notify.clone().notified_owned());
            notified.as_mut().enable();
            notified
        };
        Armed(self.keys.iter().map(arm).collect())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.watchers.fetch_sub(1, Ordering::Relaxed);
        for (key, _) in &self.keys {
            let mut shard = self.watches.shard(key);
            if let Some(watched) = shard.get_mut(key) {
                watched.watchers -= 1;
                if watched.watchers == 0 {
                    shard.remove(key);
                }
            }
        }
    }
}

/// An armed watch.
pub struct Armed(Vec<std::pin::Pin<Box<OwnedNotified>>>);

impl Armed {
    /// Completes once something that is watched has changed since it was armed.
    pub async fn changed(self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(self.0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn job_change(id: &str) -> (u64, Change) {
        let (namespace, id) = ("default".to_owned(), id.to_owned());
        (1, Change::Job { namespace, id, job: true, summary: false, schedule: false })
    }

    fn job_key(id: &str) -> Key {
        Key::Job("default".to_owned(), id.to_owned())
    }

    #[test]
    fn a_change_between_arming_and_waiting_is_not_missed() {
        let watches = Arc::new(Watches::default());
        let watch = watches.watch(vec![job_key("a")]);
        let armed = watch.armed();
        watches.wake(&[job_change("a")]);
        assert!(armed.changed().now_or_never().is_some());
    }

    #[test]
    fn another_job_wakes_no_one_and_the_table_wakes_all_its_watchers() {
        let watches = Arc::new(Watches::default());
        let one = watches.watch(vec![job_key("a")]);
        let table = watches.watch(vec![Key::Table(Table::Jobs)]);
        let (armed_one, armed_table) = (one.armed(), table.armed());
        watches.wake(&[job_change("b")]);
        assert!(armed_one.changed().now_or_never().is_none());
        assert!(armed_table.changed().now_or_never().is_some());
    }

    const ID: Id = [7; 16];
    const NODE: Id = [8; 16];

    /// Every key that anything here could touch, and one of each kind that nothing does.
    fn keys() -> Vec<Key> {
        let tables =
            [Table::Jobs, Table::JobSummaries, Table::Evals, Table::Allocs, Table::Nodes, Table::Deployments];
        let of_jobs: [fn(String, String) -> Key; 5] =
            [Key::Job, Key::Summary, Key::JobEvals, Key::JobAllocs, Key::JobDeployments];
        let of_ids: [fn(Id) -> Key; 5] = [Key::Eval, Key::Alloc, Key::Node, Key::NodeAllocs, Key::Deployment];
        let mut keys: Vec<Key> = tables.into_iter().map(Key::Table).collect();
        for job in ["a", "other"] {
            keys.extend(of_jobs.map(|of| of("default".to_owned(), job.to_owned())));
        }
        for id in [ID, NODE, [9; 16]] {
            keys.extend(of_ids.map(|of| of(id)));
        }
        keys
    }

    #[test]
    fn a_change_wakes_those_who_wait_for_it_and_no_one_else() {
        use ordu_proto::state::{Allocation, Deployment, Evaluation, Node};
        let (namespace, job_id) = ("default".to_owned(), "a".to_owned());
        let job = |job, summary| Change::Job {
            namespace: namespace.clone(),
            id: job_id.clone(),
            job,
            summary,
            schedule: true,
        };
        let of_job = |of: fn(String, String) -> Key| of(namespace.clone(), job_id.clone());
        let (id, node_id) = (ID.to_vec(), NODE.to_vec());
        let eval = Evaluation {
            id: id.clone(),
            namespace: namespace.clone(),
            job_id: job_id.clone(),
            ..Evaluation::default()
        };
        let alloc = Allocation {
            id: id.clone(),
            namespace: namespace.clone(),
            job_id: job_id.clone(),
            node_id: node_id.clone(),
            ..Allocation::default()
        };
        let deployment =
            Deployment { id, namespace: namespace.clone(), job_id: job_id.clone(), ..Deployment::default() };
        let node = Node { id: node_id, ..Node::default() };
        let jobs = vec![Key::Table(Table::Jobs), of_job(Key::Job)];
        let summaries = vec![Key::Table(Table::JobSummaries), of_job(Key::Summary)];
        let of_alloc =
            vec![Key::Table(Table::Allocs), of_job(Key::JobAllocs), Key::Alloc(ID), Key::NodeAllocs(NODE)];
        let of_node = vec![Key::Table(Table::Nodes), Key::Node(NODE)];
        let cases = [
            (job(true, false), jobs.clone()),
            (job(false, true), summaries.clone()),
            (job(true, true), [jobs, summaries].concat()),
            (job(false, false), vec![]),
            (Change::Eval(eval.into()), vec![Key::Table(Table::Evals), of_job(Key::JobEvals), Key::Eval(ID)]),
            (Change::Alloc { old: None, new: Some(alloc.clone().into()) }, of_alloc.clone()),
            (Change::Alloc { old: Some(alloc.into()), new: None }, of_alloc),
            (Change::Node { old: None, new: Some(node.clone().into()) }, of_node.clone()),
            (Change::Node { old: Some(node.into()), new: None }, of_node),
            (
                Change::Deployment(deployment.into()),
                vec![Key::Table(Table::Deployments), of_job(Key::JobDeployments), Key::Deployment(ID)],
            ),
        ];
        for (change, expected) in cases {
            let watches = Arc::new(Watches::default());
            let held: Vec<(Key, Watch)> =
                keys().into_iter().map(|key| (key.clone(), watches.watch(vec![key]))).collect();
            let armed: Vec<(Key, Armed)> =
                held.iter().map(|(key, watch)| (key.clone(), watch.armed())).collect();
            watches.wake(&[(1, change.clone())]);
            let woken: Vec<Key> = armed
                .into_iter()
                .filter_map(|(key, armed)| armed.changed().now_or_never().map(|()| key))
                .collect();
            assert_eq!(expected.len(), woken.len(), "{change:?} wakes {woken:?}");
            assert!(expected.iter().all(|key| woken.contains(key)), "{change:?} wakes {woken:?}");
        }
    }

    #[test]
    fn a_watch_that_ended_leaves_nothing() {
        let watches = Arc::new(Watches::default());
        let (first, second) = (watches.watch(vec![job_key("a")]), watches.watch(vec![job_key("a")]));
        drop(first);
        let armed = second.armed();
        watches.wake_all();
        assert!(armed.changed().now_or_never().is_some());
        drop(second);
        assert_eq!(0, watches.watchers());
        assert!(watches.shards.iter().all(|shard| lock(shard).is_empty()));
    }
}
