//! Measures how long servers take to answer after they were killed and started again with their data.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::drive::Until;
use super::measures::register;
use super::options::Options;
use super::statistics::Samples;
use super::table::{Row, Table, count, milliseconds};
use super::target::Target;
use crate::http::Client;

/// Number of restarts of each kind.
const RESTARTS: usize = 5;
/// Timeout for a restarted server to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Registers many jobs, then kills and restarts a follower, and then all servers. Measures the time until a read with
/// default consistency is answered.
pub async fn restart(target: &mut Target, options: &Options, table: &mut Table) -> io::Result<()> {
    let (jobs, address) = (options.restart_jobs, target.leader);
    let what = "registrations before the restarts";
    register(address, options.connections, Until::Requests(jobs), target.new_ids(jobs), what).await?;
    for all in [false, true] {
        let mut times = Samples::default();
        for _ in 0..RESTARTS {
            target.find_leader().await;
            times.push(one_restart(target, all).await?);
        }
        let [median, most, last] = times.at([0.5, 0.99, 1.0]);
        table.push(Row {
            measure: format!("restart with {} jobs until a read is answered", count(jobs as f64)),
            place: if all { "all servers" } else { "follower" }.into(),
            result: milliseconds(median),
            median: milliseconds(median),
            p99: milliseconds(most),
            last: milliseconds(last),
            note: format!("{RESTARTS} kills"),
        });
    }
    Ok(())
}

async fn one_restart(target: &mut Target, all: bool) -> io::Result<Duration> {
    let follower = *target.followers.first().ok_or_else(|| io::Error::other("there is no follower"))?;
    let Some(cluster) = &mut target.own else {
        return Err(io::Error::other("only servers that were started here are killed"));
    };
    let numbers: Vec<usize> = (0..cluster.servers.len())
        .filter(|number| all || cluster.servers[*number].http == follower)
        .collect();
    numbers.iter().for_each(|number| cluster.servers[*number].kill());
    let started = Instant::now();
    numbers.iter().for_each(|number| cluster.start_server(*number));
    answers(follower).await?;
    Ok(started.elapsed())
}

async fn answers(address: SocketAddr) -> io::Result<()> {
    let client = Client::new(address).with_timeout(ANSWER_WITHIN);
    let start = Instant::now();
    while start.elapsed() < ANSWER_WITHIN {
        if client.get("/v1/jobs?prefix=none").await.is_ok_and(|answer| answer.status == 200) {
            return Ok(());
        }
        sleep(Duration::from_millis(2)).await;
    }
    Err(io::Error::other("the server that was restarted does not answer"))
}
