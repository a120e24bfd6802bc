//! Change notifications: blocking queries and node sessions watch keys, and are woken when an applied entry
//! changes them.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordu_core::state::{Change, Id, Rows, Table, key};
use rustc_hash::{FxBuildHasher, FxHashMap};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// What is watched: a whole table, one row, or the rows of an owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    table: Table,
    /// Empty for the whole table.
    bytes: Vec<u8>,
}

impl Key {
    /// Any change of a table.
    pub fn table(table: Table) -> Self {
        Self { table, bytes: Vec::new() }
    }

    /// A row of table `T`.
    pub fn row<T: Rows>(key: T::Key<'_>) -> Self {
        Self { table: T::TABLE, bytes: T::key(key) }
    }

    /// All rows of a job; `by_job` is the secondary table that lists them.
    pub fn of_job(by_job: Table, namespace: &str, job_id: &str) -> Self {
        Self { table: by_job, bytes: key::of_job(namespace, job_id) }
    }

    /// All rows of the owner with this id; `by_owner` is the secondary table that lists them.
    pub fn of_owner(by_owner: Table, owner: Id) -> Self {
        Self { table: by_owner, bytes: owner.to_vec() }
    }
}

const SHARDS: usize = 64;

#[derive(Default)]
struct Shard(Mutex<FxHashMap<Key, Watched>>);

struct Watched {
    notify: Arc<Notify>,
    watchers: usize,
}

/// The registry of all watches on this server.
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

/// A registration; dropping it ends it.
pub struct Watch {
    watches: Arc<Watches>,
    keys: Vec<(Key, Arc<Notify>)>,
}

