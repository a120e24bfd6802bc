//! Registrations under load with a record of what was acknowledged. Only an acknowledgement is a promise: a
//! registration that met an error, or no answer, may be there or not.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::http::{Connection, encode};
use crate::jobs::{Template, unplaceable};

/// An answer that takes longer is given up; its outcome stays unknown.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How hard to press.
#[derive(Debug, Clone)]
pub struct Pressure {
    /// Connections, each with one request at a time, spread over the servers.
    pub connections: usize,
    /// The most that one connection registers in a second, so that the tests can look at every job.
    pub per_second: u32,
}

impl Default for Pressure {
    fn default() -> Self {
        Self { connections: 6, per_second: 80 }
    }
}

/// Registrations that go on until `finish`.
pub struct Load {
    stop: watch::Sender<bool>,
    writers: JoinSet<()>,
    record: Arc<Mutex<Record>>,
}

/// What became of the registrations.
#[derive(Debug, Default, Clone)]
pub struct Record {
    /// Ids of jobs whose registration was answered with 200.
    pub acknowledged: BTreeSet<String>,
    /// Registrations answered with an error; whether they took effect is not known.
    pub refused: u64,
    /// The latest such error, with its status.
    pub latest_refusal: String,
    /// Registrations without an answer.
    pub unanswered: u64,
    /// Why there was none, the last time.
    pub latest_failure: String,
    /// The longest time between two acknowledgements, one after the other.
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
    /// Starts registering jobs whose ids begin with `prefix`.
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

    /// The record as it stands.
    pub fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many registrations have been acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.len()
    }

    /// Stops, waits for the answers that are due, and gives the record.
    pub async fn finish(mut self) -> Record {
        // The writers hold the other end until they are done.
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
