//! Puts one kind of client load after another on a cluster and reports the results of each: elections, memory, answers,
//! and the time until the cluster is back to normal.

mod loads;
mod watch;

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::time::{Instant, sleep_until};

use self::watch::{Answers, Busy, Watch};
use crate::bench::allow_many_connections;
use crate::bench::table::{count, machine, megabytes, milliseconds};
use crate::harness::{Cluster, Shape};

/// Loads a cluster of its own in every way that clients can, each with two busy processes beside it, and prints what
/// came of it. It fails where a load brought an election.
#[derive(Parser, Debug, Clone)]
#[command(name = "overload")]
pub struct Options {
    /// Length of all loads together, in seconds
    #[arg(long, default_value_t = 600)]
    pub seconds: u64,
    /// Which loads; all unless it is given
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<Kind>,
    /// Jobs that are there before
    #[arg(long, default_value_t = 20_000)]
    pub jobs: usize,
    /// Processes beside the cluster that only take time
    #[arg(long, default_value_t = 2)]
    pub busy: usize,
}

/// A kind of load.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 200 clients that register jobs of 3.8 MB
    Bodies,
    /// 10,000 connections, each with a request every few seconds
    Connections,
    /// 5,000 blocking queries of 50 jobs that change all the time
    Queries,
    /// 16 clients that ask for plans of a job of 20,000 allocations
    Plans,
    /// 32 clients that list everything
    Lists,
    /// 400 clients that list all jobs and read nothing
    Readers,
    /// 2,000 jobs that are launched every two seconds
    Launches,
}

/// Results of all loads.
pub struct Report {
    /// A Markdown table and the facts needed to interpret it.
    pub text: String,
    /// Number of elections during the loads.
    pub elections: u64,
}

/// Timeout for the cluster to return to normal.
const NORMAL_WITHIN: Duration = Duration::from_secs(120);

/// Runs the loads.
///
/// # Errors
/// The reason why measuring failed.
pub async fn run(options: &Options) -> Result<Report, String> {
    allow_many_connections().map_err(|error| error.to_string())?;
    let cluster = Cluster::start(Shape::default()).await;
    let servers = cluster.http_addresses();
    loads::fill(&servers, options.jobs).await?;
    let pids: Vec<i32> = cluster.servers.iter().filter_map(|server| server.pid()).collect();
    let kinds = if options.only.is_empty() { Kind::value_variants() } else { &options.only };
    let each = Duration::from_secs(options.seconds) / kinds.len().max(1) as u32;
    let mut report = Report { text: String::new(), elections: 0 };
    let mut rows = String::new();
    for kind in kinds {
        let row = load(*kind, &servers, &pids, each, options.busy).await?;
        report.elections += row.elections;
        eprintln!("{row:?}");
        // Writing to a string does not fail.
        let _ = writeln!(rows, "{}", row.markdown());
    }
    report.text = format!(
        "{}\nThree servers and a node with {} jobs, {} busy processes beside them, {} s for each load.\n\n\
         | load | elections | most memory of each server | slowest small write | answers by status | as before after |\n\
         |---|---|---|---|---|---|\n{rows}",
        machine(),
        count(options.jobs as f64),
        options.busy,
        each.as_secs()
    );
    Ok(report)
}

/// Results of one load.
#[derive(Debug)]
struct Row {
    kind: Kind,
    elections: u64,
    resident_bytes: Vec<u64>,
    slowest_write: Duration,
    answers: Vec<(String, u64)>,
    normal_after: Option<Duration>,
}

impl Row {
    fn markdown(&self) -> String {
        let kind =
            self.kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let memory: Vec<String> = self.resident_bytes.iter().map(|bytes| megabytes(*bytes)).collect();
        let answers: Vec<String> = self
            .answers
            .iter()
            .map(|(status, times)| format!("{status}: {}", count(*times as f64)))
            .collect();
        format!(
            "| {kind} | {} | {} | {} | {} | {} |",
            self.elections,
            memory.join(", "),
            milliseconds(self.slowest_write),
            answers.join(", "),
            self.normal_after.map_or_else(|| "not within two minutes".to_owned(), milliseconds)
        )
    }
}

async fn load(
    kind: Kind,
    servers: &[SocketAddr],
    pids: &[i32],
    length: Duration,
    busy: usize,
) -> Result<Row, String> {
    let answers = Answers::default();
    let before = watch::term(servers).await?;
    let end = Instant::now() + length;
    let busy = Busy::start(busy, length)?;
    let watch = Watch::start(servers, pids);
    let loading = loads::start(kind, servers, &answers).await?;
    sleep_until(end).await;
    drop(loading);
    drop(busy);
    let ended = Instant::now();
    let (resident_bytes, slowest_write) = watch.end().await;
    loads::tidy(kind, servers).await?;
    let normal_after = watch::until_normal(servers, ended, NORMAL_WITHIN).await;
    // Elections caused by the load may end after it.
    let elections = watch::term(servers).await?.saturating_sub(before);
    Ok(Row { kind, elections, resident_bytes, slowest_write, answers: answers.counted(), normal_after })
}
