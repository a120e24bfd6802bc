//! Measures how long a follower that was down takes to catch up while writes continue.

use std::io;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::options::Options;
use super::statistics::Samples;
use super::table::{Row, Table, count, milliseconds};
use super::target::Target;
use crate::harness::look_for;
use crate::http::Client;
use crate::load::{Load, Pressure};
use crate::observe::applied_index;

/// A follower that lacks at most this many entries counts as caught up: less than a second of writes.
const LAG_ENTRIES_MAX: f64 = 1_000.0;
/// Timeout for the follower to catch up.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(600);

/// Kills a follower, starts it again after the configured time, and waits until it has caught up. Meanwhile writes
/// continue as fast as they are acknowledged.
pub async fn catch_up(target: &mut Target, options: &Options, table: &mut Table) -> io::Result<()> {
    target.find_leader().await;
    let (leader, follower) = (target.leader, target.followers.first().copied());
    let Some((cluster, follower)) = target.own.as_mut().zip(follower) else {
        return Err(io::Error::other("only servers that were started here are killed"));
    };
    let number = cluster.servers.iter().position(|server| server.http == follower);
    let number = number.ok_or_else(|| io::Error::other("the follower is none of the servers"))?;
    let pressure = Pressure { connections: options.connections, per_second: 1_000_000 };
    let load = Load::start(&[leader], "catch-up", pressure);
    cluster.servers[number].kill();
    sleep(Duration::from_secs(options.away_seconds)).await;
    let (meanwhile, started) = (load.acknowledged(), Instant::now());
    cluster.start_server(number);
    let (behind, ahead) = (Client::new(follower), Client::new(leader));
    let caught_up = look_for(CAUGHT_UP_WITHIN, async || {
        let (there_are, has) = (applied_index(ahead).await?, applied_index(behind).await?);
        let missing = there_are - has;
        if missing > LAG_ENTRIES_MAX {
            Err(format!("it lacks {missing} of {there_are} entries"))
        } else {
            Ok(())
        }
    });
    caught_up.await.map_err(io::Error::other)?;
    let mut times = Samples::default();
    times.push(started.elapsed());
    let [took] = times.at([1.0]);
    let acknowledged = load.finish().await.acknowledged.len();
    table.push(Row {
        measure: format!("catching up after {} s away, under full load", options.away_seconds),
        place: "follower".into(),
        result: milliseconds(took),
        note: format!(
            "{} registrations while it was away, {} while it caught up",
            count(meanwhile as f64),
            count((acknowledged - meanwhile) as f64)
        ),
        ..Row::default()
    });
    Ok(())
}
