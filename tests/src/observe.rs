//! Conditions that tests check through the API, each as a wait with a timeout.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{SETTLE_WITHIN, eventually, eventually_now, holds, processes};
use crate::http::Client;
use crate::jobs::{Sleeper, registration};
use crate::load::Load;

/// Timeout for a registered job to run, and for a change to be visible on all servers.
pub const RUN_WITHIN: Duration = Duration::from_secs(60);

/// Registers a job and checks that it was accepted.
pub async fn register(client: Client, job: &Value) -> Value {
    let response = client.post("/v1/jobs", &registration(job)).await.expect("the server answers");
    assert_eq!(response.status, 200, "registering {}: {}", job["ID"], response.text());
    response.json()
}

/// Returns the entries of a list.
pub async fn list(client: Client, path: &str) -> Result<Vec<Value>, String> {
    match client.json(path).await.map_err(|error| error.to_string())? {
        Value::Array(entries) => Ok(entries),
        other => Err(format!("GET {path} gives no list: {other}")),
    }
}

/// Returns one string member of each entry.
pub fn texts_of(entries: &[Value], member: &str) -> Vec<String> {
    entries.iter().map(|entry| entry[member].as_str().unwrap_or_default().to_owned()).collect()
}

/// Waits until no evaluation is pending. If no tasks run either, the state does not change any more.
pub async fn wait_until_decided(client: Client) {
    eventually("all evaluations are decided", RUN_WITHIN, async || {
        let evaluations = list(client, "/v1/evaluations").await?;
        let pending = evaluations.iter().filter(|eval| eval["Status"] == "pending").count();
        holds(pending == 0 && !evaluations.is_empty(), || {
            format!("{pending} of {} are pending", evaluations.len())
        })
    })
    .await;
}

/// Returns a server's report on its state: the applied index and the hash.
pub async fn state_hash(client: Client) -> Value {
    client.json("/v1/operator/ordu/state-hash?stale").await.expect("the server tells its state's hash")
}

/// Waits until a job has exactly this many running allocations; returns them in full.
pub async fn running_allocations(client: Client, job: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} allocations of {job} run"), RUN_WITHIN, async || {
        let stubs =
            client.json(&format!("/v1/job/{job}/allocations")).await.map_err(|error| error.to_string())?;
        let running: Vec<&Value> = stubs
            .as_array()
            .into_iter()
            .flatten()
            .filter(|stub| stub["ClientStatus"] == "running" && stub["DesiredStatus"] == "run")
            .collect();
        holds(running.len() == count, || format!("the allocations are {stubs}"))?;
        let mut whole = Vec::new();
        for stub in running {
            let id = stub["ID"].as_str().unwrap_or_default();
            whole
                .push(client.json(&format!("/v1/allocation/{id}")).await.map_err(|error| error.to_string())?);
        }
        Ok::<_, String>(whole)
    })
    .await
}

/// Waits until an allocation of a job has this client status; returns the allocation in full.
pub async fn allocation_with_status(client: Client, job: &str, status: &str) -> Value {
    eventually(&format!("an allocation of {job} is {status}"), RUN_WITHIN, async || {
        let stubs =
            client.json(&format!("/v1/job/{job}/allocations")).await.map_err(|error| error.to_string())?;
        let found =
            stubs.as_array().into_iter().flatten().find(|stub| stub["ClientStatus"] == status).cloned();
        let Some(stub) = found else { return Err(format!("the allocations are {stubs}")) };
        let id = stub["ID"].as_str().unwrap_or_default();
        client.json(&format!("/v1/allocation/{id}")).await.map_err(|error| error.to_string())
    })
    .await
}

/// A running service whose process must survive a test.
pub struct Keeper {
    job: String,
    command_line: String,
    allocation: String,
    pid: i32,
}

impl Keeper {
    /// Registers the service and waits until it runs.
    pub async fn start(client: Client, sleeper: Sleeper) -> Self {
        let job = sleeper.job["ID"].as_str().unwrap_or_default().to_owned();
        register(client, &sleeper.job).await;
        let running = running_allocations(client, &job, 1).await;
        let pid = only_process(&sleeper.command_line);
        Self {
            job,
            command_line: sleeper.command_line,
            allocation: running[0]["ID"].as_str().unwrap_or_default().to_owned(),
            pid,
        }
    }

    /// Returns its pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Checks that the same process is still the only one, and that the servers report it as running without restarts.
    pub async fn check_never_restarted(&self, client: Client) {
        assert_eq!(
            processes::with_command_line(&self.command_line),
            [self.pid],
            "the process of {}",
            self.job
        );
        let running = running_allocations(client, &self.job, 1).await;
        assert_eq!(running[0]["ID"], self.allocation.as_str(), "{} was placed again", self.job);
        let task = &running[0]["TaskStates"]["task"];
        assert_eq!(task["State"], "running", "{task}");
        assert_eq!(task["Restarts"].as_u64().unwrap_or(0), 0, "{task}");
    }
}

/// Returns the pid of the only process with this command line.
pub fn only_process(command_line: &str) -> i32 {
    let found = processes::with_command_line(command_line);
    assert_eq!(found.len(), 1, "processes of `{command_line}`: {found:?}");
    found[0]
}

