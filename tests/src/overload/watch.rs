//! Measures a cluster during and after a load.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::harness::look_for;
use crate::harness::processes::{resident_bytes, signal};
use crate::http::Client;
use crate::jobs::{registration, unplaceable};

/// Counts answers by kind.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<BTreeMap<String, u64>>>);

impl Answers {
    /// Counts one answer.
    pub(super) fn note(&self, answer: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(answer.into()).or_default() += 1;
    }

    /// Returns all counts.
    pub(super) fn counted(&self) -> Vec<(String, u64)> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.iter().map(|(answer, times)| (answer.clone(), *times)).collect()
    }
}

/// Processes that only use CPU time. They end when this is dropped, or after a timeout.
pub(super) struct Busy(Vec<Child>);

impl Busy {
    /// Starts this many.
    pub(super) fn start(count: usize, at_most: Duration) -> Result<Self, String> {
        let mut busy = Self(Vec::new());
        for _ in 0..count {
            let mut command = Command::new("timeout");
            command.arg((at_most.as_secs() + 5).to_string()).args(["sh", "-c", "while :; do :; done"]);
            let started = command.stdin(Stdio::null()).spawn();
            busy.0.push(started.map_err(|error| format!("cannot start a busy process: {error}"))?);
        }
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // `timeout` forwards this signal to its child. A process that has ended is no error.
            signal(child.id() as i32, Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}

/// Returns the cluster's term: the highest term reported by any server.
pub(super) async fn term(servers: &[SocketAddr]) -> Result<u64, String> {
    let mut greatest = 0;
    for server in servers {
        let asked = Client::new(*server).get("/v1/metrics?format=prometheus").await;
        let text = asked.map_err(|error| format!("no metrics of {server}: {error}"))?.text();
        let told = text.lines().find_map(|line| line.strip_prefix("ordu_raft_term ")?.parse::<f64>().ok());
        greatest = greatest.max(told.ok_or_else(|| format!("no term in {text}"))? as u64);
    }
    Ok(greatest)
}

/// Samples the servers' memory and periodically writes a small job.
pub(super) struct Watch {
    stop: watch::Sender<bool>,
    memory: JoinHandle<Vec<u64>>,
    writes: JoinHandle<Duration>,
}

const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Watch {
    /// Starts measuring.
    pub(super) fn start(servers: &[SocketAddr], pids: &[i32]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut look, pids) = (stopped.clone(), pids.to_vec());
        let memory = tokio::spawn(async move {
            let mut most = vec![0; pids.len()];
            while timeout(LOOK_EVERY, look.wait_for(|stop| *stop)).await.is_err() {
                for (most, pid) in most.iter_mut().zip(&pids) {
                    *most = (*most).max(resident_bytes(*pid).unwrap_or(0));
                }
            }
            most
        });
        let (mut wait, servers) = (stopped, servers.to_vec());
        let writes = tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            let mut turn = servers.iter().cycle();
            while timeout(LOOK_EVERY, wait.wait_for(|stop| *stop)).await.is_err() {
                let Some(server) = turn.next() else { break };
                let began = Instant::now();
                while !write(*server, Duration::from_secs(60)).await
                    && timeout(LOOK_EVERY, wait.wait_for(|stop| *stop)).await.is_err()
                {}
                slowest = slowest.max(began.elapsed());
            }
            slowest
        });
        Self { stop, memory, writes }
    }

    /// Returns the peak memory of each server and the longest time of a small write, including retries.
    pub(super) async fn end(self) -> (Vec<u64>, Duration) {
        // Sending fails if both tasks have ended.
        let _ = self.stop.send(true);
        (self.memory.await.unwrap_or_default(), self.writes.await.unwrap_or(Duration::MAX))
    }
}

/// Registers a small job; returns whether it was acknowledged.
async fn write(server: SocketAddr, within: Duration) -> bool {
    let client = Client::new(server).with_timeout(within);
    let written = client.post("/v1/jobs", &registration(&unplaceable("overload-probe"))).await;
    written.is_ok_and(|answer| answer.status == 200)
}

/// Upper bound for the time of a write or a list in a cluster without load.
const NORMAL: Duration = Duration::from_millis(500);

/// How many consecutive times all servers must meet [`NORMAL`].
const IN_A_ROW: usize = 5;

/// Returns how long after the load's end every server answers writes and reads as normal, several times in a row;
/// `None` if that takes longer than `within`.
pub(super) async fn until_normal(
    servers: &[SocketAddr],
    ended: Instant,
    within: Duration,
) -> Option<Duration> {
    let in_a_row = Cell::new(0);
    look_for(within, async || {
        in_a_row.set(if all_answer(servers).await { in_a_row.get() + 1 } else { 0 });
        if in_a_row.get() == IN_A_ROW { Ok(ended.elapsed()) } else { Err(()) }
    })
    .await
    .ok()
}

async fn all_answer(servers: &[SocketAddr]) -> bool {
    for server in servers {
        let began = Instant::now();
        let read = Client::new(*server).with_timeout(NORMAL);
        let well = write(*server, NORMAL).await
            && read.get("/v1/job/overload-probe").await.is_ok_and(|answer| answer.status == 200)
            && began.elapsed() < NORMAL;
        if !well {
            return false;
        }
    }
    true
}
