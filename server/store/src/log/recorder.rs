//! Keeps the record file beside the log up to date: writes a vote before it is given, the end of the synced log
//! at most 100 ms later, and a lower end before the log is truncated.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ordu_proto::raft as pb;
use prost::Message;
use tokio::sync::oneshot;

use super::{LogDb, Progress, Syncing};
use crate::codec::{log_id_to_pb, vote_to_pb};
use crate::types::{LogId, Vote};

/// How long to gather syncs for one write of the record. The remainder of the 100 ms is for the write itself.
const GATHER: Duration = Duration::from_millis(80);

/// Writes the record. Dropping it waits until its thread has ended and released the database.
pub(super) struct Recorder {
    shared: Arc<Shared>,
    /// The writing thread, if writing waits for a disk.
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    db: Arc<dyn LogDb>,
    progress: Progress,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    server_id: u64,
    vote: Option<pb::VoteState>,
    /// Whether the log is synced further than the record says.
    is_behind: bool,
    waiting: Vec<oneshot::Sender<io::Result<()>>>,
    failed: Option<String>,
    ends: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the current record, and notifies the callers that wait for it.
    fn write(&self, mut state: MutexGuard<'_, State>) {
        state.is_behind = false;
        let waiting = std::mem::take(&mut state.waiting);
        let record = encode(state.server_id, state.vote, self.progress.get());
        drop(state);
        // If a caller waits, write it to both copies, since a vote must survive the loss of either.
        let again = if waiting.is_empty() { Ok(()) } else { self.db.write_record(&record) };
        let written = again.and_then(|()| self.db.write_record(&record));
        if let Err(error) = &written {
            // A promise that is not recorded could be lost by damage without notice.
            tracing::error!(%error, "the record beside the raft log cannot be written; this server stops");
            self.state().failed = Some(error.to_string());
        }
        for waiter in waiting {
            let result = written.as_ref().copied();
            // The receiver may have been dropped.
            let _ = waiter.send(result.map_err(|error| io::Error::new(error.kind(), error.to_string())));
        }
    }

    /// Returns the state, unless an earlier write of the record failed: a write is not tried again after that.
    fn usable_state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        match &state.failed {
            Some(error) => {
                let text = format!("the record beside the raft log cannot be written: {error}");
                Err(io::Error::other(text))
            }
            None => Ok(state),
        }
    }

    fn run(&self) {
        loop {
            let mut state = self.state();
            while !state.is_behind && state.waiting.is_empty() && !state.ends {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let hurries = |state: &mut State| state.waiting.is_empty() && !state.ends;
            let waited = self.changed.wait_timeout_while(state, GATHER, hurries);
            let state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.ends && !state.is_behind && state.waiting.is_empty() {
                return;
            }
            self.write(state);
        }
    }
}

pub(super) fn encode(server_id: u64, vote: Option<pb::VoteState>, last: Option<LogId>) -> Vec<u8> {
    pb::LogRecord { server_id, vote, last: last.as_ref().map(log_id_to_pb) }.encode_to_vec()
}

impl Recorder {
    /// Starts to keep the record of `db`, whose current vote is `vote`.
    pub(super) fn new(
        db: Arc<dyn LogDb>,
        progress: Progress,
        server_id: u64,
        vote: Option<pb::VoteState>,
    ) -> io::Result<Self> {
        let blocks = db.syncing() == Syncing::Blocks;
        let state =
            State { server_id, vote, is_behind: false, waiting: Vec::new(), failed: None, ends: false };
        let shared = Arc::new(Shared { db, progress, state: Mutex::new(state), changed: Condvar::new() });
        let runs = shared.clone();
        let thread = match blocks {
            true => {
                Some(thread::Builder::new().name("raft-log-record".to_owned()).spawn(move || runs.run())?)
            }
            false => None,
        };
        Ok(Self { shared, thread })
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        match self.thread {
            Some(_) => {
                drop(state);
                self.shared.changed.notify_one();
            }
            None => self.shared.write(state),
        }
    }

    /// Notes that the log is synced further than before.
    ///
    /// # Errors
    /// If an earlier write of the record failed: then nothing may be promised any more.
    pub(super) fn note_synced(&self) -> io::Result<()> {
        let mut state = self.shared.usable_state()?;
        if !state.is_behind {
            state.is_behind = true;
            self.wake(state);
        }
        Ok(())
    }

    /// Waits until the record contains this vote.
    pub(super) async fn vote(&self, vote: &Vote) -> io::Result<()> {
        self.written(|state| state.vote = Some(vote_to_pb(vote))).await
    }

    /// Waits until the record says that the log ends at `last`.
    pub(super) async fn lower(&self, last: Option<LogId>) -> io::Result<()> {
        self.shared.progress.set(last);
        self.written(|_| {}).await
    }

    async fn written(&self, edit: impl FnOnce(&mut State)) -> io::Result<()> {
        let (sender, written) = oneshot::channel();
        {
            let mut state = self.shared.usable_state()?;
            edit(&mut state);
            state.waiting.push(sender);
            self.wake(state);
        }
        written.await.map_err(|_| io::Error::other("the record beside the raft log is not kept any more"))?
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.state().ends = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic in the thread has already ended the process.
            let _ = thread.join();
        }
    }
}
