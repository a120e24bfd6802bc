//! Rows of the state tables that cannot be decoded, reported to the operator until they are rewritten.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ordu_core::state::id::IdText;
use ordu_core::state::{Table, Write};
use tokio::sync::watch;

/// Maximum number of remembered rows. If there are more, the tables are damaged as a whole.
const ROWS_MAX: usize = 1_000;

/// The rows that readers could not decode.
#[derive(Debug, Default)]
pub struct SetAside {
    registry: Mutex<Registry>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Registry {
    /// The number of the tables that the rows belong to. Each installed snapshot increments it, so that late
    /// reports from readers of former tables are ignored.
    tables: u64,
    /// The reason why each row cannot be decoded.
    rows: BTreeMap<(Table, Vec<u8>), String>,
    has_more: bool,
}

impl SetAside {
    /// Returns the number of remembered rows; at the maximum there may be more.
    pub fn count(&self) -> usize {
        self.registry().rows.len()
    }

    /// Returns a sentence for the operator; `None` if there are no bad rows.
    pub fn describe(&self) -> Option<String> {
        let registry = self.registry();
        let ((table, key), reason) = registry.rows.first_key_value()?;
        let count = registry.rows.len();
        let or_more = if registry.has_more { " or more" } else { "" };
        Some(format!(
            "{count}{or_more} rows of the state cannot be decoded and are left out; the first is {} in the table \
             {}: {reason}. Where the other servers can read theirs, have this one join anew: stop it for good, \
             move its data directory aside and start it with an empty one",
            printable(key),
            table.name()
        ))
    }

    /// Returns a receiver that is notified of changes.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns the number of the tables in use; for [`SetAside::note`].
    pub(super) fn tables(&self) -> u64 {
        self.registry().tables
    }

    /// Forgets all rows of replaced tables. Returns the number of the new tables.
    pub(super) fn replaced(&self) -> u64 {
        let mut registry = self.registry();
        let tables = registry.tables + 1;
        *registry = Registry { tables, ..Registry::default() };
        drop(registry);
        self.changed.send_replace(());
        tables
    }

    /// Remembers a row that could not be decoded, if it still `is_present` as it was read. That is checked under
    /// the lock that [`SetAside::written`] takes.
    pub(super) fn note(
        &self,
        tables: u64,
        table: Table,
        key: &[u8],
        reason: &str,
        is_present: impl FnOnce() -> bool,
    ) {
        let mut registry = self.registry();
        let at = (table, key.to_vec());
        if registry.tables != tables || registry.rows.contains_key(&at) || !is_present() {
            return;
        }
        if registry.rows.len() >= ROWS_MAX {
            registry.has_more = true;
            return;
        }
        tracing::error!(table = table.name(), key = printable(key), "a row is left out: {reason}");
        registry.rows.insert(at, reason.to_owned());
        drop(registry);
        self.changed.send_replace(());
    }

    /// Forgets rows that were written; if they are still bad, the next reader reports them again.
    pub(super) fn written(&self, writes: &[Write]) {
        let mut registry = self.registry();
        if registry.rows.is_empty() {
            return;
        }
        let before = registry.rows.len();
        for write in writes {
            registry.rows.remove(&(write.table, write.key.clone()));
        }
        if registry.rows.len() == before {
            return;
        }
        // Rows that did not fit will be reported again.
        registry.has_more = false;
        drop(registry);
        self.changed.send_replace(());
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats a key for the operator: most keys are ids, others are names.
fn printable(key: &[u8]) -> String {
    match key.len() == 16 && !key.iter().all(u8::is_ascii_graphic) {
        true => IdText(key).to_string(),
        false => key.escape_ascii().to_string(),
    }
}
