//! A raft log in memory, which loses unsynced writes when its server loses power.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{LogBatch, LogDb, Marker, Site, Syncing};
use crate::runtime::random_bytes;

#[derive(Clone, Default)]
struct Content {
    entries: BTreeMap<u64, Vec<u8>>,
    markers: BTreeMap<Marker, Vec<u8>>,
}

#[derive(Default)]
struct State {
    now: Content,
    /// Batches written since the last sync, oldest first.
    unsynced: Vec<LogBatch>,
    synced: Content,
    record: Option<Vec<u8>>,
    /// Number of writes, and the last write that raft was told is durable.
    writes: u64,
    promised: u64,
    left_out: Option<Site>,
    /// Extra duration of each sync.
    slower_by: Duration,
    /// Descriptions of promised writes that a power loss undid.
    broken_promises: Vec<String>,
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

/// A raft log in memory. In a simulation it stands for the server's disk, so it outlives the server's crashes.
#[derive(Default)]
pub struct MemoryLog(Mutex<State>);

/// Upper limit of the duration of a simulated sync, in milliseconds.
const SYNC_MS_MAX: u64 = 8;

impl MemoryLog {
    /// Drops all unsynced writes, the worst case of a power loss.
    pub fn lose_unsynced(&self) {
        self.lose_all_but(0);
    }

    /// Simulates a power loss: keeps a random number of the oldest unsynced writes, and drops the rest.
    pub fn lose_power(&self) {
        self.lose_all_but(usize::from(random_bytes::<1>()[0]));
    }

    fn lose_all_but(&self, drawn: usize) {
        let mut state = self.state();
        let unsynced = std::mem::take(&mut state.unsynced);
        let kept = drawn % (unsynced.len() + 1);
        let durable = state.writes - (unsynced.len() - kept) as u64;
        if state.promised > durable {
            let text = format!("write {} was promised, and {durable} are there", state.promised);
            state.broken_promises.push(text);
        }
        for batch in &unsynced[..kept] {
            state.synced.take(batch);
        }
        state.now = state.synced.clone();
        // Further writes are numbered from the durable ones on.
        state.writes = durable;
        state.promised = state.promised.min(durable);
    }

    /// Makes each later sync take longer by `by`.
    pub fn slow_down(&self, by: Duration) {
        self.state().slower_by = by;
    }

    /// Skips the syncs for one kind of operation, so that a power loss can undo what was promised.
    pub fn leave_out(&self, site: Site) {
        self.state().left_out = Some(site);
    }

    /// Whether a power loss could undo a promised write.
    pub fn is_exposed(&self) -> bool {
        let state = self.state();
        state.promised > state.writes - state.unsynced.len() as u64
    }

    /// Returns descriptions of writes that power losses undid though raft was told that they are durable.
    pub fn broken_promises(&self) -> Vec<String> {
        self.state().broken_promises.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held has ended the simulation anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogDb for MemoryLog {
    fn write(&self, batch: LogBatch) -> io::Result<u64> {
        let mut state = self.state();
        state.now.take(&batch);
        state.unsynced.push(batch);
        state.writes += 1;
        Ok(state.writes)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        for batch in std::mem::take(&mut state.unsynced) {
            state.synced.take(&batch);
        }
        Ok(())
    }

    fn syncing(&self) -> Syncing {
        let drawn = Duration::from_millis(u64::from(random_bytes::<1>()[0]) % SYNC_MS_MAX);
        Syncing::After(drawn + self.state().slower_by)
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

    fn record(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state().record.clone())
    }

    fn write_record(&self, record: &[u8]) -> io::Result<()> {
        self.state().record = Some(record.to_vec());
        Ok(())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn promised(&self, write: u64) {
        let mut state = self.state();
        state.promised = state.promised.max(write);
    }

    fn leaves_out(&self, site: Site) -> bool {
        self.state().left_out == Some(site)
    }
}
