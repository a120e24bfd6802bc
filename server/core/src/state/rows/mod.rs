//! What a table of rows is, declared in one place for each: its key, the secondary rows that lead to it, and so who is
//! woken by a change.

mod allocs;
mod deployments;
mod evals;
mod jobs;
mod nodes;

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use prost::Message;

use super::Table;

pub use allocs::Allocs;
pub use deployments::Deployments;
pub use evals::Evals;
pub use jobs::{JobSummaries, JobVersions, Jobs, PeriodicLaunches};
pub use nodes::Nodes;

/// A table whose rows are messages. Implemented by a type that stands for the table and has no values.
///
/// A watcher is woken by a change of the table, of a row by its key, and of all rows that an owner in a secondary table
/// has.
pub trait Rows: 'static {
    /// A row.
    type Row: Message + Default + Clone + PartialEq + Debug;
    /// What a row is found by.
    type Key<'k>;

    /// The table.
    const TABLE: Table;

    /// Whether clients see the index of the table's last change (`X-Nomad-Index`, blocking queries).
    const INDEXED: bool = false;

    /// The key's bytes.
    fn key(key: Self::Key<'_>) -> Vec<u8>;

    /// The secondary rows that lead to `row`.
    fn secondary(_row: &Self::Row) -> Vec<Secondary> {
        Vec::new()
    }
}

/// A row of a secondary table: its key is the owner's followed by the id of what is owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secondary {
    /// The secondary table.
    pub table: Table,
    /// Whose row it is, as the key begins.
    pub owner: Vec<u8>,
    /// The rest of the key.
    pub rest: Vec<u8>,
    /// The value; empty where the key says all.
    pub value: Vec<u8>,
}

impl Secondary {
    /// A row whose key says all.
    pub fn of(table: Table, owner: Vec<u8>, rest: &[u8]) -> Self {
        Self { table, owner, rest: rest.to_vec(), value: Vec::new() }
    }

    /// The whole key.
    pub fn key(&self) -> Vec<u8> {
        [&*self.owner, &*self.rest].concat()
    }
}

/// A row before and after an entry.
#[derive(Clone, Debug)]
pub struct RowChange<R> {
    /// The row's key.
    pub key: Vec<u8>,
    /// Before the entry; `None` where the row is new.
    pub old: Option<R>,
    /// After the entry; `None` where it was removed.
    pub new: Option<R>,
}

impl<R> RowChange<R> {
    /// The row as it is, or as it was last.
    pub fn latest(&self) -> Option<&R> {
        self.new.as_ref().or(self.old.as_ref())
    }
}

/// A change of one row of any table, for those who keep something in step with the state: the scheduler's view,
/// watchers, the leader's duties. Clones share it.
#[derive(Clone, Debug)]
pub struct Change(Arc<dyn AnyChange>);

impl Change {
    /// A change of a row of the table `T`.
    pub fn new<T: Rows>(change: RowChange<T::Row>) -> Self {
        Self(Arc::new(Of::<T>(change)))
    }

    /// The rows before and after, where it is a change of the table `T`.
    pub fn of<T: Rows>(&self) -> Option<&RowChange<T::Row>> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref::<Of<T>>().map(|Of(change)| change)
    }

    /// Calls `wake` with each table and the bytes of each key in it that somebody may wait for; without bytes the table
    /// as a whole is meant.
    pub fn touched(&self, wake: &mut dyn FnMut(Table, &[u8])) {
        self.0.touched(wake);
    }
}

/// A change of the table `T`.
struct Of<T: Rows>(RowChange<T::Row>);

impl<T: Rows> Debug for Of<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple(T::TABLE.name()).field(&self.0).finish()
    }
}

trait AnyChange: Any + Debug + Send + Sync {
    fn touched(&self, wake: &mut dyn FnMut(Table, &[u8]));
}

impl<T: Rows> AnyChange for Of<T> {
    fn touched(&self, wake: &mut dyn FnMut(Table, &[u8])) {
        let Self(RowChange { key, old, new }) = self;
        wake(T::TABLE, &[]);
        wake(T::TABLE, key);
        let owners = |row: &Option<T::Row>| row.as_ref().map(T::secondary).unwrap_or_default();
        let now = owners(new);
        for secondary in &now {
            wake(secondary.table, &secondary.owner);
        }
        for secondary in owners(old) {
            // An owner that has the row still is woken once.
            if !now.iter().any(|same| same.table == secondary.table && same.owner == secondary.owner) {
                wake(secondary.table, &secondary.owner);
            }
        }
    }
}
