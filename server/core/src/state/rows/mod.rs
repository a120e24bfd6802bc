//! Declarations of the row tables: each declares its key and its secondary rows, which also
//! determine the watchers that a change wakes.

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

/// A table whose rows are messages. The implementing type only names the table.
///
/// A change of a row wakes the watchers of the table, of the row's key, and of each owner of one of its secondary rows.
pub trait Rows: 'static {
    /// Type of the rows.
    type Row: Message + Default + Clone + PartialEq + Debug;
    /// Logical key of a row.
    type Key<'k>;

    /// The table.
    const TABLE: Table;

    /// Whether clients see the index of the table's last change (`X-Nomad-Index`, blocking queries).
    const INDEXED: bool = false;

    /// Encodes a key.
    fn key(key: Self::Key<'_>) -> Vec<u8>;

    /// Returns the secondary rows that refer to `row`.
    fn secondary(_row: &Self::Row) -> Vec<Secondary> {
        Vec::new()
    }
}

/// A row of a secondary table. Its key is the owner's key followed by the id of the owned row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secondary {
    /// The secondary table.
    pub table: Table,
    /// First part of the key: the owner.
    pub owner: Vec<u8>,
    /// Second part of the key.
    pub rest: Vec<u8>,
    /// The value; empty if the key is all the information.
    pub value: Vec<u8>,
}

impl Secondary {
    /// Builds a secondary row without a value.
    pub fn of(table: Table, owner: Vec<u8>, rest: &[u8]) -> Self {
        Self { table, owner, rest: rest.to_vec(), value: Vec::new() }
    }

    /// Returns the whole key.
    pub fn key(&self) -> Vec<u8> {
        [&*self.owner, &*self.rest].concat()
    }
}

/// A row before and after an entry.
#[derive(Clone, Debug)]
pub struct RowChange<R> {
    /// The row's key.
    pub key: Vec<u8>,
    /// The row before the entry; `None` if it is new.
    pub old: Option<R>,
    /// The row after the entry; `None` if it was removed.
    pub new: Option<R>,
}

impl<R> RowChange<R> {
    /// Returns the new row, or the removed one.
    pub fn latest(&self) -> Option<&R> {
        self.new.as_ref().or(self.old.as_ref())
    }
}

/// A change of one row of any table, for everything that follows the state: the scheduler's view, watchers, the
/// leader's duties. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Change(Arc<dyn AnyChange>);

impl Change {
    /// Wraps a change of a row of the table `T`.
    pub fn new<T: Rows>(change: RowChange<T::Row>) -> Self {
        Self(Arc::new(Of::<T>(change)))
    }

    /// Returns the change if it concerns the table `T`.
    pub fn of<T: Rows>(&self) -> Option<&RowChange<T::Row>> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref::<Of<T>>().map(|Of(change)| change)
    }

    /// Calls `wake` with each table and key whose watchers the change affects. An empty key stands for the whole table.
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
            // Wake an owner only once if it owns both the old and the new row.
            if !now.iter().any(|same| same.table == secondary.table && same.owner == secondary.owner) {
                wake(secondary.table, &secondary.owner);
            }
        }
    }
}
