//! A log in memory, which loses what was not synced when its server crashes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use super::{LogBatch, LogDb, Marker};

#[derive(Clone, Default)]
struct Content {
    entries: BTreeMap<u64, Vec<u8>>,
    markers: BTreeMap<Marker, Vec<u8>>,
}

#[derive(Default)]
struct State {
    now: Content,
    /// Written since the last sync, oldest first.
    unsynced: Vec<LogBatch>,
    synced: Content,
}

impl Content {
    fn take(&mut self, batch: &LogBatch) {
        if let Some((start, end)) = batch.remove {
            let removed: Vec<u64> = self.entries.range(start..end).map(|(index, _)| *index).collect();
            for index in removed {
                self.entries.remove(&index);
            }
        }
        self.entries.extend(batch.entries.iter().cloned());
        self.markers.extend(batch.marker.clone());
    }
}

/// A log in memory. It is its server's disk in a simulation and outlives the server's crashes.
#[derive(Default)]
pub struct MemoryLog(Mutex<State>);

impl MemoryLog {
    /// Drops what was not synced, as a power loss does.
    pub fn lose_unsynced(&self) {
        let mut state = self.state();
        state.unsynced.clear();
        state.now = state.synced.clone();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic while the lock was held has ended the simulation anyway.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl LogDb for MemoryLog {
    fn write(&self, batch: LogBatch) -> io::Result<()> {
        let mut state = self.state();
        state.now.take(&batch);
        state.unsynced.push(batch);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        for batch in std::mem::take(&mut state.unsynced) {
            state.synced.take(&batch);
        }
        Ok(())
    }

    fn sync_blocks(&self) -> bool {
        false
    }

    fn marker(&self, marker: Marker) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state().now.markers.get(&marker).cloned())
    }

    fn entries(
        &self,
        start: u64,
        end: u64,
        visit: &mut dyn FnMut(u64, &[u8]) -> io::Result<bool>,
    ) -> io::Result<()> {
        if start >= end {
            return Ok(());
        }
        for (index, bytes) in self.state().now.entries.range(start..end) {
            if !visit(*index, bytes)? {
                break;
            }
        }
        Ok(())
    }

    fn last(&self) -> io::Result<Option<(u64, Vec<u8>)>> {
        Ok(self.state().now.entries.last_key_value().map(|(index, bytes)| (*index, bytes.clone())))
    }
}
