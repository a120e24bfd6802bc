//! Jobs that tests and benchmarks register.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// A datacenter without nodes. Jobs in it are registered and evaluated but never run.
pub const NOWHERE: &str = "nowhere";

/// Returns a job with one group and one raw_exec task.
pub fn job(id: &str, kind: &str, datacenter: &str, command: &str, arguments: &[&str]) -> Value {
    json!({
        "ID": id, "Name": id, "Type": kind, "Priority": 50, "Datacenters": [datacenter],
        "TaskGroups": [{
            "Name": "group", "Count": 1,
            "Tasks": [{
                "Name": "task", "Driver": "raw_exec",
                "Config": {"command": command, "args": arguments},
                "Resources": {"CPU": 20, "MemoryMB": 10},
            }],
        }],
    })
}

/// Members of a `client` block that give a node room for a [`burst`] of tens of thousands of tasks, whatever the machine
/// has.
pub const ROOM_FOR_BURSTS: &str =
    "cpu_total_compute = 1000000\n  memory_total_mb = 1000000\n  disk_free_mb = 1000000";

/// Returns a batch job of many short tasks in one group.
pub fn burst(id: &str, tasks: u64) -> Value {
    let mut job = job(id, "batch", "dc1", "/bin/true", &[]);
    let group = &mut job["TaskGroups"][0];
    group["Count"] = tasks.into();
    group["EphemeralDisk"] = json!({"SizeMB": 10});
    group["Tasks"][0]["LogConfig"] = json!({"MaxFiles": 1, "MaxFileSizeMB": 1});
    job
}

/// Returns a service that can be registered but never placed.
pub fn unplaceable(id: &str) -> Value {
    job(id, "service", NOWHERE, "/bin/sleep", &["600"])
}

/// Returns a batch job that can be registered but never placed.
pub fn unplaceable_batch(id: &str) -> Value {
    job(id, "batch", NOWHERE, "/bin/true", &[])
}

/// Makes the job parameterized: dispatches may pass a payload and meta with these keys.
pub fn parameterized(mut job: Value, meta_keys: &[&str]) -> Value {
    job["ParameterizedJob"] = json!({ "Payload": "optional", "MetaOptional": meta_keys });
    job
}

/// A schedule that fires every second.
pub const EVERY_SECOND: &str = "* * * * * * *";

/// Makes the job periodic with this schedule, in UTC.
pub fn periodic(mut job: Value, schedule: &str) -> Value {
    job["Periodic"] = json!({ "Enabled": true, "SpecType": "cron", "Spec": schedule });
    job
}

/// A service whose process has a unique command line.
pub struct Sleeper {
    /// The job.
    pub job: Value,
    /// The command line of its process.
    pub command_line: String,
}

/// Returns a service that sleeps for a duration that no other sleeper on this machine is likely to use.
pub fn sleeper(id: &str) -> Sleeper {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let seconds = format!("86400.{}{number:03}", std::process::id());
    Sleeper {
        job: job(id, "service", "dc1", "/bin/sleep", &[&seconds]),
        command_line: format!("/bin/sleep {seconds}"),
    }
}

/// Returns the body of a registration request.
pub fn registration(job: &Value) -> Value {
    json!({ "Job": job })
}

/// Encodes registrations of one job under many ids without encoding JSON each time.
pub struct Template {
    parts: Vec<String>,
}

impl Template {
    /// Creates a template of `job`; its ID and Name will be replaced.
    pub fn new(job: &Value) -> Self {
        const PLACE: &str = "\u{1}id\u{1}";
        let mut job = job.clone();
        job["ID"] = PLACE.into();
        job["Name"] = PLACE.into();
        let escaped = serde_json::to_string(PLACE).unwrap_or_default();
        let text = registration(&job).to_string();
        Self { parts: text.split(escaped.trim_matches('"')).map(str::to_owned).collect() }
    }

    /// Appends the body of a registration. The id must not need escaping in JSON.
    pub fn write(&self, id: &str, body: &mut Vec<u8>) {
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 {
                body.extend_from_slice(id.as_bytes());
            }
            body.extend_from_slice(part.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gives_the_registration_of_the_same_job_under_another_id() {
        let template = Template::new(&unplaceable("first"));
        let mut body = Vec::new();
        template.write("second", &mut body);
        let found: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(found, registration(&unplaceable("second")));
    }
}
