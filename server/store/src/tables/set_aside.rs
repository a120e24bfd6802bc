//! The rows of a server's tables that cannot be decoded: told to the operator until they are written anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ordu_core::state::id::IdText;
use ordu_core::state::{Table, Write};
use tokio::sync::watch;

/// Rows that are remembered. Where there are more, the tables are damaged as a whole.
const ROWS_MAX: usize = 1_000;

/// The rows that were met and could not be decoded.
#[derive(Debug, Default)]
pub struct SetAside {
    registry: Mutex<Registry>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Registry {
    /// Which tables the rows are of: those before an installed snapshot are gone, though someone may still
    /// read them.
    tables: u64,
    /// With what is wrong with each.
    rows: BTreeMap<(Table, Vec<u8>), String>,
    has_more: bool,
}

impl SetAside {
    /// How many rows are known; as many as are remembered may stand for more.
    pub fn count(&self) -> usize {
        self.registry().rows.len()
    }

    /// A sentence for the operator; `None` where all is well.
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

    /// Follows the changes.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Which tables are in use now; to be given with what is found in them.
    pub(super) fn tables(&self) -> u64 {
        self.registry().tables
    }

    /// Others took the place of the tables: what was known of them counts no more.
    pub(super) fn replaced(&self) -> u64 {
        let mut registry = self.registry();
        let tables = registry.tables + 1;
        *registry = Registry { tables, ..Registry::default() };
        drop(registry);
        self.changed.send_replace(());
        tables
    }

    /// A row could not be decoded. `is_present`: it still stands as it was read; asked while no commit can
    /// overtake this.
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

    /// The rows are written: whoever reads them next tells how they are.
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
        // Those that had no place are met again.
        registry.has_more = false;
        drop(registry);
        self.changed.send_replace(());
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key as an operator can read it: most are ids, the others are names.
fn printable(key: &[u8]) -> String {
    match key.len() == 16 && !key.iter().all(u8::is_ascii_graphic) {
        true => IdText(key).to_string(),
        false => key.escape_ascii().to_string(),
    }
}
