//! Measures how long no write is acknowledged after the leader is killed.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::options::Options;
use super::statistics::Samples;
use super::table::{Row, Table, milliseconds};
use super::target::{Ids, Target};
use crate::harness::{eventually, eventually_now, holds};
use crate::http::{Client, Connection, encode};
use crate::jobs::{Template, unplaceable};

/// Writers at each of the two surviving servers.
const WRITERS: u64 = 4;
/// Least number of acknowledgements before and after the kill, so that a stray one is not taken for recovery.
const ACKNOWLEDGED_MIN: usize = 100;
/// Timeout for the cluster to recover.
const RECOVER_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

type Acknowledged = Arc<Mutex<Vec<Instant>>>;

/// Kills the leader repeatedly under load and measures the longest pause between two acknowledgements around each kill.
pub async fn failover(target: &mut Target, options: &Options, table: &mut Table) -> io::Result<()> {
    let mut pauses = Samples::default();
    for _ in 0..options.kills {
        target.find_leader().await;
        pauses.push(one_kill(target).await?);
    }
    let [median, most, last] = pauses.at([0.5, 0.99, 1.0]);
    table.push(Row {
        measure: "no acknowledged write after kill -9 of the leader".into(),
        place: "followers".into(),
        result: milliseconds(median),
        median: milliseconds(median),
        p99: milliseconds(most),
        last: milliseconds(last),
        note: format!("{} kills, {} writers at each of the two that stay", pauses.len(), WRITERS),
    });
    Ok(())
}

async fn one_kill(target: &mut Target) -> io::Result<Duration> {
    let acknowledged: Acknowledged = Arc::default();
    let mut writers = JoinSet::new();
    for address in &target.followers {
        for _ in 0..WRITERS {
            writers.spawn(write(*address, target.new_ids(1_000_000), Arc::clone(&acknowledged)));
        }
    }
    let after = |from: Option<Instant>| {
        let times = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        times.iter().filter(|time| from.is_none_or(|from| **time > from)).count()
    };
    let enough = |from: Option<Instant>| {
        let count = after(from);
        holds(count >= ACKNOWLEDGED_MIN, || format!("{count} writes were acknowledged"))
    };
    eventually_now("writes are acknowledged", RECOVER_WITHIN, || enough(None)).await;

    let leader = target.leader;
    let Some(cluster) = &mut target.own else {
        return Err(io::Error::other("only servers that were started here are killed"));
    };
    let number = cluster.servers.iter().position(|server| server.http == leader);
    let number = number.ok_or_else(|| io::Error::other("the leader is none of the servers"))?;
    let killed = Instant::now();
    cluster.servers[number].kill();
    eventually_now("writes are acknowledged again", RECOVER_WITHIN, || enough(Some(killed))).await;
    writers.shutdown().await;

    cluster.start_server(number);
    cluster.leader().await;
    let back = Client::new(leader);
    eventually("the killed server serves reads again", RECOVER_WITHIN, async || {
        let read = back.get("/v1/jobs?prefix=none").await.map_err(|error| error.to_string())?;
        holds(read.status == 200, || read.text())
    })
    .await;
    let times = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(longest_pause(&times, killed))
}

/// Returns the longest pause between consecutive acknowledgements of which the second came after `killed`. The part of
/// the pause before `killed` does not count.
fn longest_pause(times: &[Instant], killed: Instant) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let pauses = times.windows(2).filter(|pair| pair[1] > killed).map(|pair| pair[1] - pair[0].max(killed));
    pauses.max().unwrap_or_default()
}

async fn write(address: SocketAddr, ids: Ids, acknowledged: Acknowledged) {
    let template = Template::new(&unplaceable("template"));
    let mut connection = None;
    let (mut body, mut request) = (Vec::new(), Vec::new());
    for number in 0.. {
        if connection.is_none() {
            connection = Connection::open(address).await.ok();
        }
        let Some(open) = &mut connection else {
            tokio::task::yield_now().await;
            continue;
        };
        body.clear();
        request.clear();
        template.write(&ids.id(number), &mut body);
        encode(&mut request, "POST", "/v1/jobs", Some(&body));
        match timeout(ANSWER_WITHIN, open.exchange(&request)).await {
            Ok(Ok(answer)) if answer.status == 200 => {
                acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            }
            Ok(Ok(_)) => tokio::task::yield_now().await,
            _ => connection = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_is_counted_from_the_kill_at_the_earliest() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        // The pause before the kill at 500 does not count. The acknowledgement at 510 does not hide the pause after it.
        let times = [at(0), at(400), at(510), at(1_310), at(1_320)];
        assert_eq!(longest_pause(&times, at(500)), Duration::from_millis(800));
        assert_eq!(longest_pause(&times[..2], at(300)), Duration::from_millis(100));
    }
}
