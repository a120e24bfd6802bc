//! Sends requests over many connections, each as fast as its requests are answered.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::statistics::Samples;
use crate::http::Connection;

/// Timeout for an answer, which ends the run.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this duration.
    Elapsed(Duration),
    /// After this many requests.
    Requests(u64),
}

/// Results of a run.
#[derive(Debug, Default)]
pub struct Driven {
    /// Times of the requests that were answered with 200.
    pub times: Samples,
    /// Number of requests with any other answer.
    pub errors: u64,
    /// The latest of these answers.
    pub latest_error: String,
    /// Duration of the run.
    pub elapsed: Duration,
}

impl Driven {
    /// Returns the number of requests answered with 200 per second.
    pub fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Returns the run, or an error if too many requests failed for the figures to be meaningful.
    pub fn trusted(self, what: &str) -> io::Result<Self> {
        if self.times.is_empty() || self.errors > self.times.len() as u64 / 100 {
            let Self { errors, latest_error, times, .. } = &self;
            return Err(io::Error::other(format!(
                "{what}: {errors} of {} requests failed, the latest with {latest_error:?}",
                times.len() as u64 + errors
            )));
        }
        Ok(self)
    }
}

/// Sends requests over `connections` connections. `write` writes the request for a number; each number is used once.
pub async fn drive(
    address: SocketAddr,
    connections: usize,
    until: Until,
    write: impl Fn(u64, &mut Vec<u8>) + Send + Sync + 'static,
) -> io::Result<Driven> {
    let shared = Arc::new((write, AtomicU64::new(0)));
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Connection::open(address).await?);
    }
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for mut connection in opened {
        let shared = Arc::clone(&shared);
        workers.spawn(async move {
            let (write, next) = &*shared;
            let mut driven = Driven::default();
            let mut request = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let over = match until {
                    Until::Elapsed(bound) => start.elapsed() >= bound,
                    Until::Requests(count) => number >= count,
                };
                if over {
                    return Ok(driven);
                }
                request.clear();
                write(number, &mut request);
                let sent = Instant::now();
                let answer = timeout(ANSWER_WITHIN, connection.exchange(&request)).await??;
                if answer.status == 200 {
                    driven.times.push(sent.elapsed());
                } else {
                    driven.errors += 1;
                    driven.latest_error = answer.to_response().text();
                }
            }
        });
    }
    let mut total = Driven::default();
    while let Some(worker) = workers.join_next().await {
        let worker: io::Result<Driven> = worker.map_err(io::Error::other)?;
        let worker = worker?;
        total.times.append(worker.times);
        total.errors += worker.errors;
        if worker.errors > 0 {
            total.latest_error = worker.latest_error;
        }
    }
    total.elapsed = start.elapsed();
    Ok(total)
}
