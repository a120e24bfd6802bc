//! Measures dispatches, plans, pages of a long list, and parsing of a long jobspec.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use super::drive::{Until, drive};
use super::measures::{driven_row, register};
use super::options::Options;
use super::statistics::Samples;
use super::table::{Row, Table, count, milliseconds};
use super::target::Target;
use crate::http::{Connection, encode};
use crate::jobs::{NOWHERE, job, registration};

/// Number of groups in the planned job.
const PLANNED_GROUPS: usize = 1_000;
/// Least length of the parsed jobspec, in bytes.
const JOBSPEC_BYTES: usize = 100_000;
/// Number of requests in a sequential measurement.
const ONE_BY_ONE: u64 = 20;
/// Rows per page.
const PAGE_ROWS: usize = 100;
/// Number of pages read from all over the list.
const PAGES_READ: u64 = 200;

/// Measures dispatches of one parameterized job per second, at the leader and at a follower.
pub async fn dispatches(target: &Target, options: &Options, table: &mut Table) -> io::Result<()> {
    let id = target.new_ids(1).id(0);
    let mut parent = job(&id, "batch", NOWHERE, "/bin/true", &[]);
    parent["ParameterizedJob"] = json!({"Payload": "optional", "MetaOptional": ["number"]});
    send(target.leader, "POST", "/v1/jobs", &registration(&parent).to_string()).await?;
    let until = Until::Elapsed(Duration::from_secs(options.seconds));
    for (place, address) in target.leader_and_follower() {
        let path = format!("/v1/job/{id}/dispatch");
        let write = move |number: u64, request: &mut Vec<u8>| {
            let body = format!(r#"{{"Payload":"aGVsbG8=","Meta":{{"number":"{number}"}}}}"#);
            encode(request, "POST", &path, Some(body.as_bytes()));
        };
        let what = format!("dispatches, {} connections", options.connections);
        let driven = drive(address, options.connections, until, write).await?.trusted(&what)?;
        table.push(driven_row(&what, place, &driven));
    }
    Ok(())
}

/// Measures a plan with diff of a job with many groups, of which another version is registered.
pub async fn plan(target: &Target, table: &mut Table) -> io::Result<()> {
    let id = target.new_ids(1).id(0);
    let of_groups = |cpu: u32| {
        let mut job = job(&id, "batch", "dc1", "/bin/true", &[]);
        let mut groups = Vec::with_capacity(PLANNED_GROUPS);
        for number in 0..PLANNED_GROUPS {
            let mut group = job["TaskGroups"][0].clone();
            group["Name"] = format!("group-{number}").into();
            group["Tasks"][0]["Resources"]["CPU"] = cpu.into();
            groups.push(group);
        }
        job["TaskGroups"] = groups.into();
        job
    };
    // Register it in a datacenter without nodes, so that only the plan has work to do.
    let mut registered = of_groups(20);
    registered["Datacenters"] = json!([NOWHERE]);
    send(target.leader, "POST", "/v1/jobs", &registration(&registered).to_string()).await?;
    let body = json!({"Job": of_groups(30), "Diff": true}).to_string();
    for (place, address) in target.leader_and_follower() {
        let times = one_by_one(address, "POST", &format!("/v1/job/{id}/plan"), &body).await?;
        table.push(timed_row(
            &format!("plan of a job of {} groups", count(PLANNED_GROUPS as f64)),
            place,
            &times,
        ));
    }
    send(target.leader, "DELETE", &format!("/v1/job/{id}?purge=true"), "").await.map(drop)
}

/// Measures the parsing of a long jobspec.
pub async fn parse(target: &Target, table: &mut Table) -> io::Result<()> {
    let mut jobspec = "job \"long\" {\n  datacenters = [\"dc1\"]\n".to_owned();
    let mut number = 0;
    while jobspec.len() < JOBSPEC_BYTES {
        number += 1;
        let _ = write!(
            jobspec,
            "  group \"g{number}\" {{\n    count = {number}\n    task \"t\" {{\n      driver = \"raw_exec\"\n      \
             config {{\n        command = \"/bin/sleep\"\n        args = [\"${{NOMAD_ALLOC_INDEX}}\", \"600\"]\n      \
             }}\n      env {{\n        A = \"1\"\n      }}\n    }}\n  }}\n"
        );
    }
    jobspec.push_str("}\n");
    let body = json!({"JobHCL": jobspec, "Canonicalize": true}).to_string();
    for (place, address) in target.leader_and_follower() {
        let times = one_by_one(address, "POST", "/v1/jobs/parse", &body).await?;
        let what = format!("parse of a jobspec of {} kB", count(JOBSPEC_BYTES as f64 / 1_000.0));
        table.push(timed_row(&what, place, &times));
    }
    Ok(())
}

/// Measures reads of pages from all over the list of jobs, after registering the configured number of jobs.
pub async fn pages(target: &Target, options: &Options, table: &mut Table) -> io::Result<()> {
    let ids = target.new_ids(options.listed);
    let what = format!("{} jobs to list", count(options.listed as f64));
    register(target.leader, options.connections, Until::Requests(options.listed), ids, &what).await?;
    for (place, address) in target.leader_and_follower() {
        let mut connection = Connection::open(address).await?;
        let mut times = Samples::default();
        for number in 0..PAGES_READ {
            // A prime step visits the whole list.
            let first = ids.id(number.wrapping_mul(611_953) % options.listed);
            let path = format!("/v1/jobs?per_page={PAGE_ROWS}&next_token=default.{first}");
            let mut request = Vec::new();
            encode(&mut request, "GET", &path, None);
            let sent = Instant::now();
            let answer = connection.exchange(&request).await?;
            times.push(sent.elapsed());
            let rows = answer.to_response().json().as_array().map_or(0, Vec::len);
            if answer.status != 200 || rows == 0 {
                return Err(io::Error::other(format!(
                    "{path}: {} rows, {}",
                    rows,
                    answer.to_response().text()
                )));
            }
        }
        let what = format!("a page of {PAGE_ROWS} of {} jobs", count(options.listed as f64));
        table.push(timed_row(&what, place, &times));
    }
    Ok(())
}

async fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<()> {
    let mut connection = Connection::open(address).await?;
    let mut request = Vec::new();
    encode(&mut request, method, path, Some(body.as_bytes()));
    let answer = connection.exchange(&request).await?;
    match answer.status {
        200 => Ok(()),
        _ => Err(io::Error::other(format!("{method} {path}: {}", answer.to_response().text()))),
    }
}

async fn one_by_one(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<Samples> {
    let mut connection = Connection::open(address).await?;
    let mut request = Vec::new();
    encode(&mut request, method, path, Some(body.as_bytes()));
    let mut times = Samples::default();
    for _ in 0..ONE_BY_ONE {
        let sent = Instant::now();
        let answer = connection.exchange(&request).await?;
        times.push(sent.elapsed());
        if answer.status != 200 {
            return Err(io::Error::other(format!("{method} {path}: {}", answer.to_response().text())));
        }
    }
    Ok(times)
}

fn timed_row(measure: &str, place: &str, times: &Samples) -> Row {
    let [median, most, last] = times.at([0.5, 0.99, 1.0]);
    Row {
        measure: measure.into(),
        place: place.into(),
        result: milliseconds(median),
        median: milliseconds(median),
        p99: milliseconds(most),
        last: milliseconds(last),
        note: format!("{} one after another", times.len()),
    }
}