impl Watches {
    /// Registers for changes of any of `keys`.
    pub fn watch(self: &Arc<Self>, keys: Vec<Key>) -> Watch {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `wake`: either `wake` sees this watcher, or the watcher's next read sees
        // the change.
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

    /// Returns the number of open registrations.
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Wakes the watchers of everything that `changes` touched.
    pub fn wake(&self, changes: &[(u64, Change)]) {
        fence(Ordering::SeqCst);
        if self.watchers() == 0 {
            return;
        }
        for (_, change) in changes {
            change.touched(&mut |table, bytes| self.notify(&Key { table, bytes: bytes.to_vec() }));
        }
    }

    /// Wakes all watchers, after all tables were replaced.
    pub fn wake_all(&self) {
        for shard in &self.shards {
            for watched in lock(shard).values() {
                watched.notify.notify_waiters();
            }
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
    /// Arms the watch: a change from now on completes the returned value. To miss no change, arm, then read,
    /// then wait.
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
    /// Waits until something watched has changed since arming.
    pub async fn changed(self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(self.0).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use ordu_core::state::RowChange;
    use ordu_core::state::rows::{Allocs, Deployments, Evals, JobSummaries, Jobs, Nodes, PeriodicLaunches};
    use ordu_proto::state::{
        Allocation, Deployment, Evaluation, Job, JobSummary, Node, PeriodicLaunchRecord,
    };

    use super::*;

    fn change<T: Rows>(key: T::Key<'_>, old: Option<T::Row>, new: Option<T::Row>) -> (u64, Change) {
        (1, Change::new::<T>(RowChange { key: T::key(key), old, new }))
    }

    fn job_change(id: &str) -> (u64, Change) {
        change::<Jobs>(("default", id), None, Some(Job::default()))
    }

    fn job_key(id: &str) -> Key {
        Key::row::<Jobs>(("default", id))
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
        let table = watches.watch(vec![Key::table(Table::Jobs)]);
        let (armed_one, armed_table) = (one.armed(), table.armed());
        watches.wake(&[job_change("b")]);
        assert!(armed_one.changed().now_or_never().is_none());
        assert!(armed_table.changed().now_or_never().is_some());
    }

    const ID: Id = [7; 16];
    const NODE: Id = [8; 16];

    /// Every key that the test changes could touch, and one of each kind that none touches.
    fn keys() -> Vec<Key> {
        let mut keys: Vec<Key> = Table::ALL.into_iter().map(Key::table).collect();
        for job in ["a", "other"] {
            keys.extend([Key::row::<Jobs>(("default", job)), Key::row::<JobSummaries>(("default", job))]);
            let by_job = [Table::EvalsByJob, Table::AllocsByJob, Table::DeploymentsByJob];
            keys.extend(by_job.map(|table| Key::of_job(table, "default", job)));
        }
        for id in [ID, NODE, [9; 16]] {
            keys.extend([Key::row::<Evals>(&id), Key::row::<Allocs>(&id), Key::row::<Nodes>(&id)]);
            keys.extend([Key::row::<Deployments>(&id), Key::of_owner(Table::AllocsByNode, id)]);
        }
        keys
    }

    #[test]
    fn a_change_wakes_those_who_wait_for_it_and_no_one_else() {
        let (namespace, job_id) = ("default".to_owned(), "a".to_owned());
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
            eval_id: vec![5; 16],
            ..Allocation::default()
        };
        let moved = Allocation { node_id: vec![9; 16], ..alloc.clone() };
        let deployment = Deployment { id, namespace, job_id, ..Deployment::default() };
        let node = Node { id: node_id, ..Node::default() };
        let by_job = |table| Key::of_job(table, "default", "a");
        let jobs = vec![Key::table(Table::Jobs), job_key("a")];
        let of_summary = vec![Key::table(Table::JobSummaries), Key::row::<JobSummaries>(("default", "a"))];
        let of_alloc = vec![
            Key::table(Table::Allocs),
            by_job(Table::AllocsByJob),
            Key::row::<Allocs>(&ID),
            Key::of_owner(Table::AllocsByNode, NODE),
        ];
        let of_moved = [of_alloc.clone(), vec![Key::of_owner(Table::AllocsByNode, [9; 16])]].concat();
        let of_node = vec![Key::table(Table::Nodes), Key::row::<Nodes>(&NODE)];
        let launches = vec![Key::table(Table::PeriodicLaunches)];
        let of_eval = vec![Key::table(Table::Evals), by_job(Table::EvalsByJob), Key::row::<Evals>(&ID)];
        let of_deployment = vec![
            Key::table(Table::Deployments),
            by_job(Table::DeploymentsByJob),
            Key::row::<Deployments>(&ID),
        ];
        let job = ("default", "a");
        let cases = [
            (change::<Jobs>(job, None, Some(Job::default())), jobs.clone()),
            (change::<Jobs>(job, Some(Job::default()), None), jobs),
            (change::<JobSummaries>(job, None, Some(JobSummary::default())), of_summary),
            (change::<PeriodicLaunches>(job, None, Some(PeriodicLaunchRecord::default())), launches),
            (change::<Evals>(&ID, None, Some(eval)), of_eval),
            (change::<Allocs>(&ID, None, Some(alloc.clone())), of_alloc.clone()),
            (change::<Allocs>(&ID, Some(alloc.clone()), None), of_alloc),
            (change::<Allocs>(&ID, Some(alloc), Some(moved)), of_moved),
            (change::<Nodes>(&NODE, None, Some(node.clone())), of_node.clone()),
            (change::<Nodes>(&NODE, Some(node), None), of_node),
            (change::<Deployments>(&ID, None, Some(deployment)), of_deployment),
        ];
        for (change, expected) in cases {
            let watches = Arc::new(Watches::default());
            let held: Vec<(Key, Watch)> =
                keys().into_iter().map(|key| (key.clone(), watches.watch(vec![key]))).collect();
            let armed: Vec<(Key, Armed)> =
                held.iter().map(|(key, watch)| (key.clone(), watch.armed())).collect();
            watches.wake(std::slice::from_ref(&change));
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
