//! Writes and syncs the log on a thread other than raft's: one sync serves all waiting jobs (group commit), and
//! even a large entry does not delay heartbeats.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::check::log_meta;
use super::recent::Recent;
use super::recorder::Recorder;
use super::sync_watch::SyncWatch;
use super::{LogBatch, LogDb, Marker, Progress, Syncing};
use crate::codec;
use crate::types::{Entry, IoFlushed, LogId};
use crate::urgency::Urgency;

/// The receiver of a job's result.
pub(super) enum Told {
    /// Raft's core, for an append.
    Append(IoFlushed),
    /// A caller that waits for the result.
    Caller(oneshot::Sender<io::Result<()>>),
}

/// What a job writes.
pub(super) enum Content {
    Nothing,
    Entries(Vec<Entry>),
    Batch(LogBatch),
}

/// The condition under which a job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The content is written, durable or not.
    Written,
    /// The content is durable.
    Synced,
    /// The content is written, and is reported as durable without a sync; see [`LogDb::leaves_out`].
    SyncLeftOut,
}

/// A write, or a wait for earlier writes.
pub(super) struct Job {
    pub(super) content: Content,
    pub(super) done: Done,
    pub(super) told: Told,
    /// The log's end after this write, if the write moves it forward.
    pub(super) last: Option<LogId>,
}

/// A job that is written and waits for a sync, with the number of its write.
struct Waiter {
    done: Done,
    told: Told,
    last: Option<LogId>,
    write: u64,
}

impl Told {
    fn complete(self, result: &io::Result<()>) {
        let result = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        match self {
            Told::Append(flushed) => flushed.io_completed(result),
            // The receiver may have been dropped.
            Told::Caller(caller) => drop(caller.send(result)),
        }
    }
}

/// The database that is written and synced, and the parts that track its progress.
pub(super) struct Target {
    pub(super) db: Arc<dyn LogDb>,
    pub(super) progress: Progress,
    pub(super) recorder: Recorder,
    pub(super) syncs: SyncWatch,
    pub(super) recent: Recent,
    /// A committed id to be written along with the next write; it is not worth a write of its own.
    pub(super) committed: Mutex<Option<LogId>>,
    /// All entries before this index were removed, and their disk space is not freed yet; 0 if there is nothing to
    /// free.
    pub(super) removed_before: AtomicU64,
}

impl Target {
    /// Notes that the job's write, and all before it, are reported as durable.
    fn promise(&self, waiter: &Waiter) {
        if let Some(last) = waiter.last {
            self.progress.raise(last);
        }
        self.db.promised(waiter.write);
    }

    pub(super) fn committed(&self) -> MutexGuard<'_, Option<LogId>> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, content: Content) -> io::Result<u64> {
        let mut batch = match content {
            Content::Nothing => LogBatch::default(),
            Content::Batch(batch) => batch,
            Content::Entries(entries) => {
                let encoded = |entry: &Entry| (entry.log_id.index, codec::entry_to_pb(entry).encode_to_vec());
                LogBatch { entries: entries.iter().map(encoded).collect(), ..LogBatch::default() }
            }
        };
        if batch.marker.is_none()
            && let Some(committed) = self.committed().take()
        {
            batch.marker = Some((Marker::Committed, log_meta(Some(&committed))));
        }
        if batch.is_empty() {
            return Ok(0);
        }
        let last = batch.entries.last().map(|(index, _)| *index);
        let removed = batch.remove.filter(|(start, _)| *start == 0).map(|(_, end)| end);
        let written = self.db.write(batch)?;
        if let Some(end) = removed {
            self.removed_before.store(end, Ordering::Relaxed);
        }
        if let Some(last) = last {
            self.recent.note_written(last);
        }
        Ok(written)
    }

    /// Writes `jobs` in order, and completes those that need no sync. Returns the jobs that wait for a sync.
    fn write_all(&self, jobs: &mut Vec<Job>) -> Result<Vec<Waiter>, Failed> {
        let mut waiters = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.drain(..);
        while let Some(Job { content, done, told, last }) = jobs.next() {
            let written = self.write(content);
            let write = *written.as_ref().unwrap_or(&0);
            waiters.push(Waiter { done, told, last, write });
            if let Err(error) = written {
                waiters.extend(jobs.map(|job| Waiter { done, told: job.told, last: job.last, write }));
                return Err(Failed { error, waiters });
            }
        }
        // Complete the jobs that need no sync now, before the others are synced.
        for waiter in waiters.extract_if(.., |waiter| waiter.done != Done::Synced) {
            let mut result = Ok(());
            if waiter.done == Done::SyncLeftOut {
                self.promise(&waiter);
                result = self.recorder.note_synced();
            }
            waiter.told.complete(&result);
        }
        Ok(waiters)
    }

    /// Syncs once for all `waiters`, and completes them.
    fn sync_for(&self, waiters: Vec<Waiter>) -> io::Result<()> {
        if waiters.is_empty() {
            return Ok(());
        }
        self.syncs.begin();
        let mut result = self.db.sync();
        self.syncs.end();
        if result.is_ok() {
            waiters.iter().for_each(|waiter| self.promise(waiter));
            result = self.recorder.note_synced();
        }
        for waiter in waiters {
            waiter.told.complete(&result);
        }
        result.inspect(|()| self.reclaim())
    }

    /// Frees the disk space of removed entries, now that the removal is durable.
    fn reclaim(&self) {
        let end = self.removed_before.swap(0, Ordering::Relaxed);
        if end > 0
            && let Err(error) = self.db.reclaim(end)
        {
            tracing::warn!(%error, "what was purged from the raft log still takes room on the disk");
        }
    }

    /// Stops the log after an error: later writes and syncs could not be relied on.
    fn fail(&self, what: &str, error: &io::Error) {
        tracing::error!(%error, "the raft log cannot be {what}; this server stops");
        self.recent.give_up();
    }
}

