//! State tables in memory, which revert to their last flush when their server crashes.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ordu_core::state::{Corrupt, MemoryTables, Reader, Table, Write};
use ordu_proto::raft::SnapshotHeader;

use super::{SetAside, TablesDb, check_tables};
use crate::codec::invalid;
use crate::faults::Faults;
use crate::snapshot::{SnapshotData, SnapshotReceiver};
use crate::state_machine::position;

#[derive(Default)]
struct State {
    now: MemoryTables,
    flushed: MemoryTables,
    snapshot: Option<SnapshotData>,
    /// Rows of tables that this release does not know, received in a snapshot.
    unknown: Bytes,
}

/// State tables in memory. In a simulation they stand for the server's disk, so they outlive its crashes.
#[derive(Default)]
pub struct MemoryDb {
    state: Mutex<State>,
    faults: Faults,
    set_aside: SetAside,
}

/// A reader of the tables that reports rows which cannot be decoded.
struct MemoryReader<'a> {
    tables: &'a MemoryTables,
    faults: &'a Faults,
    set_aside: &'a SetAside,
}

impl MemoryDb {
    /// Reverts to the last flush, as after the process was killed.
    pub fn lose_unflushed(&self) {
        let mut state = self.state();
        state.now = state.flushed.clone();
    }

    /// Returns the tables in a snapshot, and the rows of tables that this release does not know.
    fn read_snapshot(&self, snapshot: &SnapshotData) -> io::Result<(MemoryTables, Bytes)> {
        let bytes = snapshot.memory().ok_or_else(|| invalid("a snapshot of files for tables in memory"))?;
        let (tables, unknown) = decode(bytes.clone())?;
        if position(&tables)? != snapshot.meta {
            return Err(invalid("a snapshot that is not of what its header says"));
        }
        Ok((tables, unknown))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held has ended the simulation anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for MemoryReader<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Corrupt> {
        self.tables.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        self.tables.scan(table, start, end, visit)
    }

    fn scan_reverse(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool, Corrupt>,
    ) -> Result<(), Corrupt> {
        self.tables.scan_reverse(table, start, end, visit)
    }

    fn set_aside(&self, table: Table, key: &[u8], reason: &str) {
        if table == Table::Meta {
            self.faults.report(format!("the state tables in memory: {}: {reason}", key.escape_ascii()));
        } else {
            // The row is still present: the reader holds the lock, so nothing is written.
            self.set_aside.note(self.set_aside.tables(), table, key, reason, || true);
        }
    }
}

impl TablesDb for MemoryDb {
    fn with_snapshot(&self, with: &mut dyn FnMut(&dyn Reader)) {
        let (faults, set_aside) = (&self.faults, &self.set_aside);
        with(&MemoryReader { tables: &self.state().now, faults, set_aside });
    }

    fn with_latest(&self, with: &mut dyn FnMut(&dyn Reader)) {
        self.with_snapshot(with);
    }

    fn commit(&self, writes: Vec<Write>) -> io::Result<()> {
        let mut state = self.state();
        self.set_aside.written(&writes);
        state.now.commit(writes);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.state();
        state.flushed = state.now.clone();
        Ok(())
    }

    fn checkpoint(&self) -> io::Result<SnapshotData> {
        self.flush()?;
        let mut state = self.state();
        let meta = position(&state.now)?;
        let snapshot = SnapshotData::in_memory(meta, encode(&state.now, &state.unknown));
        state.snapshot = Some(snapshot.clone());
        Ok(snapshot)
    }

    fn current_snapshot(&self) -> io::Result<Option<SnapshotData>> {
        Ok(self.state().snapshot.clone())
    }

    fn receive(&self, header: &SnapshotHeader) -> io::Result<SnapshotReceiver> {
        SnapshotReceiver::into_memory(header)
    }

    fn check_received(&self, snapshot: &SnapshotData) -> io::Result<()> {
        check_tables(&self.read_snapshot(snapshot)?.0, snapshot)
    }

    fn install(&self, snapshot: &SnapshotData) -> io::Result<()> {
        let (tables, unknown) = self.read_snapshot(snapshot)?;
        let mut state = self.state();
        (state.now, state.unknown) = (tables, unknown);
        state.flushed = state.now.clone();
        state.snapshot = Some(snapshot.clone());
        self.set_aside.replaced();
        Ok(())
    }

    fn scrub(&self, _pace: &mut dyn FnMut(usize) -> bool) -> io::Result<()> {
        Ok(())
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn set_aside(&self) -> &SetAside {
        &self.set_aside
    }

    fn blocks(&self) -> bool {
        false
    }
}

fn encode(tables: &MemoryTables, unknown: &Bytes) -> Bytes {
    let mut bytes = BytesMut::new();
    for (table, key, value) in tables.iter() {
        put_row(&mut bytes, table as u8, key, value);
    }
    bytes.extend_from_slice(unknown);
    bytes.freeze()
}

fn put_row(bytes: &mut BytesMut, table: u8, key: &[u8], value: &[u8]) {
    bytes.put_u8(table);
    for part in [key, value] {
        bytes.put_u64(part.len() as u64);
        bytes.put_slice(part);
    }
}

fn decode(mut bytes: Bytes) -> io::Result<(MemoryTables, Bytes)> {
    let (mut writes, mut unknown) = (Vec::new(), BytesMut::new());
    let short = |_| invalid("a snapshot that ends in the middle of a row");
    while bytes.has_remaining() {
        let number = bytes.try_get_u8().map_err(short)?;
        let mut part = || -> io::Result<Vec<u8>> {
            let length = usize::try_from(bytes.try_get_u64().map_err(short)?).map_err(invalid)?;
            if length > bytes.remaining() {
                return Err(invalid("a snapshot that ends in the middle of a row"));
            }
            Ok(bytes.split_to(length).to_vec())
        };
        let (key, value) = (part()?, part()?);
        match Table::ALL.get(usize::from(number)) {
            Some(table) => writes.push(Write { table: *table, key, value: Some(value) }),
            None => put_row(&mut unknown, number, &key, &value),
        }
    }
    let mut tables = MemoryTables::default();
    tables.commit(writes);
    Ok((tables, unknown.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_tables_that_are_not_known_are_kept_and_passed_on() {
        let db = MemoryDb::default();
        let mut sent = BytesMut::new();
        put_row(&mut sent, Table::Jobs as u8, b"job", b"row");
        put_row(&mut sent, u8::MAX, b"later", b"row");
        let snapshot = SnapshotData::in_memory(position(&MemoryTables::default()).unwrap(), sent.freeze());
        db.install(&snapshot).unwrap();
        db.commit(vec![Write { table: Table::Jobs, key: b"next".to_vec(), value: Some(b"row".to_vec()) }])
            .unwrap();
        let (tables, unknown) = db.read_snapshot(&db.checkpoint().unwrap()).unwrap();
        assert_eq!(2, tables.iter().count());
        let mut expected = BytesMut::new();
        put_row(&mut expected, u8::MAX, b"later", b"row");
        assert_eq!(expected, unknown);
    }
}
