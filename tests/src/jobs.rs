//! The jobs that tests and benchmarks register.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// A datacenter that no node is in: jobs there are registered and evaluated, never run.
pub const NOWHERE: &str = "nowhere";

/// A job of one group with one raw_exec task.
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

/// A service that is registered and never placed.
pub fn unplaceable(id: &str) -> Value {
    job(id, "service", NOWHERE, "/bin/sleep", &["600"])
}

/// A batch job that is registered and never placed.
pub fn unplaceable_batch(id: &str) -> Value {
    job(id, "batch", NOWHERE, "/bin/true", &[])
}

/// The job as one that is run by dispatches, which may bring a payload and meta of these keys.
pub fn parameterized(mut job: Value, meta_keys: &[&str]) -> Value {
    job["ParameterizedJob"] = json!({ "Payload": "optional", "MetaOptional": meta_keys });
    job
}

/// A schedule that names every second.
pub const EVERY_SECOND: &str = "* * * * * * *";

/// The job as one that is run by a schedule, in UTC.
pub fn periodic(mut job: Value, schedule: &str) -> Value {
    job["Periodic"] = json!({ "Enabled": true, "SpecType": "cron", "Spec": schedule });
    job
}

/// A service whose process can be told from all others by its command line.
pub struct Sleeper {
    /// The job.
    pub job: Value,
    /// The command line of its process.
    pub command_line: String,
}

/// A service that sleeps for a time that no other sleeper of this machine is likely to sleep for.
pub fn sleeper(id: &str) -> Sleeper {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let seconds = format!("86400.{}{number:03}", std::process::id());
    Sleeper {
        job: job(id, "service", "dc1", "/bin/sleep", &[&seconds]),
        command_line: format!("/bin/sleep {seconds}"),
    }
}

/// The body of a registration.
pub fn registration(job: &Value) -> Value {
    json!({ "Job": job })
}

/// Registrations of one job under many ids, without encoding JSON each time.
pub struct Template {
    parts: Vec<String>,
}

impl Template {
    /// A template of `job`, whose ID and Name are replaced.
    pub fn new(job: &Value) -> Self {
        const PLACE: &str = "\u{1}id\u{1}";
        let mut job = job.clone();
        job["ID"] = PLACE.into();
        job["Name"] = PLACE.into();
        let escaped = serde_json::to_string(PLACE).unwrap_or_default();
        let text = registration(&job).to_string();
        Self { parts: text.split(escaped.trim_matches('"')).map(str::to_owned).collect() }
    }

    /// Writes the body of the registration under an id that needs no escaping in JSON.
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