/// A failed write, with the jobs that wait for it or for a later one.
struct Failed {
    error: io::Error,
    waiters: Vec<Waiter>,
}

impl Failed {
    fn tell(self) {
        let result = Err(self.error);
        self.waiters.into_iter().for_each(|waiter| waiter.told.complete(&result));
    }
}

/// A queue of jobs, processed in order.
#[derive(Clone)]
pub(super) enum Flusher {
    Thread(Arc<FlushThread>),
    Task(mpsc::UnboundedSender<Job>),
}

/// The thread that writes and syncs. Dropping it waits until the thread has ended and released the database: if
/// a thread closes a database while the process exits, RocksDB aborts the process.
pub(super) struct FlushThread {
    /// `None` tells the thread to end.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for FlushThread {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic in the thread has already ended the process.
            let _ = thread.join();
        }
    }
}

impl Flusher {
    pub(super) fn new(target: Arc<Target>) -> io::Result<Self> {
        if target.db.syncing() != Syncing::Blocks {
            let (sender, jobs) = mpsc::unbounded_channel();
            tokio::spawn(run_task(target, jobs));
            return Ok(Self::Task(sender));
        }
        let (sender, jobs) = channel();
        let thread = thread::Builder::new().name("raft-log-sync".to_owned()).spawn(move || {
            // The priority is optional; the system may deny it.
            let _ = Urgency::Raft.take();
            run(&target, &jobs);
        })?;
        Ok(Self::Thread(Arc::new(FlushThread { jobs: Some(sender), thread: Some(thread) })))
    }

    /// Queues `job` after all earlier jobs.
    pub(super) fn push(&self, job: Job) {
        let left = match self {
            Self::Task(jobs) => jobs.send(job).err().map(|unsent| unsent.0),
            Self::Thread(thread) => match &thread.jobs {
                Some(jobs) => jobs.send(job).err().map(|unsent| unsent.0),
                None => Some(job),
            },
        };
        if let Some(job) = left {
            job.told.complete(&Err(io::Error::other("the log's flusher has ended")));
        }
    }

    /// Waits until `content` is `done`. `last` is the log's end after this write, if the write moves it forward.
    pub(super) async fn finish(&self, content: Content, done: Done, last: Option<LogId>) -> io::Result<()> {
        let (sender, finished) = oneshot::channel();
        self.push(Job { content, done, told: Told::Caller(sender), last });
        finished.await.map_err(|_| io::Error::other("the log's flusher has ended"))?
    }
}

/// Returns the result for all jobs after a failed write or sync. The page cache may have dropped the unwritten
/// data, so a later successful sync proves nothing. Nothing is retried; raft receives the error and stops.
pub(super) fn failed_before() -> io::Result<()> {
    Err(io::Error::other("the raft log could not be written or synced before"))
}

fn run(target: &Target, jobs: &Receiver<Job>) {
    let mut batch = Vec::new();
    while let Ok(first) = jobs.recv() {
        batch.push(first);
        batch.extend(jobs.try_iter());
        let done = match target.write_all(&mut batch) {
            Ok(waiters) => target.sync_for(waiters).inspect_err(|error| target.fail("synced", error)).is_ok(),
            Err(failed) => {
                target.fail("written", &failed.error);
                failed.tell();
                false
            }
        };
        if !done {
            jobs.iter().for_each(|job| job.told.complete(&failed_before()));
            return;
        }
    }
    // On an orderly end, also write the last committed id.
    if let Err(error) = target.write(Content::Nothing) {
        tracing::debug!(%error, "the committed id could not be noted");
    }
}

/// The same for a simulated disk, whose syncs take time on the runtime's clock.
async fn run_task(target: Arc<Target>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, usize::MAX).await > 0 {
        let done = match target.write_all(&mut batch) {
            Ok(waiters) => {
                if let Syncing::After(delay) = target.db.syncing()
                    && !waiters.is_empty()
                {
                    tokio::time::sleep(delay).await;
                }
                target.sync_for(waiters).inspect_err(|error| target.fail("synced", error)).is_ok()
            }
            Err(failed) => {
                target.fail("written", &failed.error);
                failed.tell();
                false
            }
        };
        if !done {
            while let Some(job) = jobs.recv().await {
                job.told.complete(&failed_before());
            }
            return;
        }
    }
}
