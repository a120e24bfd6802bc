//! Runs openraft's test suite for storages against the stores on disk and in memory.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use ordu_core::state::Change;
use ordu_store::log::{LogDb, LogStore, MemoryLog, RocksLog, Seen, prepare};
use ordu_store::state_machine::{self, Observer, Own, StateMachine};
use ordu_store::tables::{MemoryDb, RocksDb};
use ordu_store::types::TypeConfig;

struct Nobody;

impl Observer for Nobody {
    fn applied(&self, _: u64, _: Vec<(u64, Change)>) {}
    fn restored(&self, _: u64) {}
}

fn log(db: Arc<dyn LogDb>) -> LogStore {
    prepare(&*db, 1).unwrap();
    LogStore::open(db, 1, &Seen::default()).unwrap()
}

struct OnDisk;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, tempfile::TempDir> for OnDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().unwrap();
        let log = log(Arc::new(RocksLog::open(&directory.path().join("log"), true).unwrap()));
        let db = Arc::new(RocksDb::open(&directory.path().join("state"), true).unwrap());
        let own = Own { server_id: 1, progress: log.progress() };
        let (machine, _) = state_machine::open(db, own, Arc::new(Nobody)).unwrap();
        Ok((directory, log, machine))
    }
}

struct InMemory;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, ()> for InMemory {
    async fn build(&self) -> Result<((), LogStore, StateMachine), StorageError<TypeConfig>> {
        let log = log(Arc::new(MemoryLog::default()));
        let own = Own { server_id: 1, progress: log.progress() };
        let (machine, _) = state_machine::open(Arc::new(MemoryDb::default()), own, Arc::new(Nobody)).unwrap();
        Ok(((), log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rocksdb_passes_raft_s_suite() {
    Suite::test_all(OnDisk).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_passes_raft_s_suite() {
    Suite::test_all(InMemory).await.unwrap();
}
