//! Group commit: one sync serves all appends that wait for it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::LogDb;
use crate::types::IoFlushed;

/// Who is told once the log is synced.
pub(super) enum Waiter {
    /// Raft's core, of an append.
    Append(IoFlushed),
    /// A caller that must not return before.
    Caller(oneshot::Sender<io::Result<()>>),
}

impl Waiter {
    fn complete(self, result: &io::Result<()>) {
        let result = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        match self {
            Waiter::Append(flushed) => flushed.io_completed(result),
            // A caller that went away has no use for the answer.
            Waiter::Caller(caller) => drop(caller.send(result)),
        }
    }
}

/// Takes what waits for a sync.
#[derive(Clone)]
pub(super) enum Flusher {
    Thread(Arc<SyncThread>),
    Inline(Arc<dyn LogDb>),
}

/// The thread that syncs. It has ended, and let go of the database, when this is dropped: a thread that still
/// closes a database while the process exits makes RocksDB abort it.
pub(super) struct SyncThread {
    /// `None` once it is to end.
    waiters: Option<Sender<Waiter>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        drop(self.waiters.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic there has ended the process already.
            let _ = thread.join();
        }
    }
}

impl Flusher {
    pub(super) fn new(db: Arc<dyn LogDb>) -> io::Result<Self> {
        if !db.sync_blocks() {
            return Ok(Self::Inline(db));
        }
        let (sender, waiters) = channel();
        let thread =
            thread::Builder::new().name("raft-log-sync".to_owned()).spawn(move || run(&*db, &waiters))?;
        Ok(Self::Thread(Arc::new(SyncThread { waiters: Some(sender), thread: Some(thread) })))
    }

    /// Completes `waiter` after a sync that covers everything written before this call.
    pub(super) fn push(&self, waiter: Waiter) {
        match self {
            Self::Inline(db) => waiter.complete(&db.sync()),
            Self::Thread(thread) => {
                let left = match &thread.waiters {
                    Some(waiters) => waiters.send(waiter).err().map(|unsent| unsent.0),
                    None => Some(waiter),
                };
                if let Some(waiter) = left {
                    waiter.complete(&Err(io::Error::other("the log's flusher has ended")));
                }
            }
        }
    }

    /// Returns once everything written before this call is durable.
    pub(super) async fn synced(&self) -> io::Result<()> {
        let (sender, synced) = oneshot::channel();
        self.push(Waiter::Caller(sender));
        synced.await.map_err(|_| io::Error::other("the log's flusher has ended"))?
    }
}

fn run(db: &dyn LogDb, waiters: &Receiver<Waiter>) {
    let mut batch = Vec::new();
    while let Ok(first) = waiters.recv() {
        batch.push(first);
        // Everything that has been written by now is covered by the sync that follows.
        batch.extend(waiters.try_iter());
        let result = db.sync();
        for waiter in batch.drain(..) {
            waiter.complete(&result);
        }
        if let Err(error) = result {
            // After a failed sync the page cache may have dropped what was not written: a later sync
            // that succeeds proves nothing. Raft is told and stops; no sync is tried again.
            tracing::error!(%error, "the raft log cannot be synced; this server stops");
            for waiter in waiters.iter() {
                waiter.complete(&Err(io::Error::other("the raft log could not be synced before")));
            }
            return;
        }
    }
}
