//! Measures registrations, reads, memory, and the time until a job runs.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::drive::{Driven, Until, drive};
use super::options::Options;
use super::statistics::Samples;
use super::table::{Row, Table, count, megabytes, milliseconds};
use super::target::{Ids, Target};
use crate::http::{Client, Connection, encode};
use crate::jobs::{NOWHERE, Template, job, registration, unplaceable};

/// Size of an id block that no measurement can use up.
const IDS_OF_A_MEASURE: u64 = 1_000_000;
/// Number of different jobs that are read.
const JOBS_READ: u64 = 1_000;
/// Number of jobs per server whose time to running is measured.
const JOBS_RUN: u64 = 20;
/// Timeout for a job to run.
const RUN_WITHIN: Duration = Duration::from_secs(60);

/// Registers jobs that are never placed.
pub(super) async fn register(
    address: SocketAddr,
    connections: usize,
    until: Until,
    ids: Ids,
    what: &str,
) -> io::Result<Driven> {
    let template = Template::new(&unplaceable("template"));
    let write = move |number: u64, request: &mut Vec<u8>| {
        let mut body = Vec::with_capacity(1_024);
        template.write(&ids.id(number), &mut body);
        encode(request, "POST", "/v1/jobs", Some(&body));
    };
    drive(address, connections, until, write).await?.trusted(what)
}

/// Returns a table row with requests per second.
pub(super) fn driven_row(what: &str, place: &str, driven: &Driven) -> Row {
    let [median, most, last] = driven.times.at([0.5, 0.99, 1.0]);
    Row {
        measure: what.into(),
        place: place.into(),
        result: format!("{}/s", count(driven.per_second())),
        median: milliseconds(median),
        p99: milliseconds(most),
        last: milliseconds(last),
        note: format!(
            "{} in {:.1} s, {} errors",
            count(driven.times.len() as f64),
            driven.elapsed.as_secs_f64(),
            driven.errors
        ),
    }
}

/// Measures memory after a number of registrations, half of them at the leader and half at a follower.
pub async fn memory(target: &Target, options: &Options, table: &mut Table) -> io::Result<()> {
    let places = target.leader_and_follower();
    let share = options.registrations.div_ceil(places.len() as u64);
    for (place, address) in &places {
        let until = Until::Requests(share);
        let what = format!("registrations at the {place}");
        register(*address, options.connections, until, target.new_ids(share), &what).await?;
    }
    for (name, bytes) in target.memory() {
        table.push(Row {
            measure: format!("resident memory after {} registrations", count(options.registrations as f64)),
            place: name,
            result: megabytes(bytes),
            ..Row::default()
        });
    }
    Ok(())
}

/// Measures registrations per second at the leader and at a follower.
pub async fn registrations(target: &Target, options: &Options, table: &mut Table) -> io::Result<()> {
    let until = Until::Elapsed(Duration::from_secs(options.seconds));
    for (place, address) in target.leader_and_follower() {
        let ids = target.new_ids(IDS_OF_A_MEASURE);
        let what = format!("registrations, {} connections", options.connections);
        let driven = register(address, options.connections, until, ids, &what).await?;
        table.push(driven_row(&what, place, &driven));
    }
    Ok(())
}

/// Measures reads of single jobs per second, with default consistency and stale.
pub async fn reads(target: &Target, options: &Options, table: &mut Table) -> io::Result<()> {
    let ids = target.new_ids(JOBS_READ);
    register(target.leader, options.connections, Until::Requests(JOBS_READ), ids, "jobs to read").await?;
    for (consistency, query) in [("default", ""), ("stale", "?stale")] {
        for (place, address) in target.leader_and_follower() {
            let what = format!("job reads, {consistency}");
            // Encode in advance, so that only the servers are measured.
            let requests: Vec<Vec<u8>> = (0..JOBS_READ)
                .map(|number| {
                    let mut request = Vec::new();
                    encode(&mut request, "GET", &format!("/v1/job/{}{query}", ids.id(number)), None);
                    request
                })
                .collect();
            let write = move |number: u64, request: &mut Vec<u8>| {
                // A prime step visits all jobs in an order different from theirs.
                request.extend_from_slice(&requests[(number.wrapping_mul(611_953) % JOBS_READ) as usize]);
            };
            let until = Until::Elapsed(Duration::from_secs(options.seconds));
            let driven = drive(address, options.connections, until, write).await?.trusted(&what)?;
            table.push(driven_row(&what, place, &driven));
        }
    }
    Ok(())
}

/// Measures the time from sending a registration until its allocation is reported running, one job at a time.
pub async fn running(target: &Target, table: &mut Table) -> io::Result<()> {
    for (place, address) in target.leader_and_follower() {
        let ids = target.new_ids(JOBS_RUN);
        let mut times = Samples::default();
        for number in 0..JOBS_RUN {
            let id = ids.id(number);
            times.push(time_to_running(address, &id).await?);
            let purged = Client::new(address).delete(&format!("/v1/job/{id}?purge=true")).await?;
            if purged.status != 200 {
                return Err(io::Error::other(format!("{id} cannot be purged: {}", purged.text())));
            }
        }
        let [median, most, last] = times.at([0.5, 0.99, 1.0]);
        table.push(Row {
            measure: "registration to running".into(),
            place: place.into(),
            result: milliseconds(median),
            median: milliseconds(median),
            p99: milliseconds(most),
            last: milliseconds(last),
            note: format!("{JOBS_RUN} jobs, one after another"),
        });
    }
    Ok(())
}

async fn time_to_running(address: SocketAddr, id: &str) -> io::Result<Duration> {
    let mut connection = Connection::open(address).await?;
    let body = registration(&job(id, "service", "dc1", "/bin/sleep", &["600"])).to_string();
    let mut request = Vec::new();
    encode(&mut request, "POST", "/v1/jobs", Some(body.as_bytes()));
    let start = Instant::now();
    let answer = connection.exchange(&request).await?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("{id}: {}", answer.to_response().text())));
    }
    let mut index = 0;
    while start.elapsed() < RUN_WITHIN {
        request.clear();
        encode(&mut request, "GET", &format!("/v1/job/{id}/allocations?index={index}&wait=10s"), None);
        let answer = connection.exchange(&request).await?;
        index = answer.index();
        let stubs = answer.to_response().json();
        if stubs.as_array().into_iter().flatten().any(|stub| stub["ClientStatus"] == "running") {
            return Ok(start.elapsed());
        }
    }
    Err(io::Error::other(format!(
        "{id} does not run; is there a node with raw_exec in dc1, and none in {NOWHERE}?"
    )))
}