/// Waits until exactly one process has this command line.
pub async fn one_process(command_line: &str) {
    eventually_now(&format!("one process runs `{command_line}`"), RUN_WITHIN, || {
        let found = processes::with_command_line(command_line);
        holds(found.len() == 1, || format!("processes {found:?} run it"))
    })
    .await;
}

/// Waits until no process has this command line.
pub async fn no_process(command_line: &str) {
    eventually_now(&format!("`{command_line}` has ended"), RUN_WITHIN, || {
        let found = processes::with_command_line(command_line);
        holds(found.is_empty(), || format!("processes {found:?} run it"))
    })
    .await;
}

/// Returns the ids of all jobs with a prefix, read from this server itself.
pub async fn job_ids(client: Client, prefix: &str) -> Result<BTreeSet<String>, String> {
    let path = format!("/v1/jobs?stale&prefix={prefix}");
    let jobs =
        client.with_timeout(Duration::from_secs(60)).json(&path).await.map_err(|error| error.to_string())?;
    let ids = jobs.as_array().into_iter().flatten().filter_map(|job| job["ID"].as_str().map(str::to_owned));
    Ok(ids.collect())
}

/// Waits until a server itself has all of these jobs.
pub async fn wait_for_jobs(client: Client, prefix: &str, wanted: &BTreeSet<String>) {
    eventually(&format!("{} has every acknowledged job", client.address()), RUN_WITHIN, async || {
        let held = job_ids(client, prefix).await?;
        let missing: Vec<&String> = wanted.difference(&held).collect();
        holds(missing.is_empty(), || {
            let such = &missing[..missing.len().min(5)];
            format!("{} of {} are missing, such as {such:?}", missing.len(), wanted.len())
        })
    })
    .await;
}

/// Waits until a server holds at least this many blocking queries, which then all wait for a future change.
pub async fn wait_for_blocking_queries(client: Client, queries: usize) {
    let what = format!("{} holds {queries} blocking queries", client.address());
    eventually(&what, RUN_WITHIN, async || {
        let metrics = client.json("/v1/metrics").await.map_err(|error| error.to_string())?;
        let mut gauges = metrics["Gauges"].as_array().into_iter().flatten();
        let held = gauges.find(|gauge| gauge["Name"] == "ordu_http_blocking_queries");
        let held = held.and_then(|gauge| gauge["Value"].as_f64()).ok_or("it does not tell how many")?;
        holds(held >= queries as f64, || format!("it holds {held}"))
    })
    .await;
}

/// Waits until the server's health message contains `words`.
pub async fn health_tells(client: Client, words: &str) {
    health(client, &format!("health tells {words:?}"), |message| message.contains(words)).await;
}

/// Waits until the server's health message is "ok".
pub async fn health_is_well(client: Client) {
    health(client, "health is well", |message| message == "ok").await;
}

async fn health(client: Client, what: &str, is_it: impl Fn(&str) -> bool) {
    eventually(what, SETTLE_WITHIN, async || {
        // The status is 500 if the server is unhealthy.
        let health = client.get("/v1/agent/health").await.map_err(|error| error.to_string())?.json();
        holds(is_it(health["server"]["message"].as_str().unwrap_or_default()), || health.to_string())
    })
    .await;
}

/// Waits until this many of a load's registrations are acknowledged.
pub async fn wait_for_acknowledged(load: &Load, count: usize) {
    eventually_now(&format!("{count} registrations are acknowledged"), SETTLE_WITHIN, || {
        holds(load.acknowledged() >= count, || {
            format!("{:?}", {
                let mut record = load.record();
                let acknowledged = record.acknowledged.len();
                record.acknowledged.clear();
                (acknowledged, record)
            })
        })
    })
    .await;
}

/// Returns one of a server's metrics, by its name and labels in Prometheus format.
pub async fn figure(client: Client, name: &str) -> Result<f64, String> {
    let metrics =
        client.get("/v1/metrics?format=prometheus").await.map_err(|error| error.to_string())?.text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.ok_or_else(|| format!("no {name} in {metrics}"))
}

/// Waits until one of a server's metrics satisfies `is_so`.
pub async fn wait_for_figure(client: Client, name: &str, is_so: impl Fn(f64) -> bool) {
    eventually(&format!("{name} of {} is as it should be", client.address()), SETTLE_WITHIN, async || {
        let told = figure(client, name).await?;
        holds(is_so(told), || format!("it is {told}"))
    })
    .await;
}

/// Returns the last log index that a server has applied.
pub async fn applied_index(client: Client) -> Result<f64, String> {
    figure(client, "ordu_raft_applied_index").await
}

/// Waits until a server has purged all entries that its log has now. Under load it does so once there are no recent
/// messages from members that need them.
pub async fn wait_until_purged(client: Client) {
    let behind = eventually("its figures are there", SETTLE_WITHIN, || applied_index(client)).await;
    eventually("what the log had is purged", SETTLE_WITHIN, async || {
        let first = figure(client, "ordu_raft_log_first_index").await?;
        holds(first > behind, || format!("it begins with {first} and is to begin behind {behind}"))
    })
    .await;
}
