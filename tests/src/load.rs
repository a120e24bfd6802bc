//! Registers jobs continuously and records which were acknowledged. Only those must exist: a registration that got an
//! error or no answer may or may not have taken effect.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::http::{Connection, encode};
use crate::jobs::{Template, unplaceable};

/// Timeout for an answer. The outcome of the request stays unknown.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Intensity of the load.
#[derive(Debug, Clone)]
pub struct Pressure {
    /// Number of connections, spread over the servers, each with one request at a time.
    pub connections: usize,
    /// Most registrations per second and connection; limited so that the tests can check every job.
    pub per_second: u32,
}

impl Default for Pressure {
    fn default() -> Self {
        Self { connections: 6, per_second: 80 }
    }
}

/// Registrations that continue until `finish`.
pub struct Load {
    stop: watch::Sender<bool>,
    writers: JoinSet<()>,
    record: Arc<Mutex<Record>>,
}

/// Outcomes of the registrations.
#[derive(Debug, Default, Clone)]
pub struct Record {
    /// Ids of jobs whose registration was answered with 200.
    pub acknowledged: BTreeSet<String>,
    /// Number of registrations answered with an error; they may have taken effect.
    pub refused: u64,
    /// The latest of these errors, with its status.
    pub latest_refusal: String,
    /// Number of registrations without an answer.
    pub unanswered: u64,
    /// The reason for the latest missing answer.
    pub latest_failure: String,
    /// The longest time between two consecutive acknowledgements.
    pub longest_gap: Duration,
    acknowledged_at: Option<Instant>,
}

impl Record {
    fn acknowledge(&mut self, id: String) {
        let now = Instant::now();
        let gap =
            self.acknowledged_at.replace(now).map_or(Duration::ZERO, |before| now.duration_since(before));
        self.longest_gap = self.longest_gap.max(gap);
        self.acknowledged.insert(id);
    }
}

impl Load {
    /// Starts to register jobs whose ids begin with `prefix`.
    pub fn start(servers: &[SocketAddr], prefix: &str, pressure: Pressure) -> Self {
        let (stop, stopped) = watch::channel(false);
        let record = Arc::new(Mutex::new(Record::default()));
        let mut writers = JoinSet::new();
        for number in 0..pressure.connections {
            let writer = Writer {
                servers: servers.to_vec(),
                at: number,
                prefix: format!("{prefix}-{number}-"),
                pause: Duration::from_secs(1) / pressure.per_second,
                record: Arc::clone(&record),
            };
            writers.spawn(writer.run(stopped.clone()));
        }
        Self { stop, writers, record }
    }

    /// Returns a copy of the current record.
    pub fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how many registrations have been acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.len()
    }

    /// Stops the load, waits for outstanding answers, and returns the record.
    pub async fn finish(mut self) -> Record {
        // Sending succeeds as long as a writer is running.
        let _ = self.stop.send(true);
        while let Some(writer) = self.writers.join_next().await {
            writer.expect("a writer does not panic");
        }
        self.record()
    }
}

struct Writer {
    servers: Vec<SocketAddr>,
    at: usize,
    prefix: String,
    pause: Duration,
    record: Arc<Mutex<Record>>,
}

impl Writer {
    async fn run(mut self, stopped: watch::Receiver<bool>) {
        let template = Template::new(&unplaceable("template"));
        let mut ticks = interval(self.pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connection: Option<Connection> = None;
        let (mut body, mut request) = (Vec::new(), Vec::new());
        for number in 0_u64.. {
            ticks.tick().await;
            if *stopped.borrow() {
                return;
            }
            if connection.is_none() {
                match timeout(ANSWER_WITHIN, Connection::open(self.servers[self.at % self.servers.len()]))
                    .await
                {
                    Ok(Ok(opened)) => connection = Some(opened),
                    _ => {
                        self.at += 1;
                        continue;
                    }
                }
            }
            let id = format!("{}{number:06}", self.prefix);
            body.clear();
            request.clear();
            template.write(&id, &mut body);
            encode(&mut request, "POST", "/v1/jobs", Some(&body));
            let Some(open) = &mut connection else { continue };
            let answer = timeout(ANSWER_WITHIN, open.exchange(&request)).await;
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(Ok(answer)) if answer.status == 200 => {
                    record.acknowledge(id);
                    continue;
                }
                Ok(Ok(answer)) => {
                    record.refused += 1;
                    record.latest_refusal = format!("{} {}", answer.status, answer.to_response().text());
                    continue;
                }
                Ok(Err(error)) => record.latest_failure = error.to_string(),
                Err(_) => record.latest_failure = "no answer in time".into(),
            }
            record.unanswered += 1;
            drop(record);
            connection = None;
            self.at += 1;
        }
    }
}
