//! Group commit: one sync serves all that wait for it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};

use super::recorder::Recorder;
use super::sync_watch::SyncWatch;
use super::{LogDb, Progress, Syncing};
use crate::types::{IoFlushed, LogId};

/// Who is told once the log is synced.
pub(super) enum Told {
    /// Raft's core, of an append.
    Append(IoFlushed),
    /// A caller that must not return before.
    Caller(oneshot::Sender<io::Result<()>>),
    /// No one.
    Nobody,
}

/// Something that waits for a sync.
pub(super) struct Waiter {
    pub(super) told: Told,
    /// The number of the write that it waits for.
    pub(super) write: u64,
    /// The log's end by that write, where it moved it.
    pub(super) last: Option<LogId>,
}

impl Told {
    pub(super) fn complete(self, result: &io::Result<()>) {
        let result = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        match self {
            Told::Append(flushed) => flushed.io_completed(result),
            // A caller that went away has no use for the answer.
            Told::Caller(caller) => drop(caller.send(result)),
            Told::Nobody => {}
        }
    }
}

/// What is synced, and who keeps account of it.
pub(super) struct Target {
    pub(super) db: Arc<dyn LogDb>,
    pub(super) progress: Progress,
    pub(super) recorder: Recorder,
    pub(super) syncs: SyncWatch,
}

impl Target {
    /// What raft is told from here on counts as durable.
    pub(super) fn promise(&self, waiter: &Waiter) {
        if let Some(last) = waiter.last {
            self.progress.raise(last);
        }
        self.db.promised(waiter.write);
    }

    /// Syncs for all of `batch` and tells them.
    fn sync_for(&self, batch: &mut Vec<Waiter>) -> io::Result<()> {
        self.syncs.begin();
        let mut result = self.db.sync();
        self.syncs.end();
        if result.is_ok() {
            batch.iter().for_each(|waiter| self.promise(waiter));
            result = self.recorder.note_synced();
        }
        for waiter in batch.drain(..) {
            waiter.told.complete(&result);
        }
        result
    }
}

/// Takes what waits for a sync.
#[derive(Clone)]
pub(super) enum Flusher {
    Thread(Arc<SyncThread>),
    Task(mpsc::UnboundedSender<Waiter>),
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
    pub(super) fn new(target: Arc<Target>) -> io::Result<Self> {
        if target.db.syncing() != Syncing::Blocks {
            let (sender, waiters) = mpsc::unbounded_channel();
            tokio::spawn(run_task(target, waiters));
            return Ok(Self::Task(sender));
        }
        let (sender, waiters) = channel();
        let thread =
            thread::Builder::new().name("raft-log-sync".to_owned()).spawn(move || run(&target, &waiters))?;
        Ok(Self::Thread(Arc::new(SyncThread { waiters: Some(sender), thread: Some(thread) })))
    }

    /// Completes `waiter` after a sync that covers everything written before this call.
    pub(super) fn push(&self, waiter: Waiter) {
        let left = match self {
            Self::Task(waiters) => waiters.send(waiter).err().map(|unsent| unsent.0),
            Self::Thread(thread) => match &thread.waiters {
                Some(waiters) => waiters.send(waiter).err().map(|unsent| unsent.0),
                None => Some(waiter),
            },
        };
        if let Some(waiter) = left {
            waiter.told.complete(&Err(io::Error::other("the log's flusher has ended")));
        }
    }

    /// Tells `waiter` without a sync; see [`LogDb::leaves_out`].
    pub(super) fn skip(&self, target: &Target, waiter: Waiter) {
        target.promise(&waiter);
        let noted = target.recorder.note_synced();
        waiter.told.complete(&noted);
    }

    /// Returns once the write of this number, which moved the log's end to `last`, is durable.
    pub(super) async fn synced(&self, write: u64, last: Option<LogId>) -> io::Result<()> {
        let (sender, synced) = oneshot::channel();
        self.push(Waiter { told: Told::Caller(sender), write, last });
        synced.await.map_err(|_| io::Error::other("the log's flusher has ended"))?
    }
}

/// What those are told who come after a sync that failed. The page cache may have dropped what was not written:
/// a later sync that succeeds proves nothing. Raft is told and stops; no sync is tried again.
fn failed_before() -> io::Result<()> {
    Err(io::Error::other("the raft log could not be synced before"))
}

fn run(target: &Target, waiters: &Receiver<Waiter>) {
    let mut batch = Vec::new();
    while let Ok(first) = waiters.recv() {
        batch.push(first);
        // Everything that has been written by now is covered by the sync that follows.
        batch.extend(waiters.try_iter());
        if let Err(error) = target.sync_for(&mut batch) {
            tracing::error!(%error, "the raft log cannot be synced; this server stops");
            waiters.iter().for_each(|waiter| waiter.told.complete(&failed_before()));
            return;
        }
    }
}

/// The same for a simulated disk, which takes its time on the runtime's clock.
async fn run_task(target: Arc<Target>, mut waiters: mpsc::UnboundedReceiver<Waiter>) {
    let mut batch = Vec::new();
    while waiters.recv_many(&mut batch, usize::MAX).await > 0 {
        if let Syncing::After(delay) = target.db.syncing() {
            tokio::time::sleep(delay).await;
        }
        if let Err(error) = target.sync_for(&mut batch) {
            tracing::error!(%error, "the raft log cannot be synced; this server stops");
            while let Some(waiter) = waiters.recv().await {
                waiter.told.complete(&failed_before());
            }
            return;
        }
    }
}
