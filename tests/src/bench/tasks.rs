//! Measures how many short tasks a second run through one node.

use std::io;
use std::time::{Duration, Instant};

use super::options::Options;
use super::table::{Row, Table, count, milliseconds};
use super::target::Target;
use crate::http::Client;
use crate::jobs::{burst, registration};

/// Timeout for a burst.
const END_WITHIN: Duration = Duration::from_secs(600);

/// Measures the time from sending the registration of a batch job of many short tasks until all are reported complete.
pub async fn tasks(target: &Target, options: &Options, table: &mut Table) -> io::Result<()> {
    let (id, client) = (target.new_ids(1).id(0), Client::new(target.leader));
    let start = Instant::now();
    let answer = client.post("/v1/jobs", &registration(&burst(&id, options.tasks))).await?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("{id}: {}", answer.text())));
    }
    let (mut index, mut first) = (0, None);
    while start.elapsed() < END_WITHIN {
        let answer = client.get(&format!("/v1/job/{id}/summary?index={index}&wait=10s")).await?;
        index = answer.index();
        let summary = answer.json()["Summary"]["group"].clone();
        let of = |status: &str| summary[status].as_u64().unwrap_or(0);
        if of("Failed") + of("Lost") > 0 {
            return Err(io::Error::other(format!("tasks of {id} have failed: {summary}")));
        }
        if of("Complete") > 0 {
            first.get_or_insert_with(|| start.elapsed());
        }
        if of("Complete") >= options.tasks {
            let lasted = start.elapsed();
            table.push(Row {
                measure: "short batch tasks on one node".into(),
                place: "leader".into(),
                result: format!("{} tasks/s", count(options.tasks as f64 / lasted.as_secs_f64())),
                last: milliseconds(lasted),
                note: format!(
                    "one job of {} tasks, all placed at once; the first complete after {}",
                    count(options.tasks as f64),
                    milliseconds(first.unwrap_or(lasted))
                ),
                ..Row::default()
            });
            return Ok(());
        }
    }
    Err(io::Error::other(format!(
        "the tasks of {id} do not end; is there a node with raw_exec and room for all in dc1?"
    )))
}
