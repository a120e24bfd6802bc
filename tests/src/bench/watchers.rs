//! Measures how soon many blocking queries on one job return after a change.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::options::Options;
use super::statistics::Samples;
use super::table::{Row, Table, count, milliseconds};
use super::target::Target;
use crate::http::{Client, Connection, encode};
use crate::jobs::{registration, unplaceable};

/// Number of changes per server.
const ROUNDS: i64 = 5;
/// Time for a server to receive all queries. Their arrival cannot be observed from outside, only that none has been
/// answered.
const ARRIVE_WITHIN: Duration = Duration::from_secs(1);
/// Timeout for all watchers to be woken.
const WAKE_WITHIN: Duration = Duration::from_secs(30);

/// Measures the time from sending the change to the leader until each watcher has its answer.
pub async fn watchers(target: &Target, options: &Options, table: &mut Table) -> io::Result<()> {
    for (place, address) in target.leader_and_follower() {
        let id = target.new_ids(1).id(0);
        let mut connections = Vec::new();
        for _ in 0..options.watchers {
            connections.push(Connection::open(address).await?);
        }
        let (mut medians, mut lasts) = (Samples::default(), Samples::default());
        change(target.leader, &id, 0).await?;
        for round in 1..=ROUNDS {
            let (woken, back) = wake(connections, address, target.leader, &id, round).await?;
            connections = back;
            medians.push(woken.median());
            lasts.push(woken.last());
        }
        table.push(Row {
            measure: format!("{} watchers of one job woken by one change", count(options.watchers as f64)),
            place: place.into(),
            result: format!("{} / {}", milliseconds(medians.median()), milliseconds(lasts.median())),
            median: milliseconds(medians.median()),
            p99: String::new(),
            last: milliseconds(lasts.last()),
            note: format!(
                "median watcher / last watcher, medians of {ROUNDS} changes; last: the worst of all"
            ),
        });
    }
    Ok(())
}

async fn change(leader: SocketAddr, id: &str, round: i64) -> io::Result<()> {
    let mut job = unplaceable(id);
    job["Priority"] = (50 + round).into();
    let response = Client::new(leader).post("/v1/jobs", &registration(&job)).await?;
    match response.status {
        200 => Ok(()),
        _ => Err(io::Error::other(format!("the change of {id} failed: {}", response.text()))),
    }
}

/// Runs one round: sends all queries, makes one change, and waits for all answers. Returns the connections.
async fn wake(
    connections: Vec<Connection>,
    address: SocketAddr,
    leader: SocketAddr,
    id: &str,
    round: i64,
) -> io::Result<(Samples, Vec<Connection>)> {
    let index = quiet_index(address, id).await?;
    let mut request = Vec::new();
    encode(&mut request, "GET", &format!("/v1/job/{id}?index={index}&wait=60s"), None);
    let mut waiting = JoinSet::new();
    for mut connection in connections {
        let request = request.clone();
        waiting.spawn(async move {
            let answer = connection.exchange(&request).await?;
            let (woken, status, newer) = (Instant::now(), answer.status, answer.index() > index);
            if status != 200 || !newer {
                let told = answer.index();
                return Err(io::Error::other(format!(
                    "a watcher past {index} was answered {status} at {told}"
                )));
            }
            Ok((woken, connection))
        });
    }
    if let Ok(Some(early)) = timeout(ARRIVE_WITHIN, waiting.join_next()).await {
        let why = early.map_err(io::Error::other)?.err();
        return Err(why.unwrap_or_else(|| io::Error::other("a watcher was woken before the change")));
    }
    let sent = Instant::now();
    let collect = async {
        let mut woken = Vec::new();
        while let Some(one) = waiting.join_next().await {
            woken.push(one.map_err(io::Error::other)??);
        }
        Ok::<_, io::Error>(woken)
    };
    let (changed, woken) = tokio::join!(change(leader, id, round), timeout(WAKE_WITHIN, collect));
    changed?;
    let woken = woken.map_err(|_| io::Error::other("not every watcher was woken"))??;
    let times = woken.iter().map(|(at, _)| at.duration_since(sent)).collect();
    Ok((times, woken.into_iter().map(|(_, connection)| connection).collect()))
}

/// Returns the index of a job once it is stable: its evaluation has ended and does not change the job any more.
async fn quiet_index(address: SocketAddr, id: &str) -> io::Result<u64> {
    let client = Client::new(address);
    let deadline = Instant::now() + WAKE_WITHIN;
    while Instant::now() < deadline {
        let index = client.get(&format!("/v1/job/{id}")).await?.index();
        // A blocking query that times out without a change shows that the index is stable.
        let second = client.get(&format!("/v1/job/{id}?index={index}&wait=300ms")).await?;
        if index > 0 && second.index() == index {
            return Ok(index);
        }
    }
    Err(io::Error::other(format!("{id} does not come to rest")))
}
