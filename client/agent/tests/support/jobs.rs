//! Allocations and job specifications for tests.

use ordu_proto::node::SpecOfJob;
use ordu_proto::state::{AllocatedResources, AllocatedTaskResources, Allocation, DesiredStatus};
use serde_json::{Value, json};
use uuid::Uuid;

/// An allocation with its job specification and payload, to be assigned by the test server.
#[derive(Clone)]
pub(crate) struct Assigned {
    pub(crate) allocation: Allocation,
    pub(crate) spec: Value,
    pub(crate) payload: Vec<u8>,
}

impl Assigned {
    /// Creates an allocation of a job with one group of these tasks. `kind` is the job's type.
    pub(crate) fn new(kind: &str, tasks: Vec<Value>) -> Self {
        let id = Uuid::new_v4();
        let job_id = format!("job-{}", &id.to_string()[..8]);
        let granted = |task: &Value| {
            let resources = AllocatedTaskResources { cpu_mhz: 20, memory_mb: 10, networks: Vec::new() };
            (task["Name"].as_str().unwrap_or_default().to_owned(), resources)
        };
        let resources =
            AllocatedResources { tasks: tasks.iter().map(granted).collect(), ..Default::default() };
        let spec = json!({
            "ID": job_id, "Name": job_id, "Type": kind, "Meta": null,
            "TaskGroups": [{
                "Name": "g", "Count": 1, "Meta": null, "Tasks": tasks,
                "RestartPolicy": {"Attempts": 0, "Interval": 60_000_000_000_i64, "Delay": 100_000_000, "Mode": "fail"},
            }],
        });
        let allocation = Allocation {
            id: id.as_bytes().to_vec(),
            namespace: "default".into(),
            job_id,
            job_create_index: 10,
            job_type: kind.into(),
            task_group: "g".into(),
            desired_status: DesiredStatus::Run.into(),
            resources: Some(resources),
            create_index: 11,
            modify_index: 11,
            alloc_modify_index: 11,
            ..Allocation::default()
        };
        Self { allocation, spec, payload: Vec::new() }
    }

    /// Allows this many restarts, each after 0.1 s.
    pub(crate) fn restarts(mut self, attempts: u32) -> Self {
        self.spec["TaskGroups"][0]["RestartPolicy"]["Attempts"] = json!(attempts);
        self
    }

    /// Sets the payload, as for a dispatched job.
    pub(crate) fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub(crate) fn id(&self) -> Vec<u8> {
        self.allocation.id.clone()
    }

    pub(crate) fn uuid(&self) -> Uuid {
        Uuid::from_slice(&self.allocation.id).unwrap()
    }

    pub(crate) fn spec_of_job(&self) -> SpecOfJob {
        SpecOfJob {
            namespace: self.allocation.namespace.clone(),
            job_id: self.allocation.job_id.clone(),
            job_create_index: self.allocation.job_create_index,
            job_version: self.allocation.job_version,
            spec_json: serde_json::to_vec(&self.spec).unwrap(),
            payload: self.payload.clone(),
        }
    }
}

/// Returns a raw_exec task that runs a shell script.
pub(crate) fn shell(name: &str, script: &str) -> Value {
    json!({
        "Name": name, "Driver": "raw_exec", "User": "", "Env": null, "Meta": null,
        "Config": {"command": "/bin/sh", "args": ["-c", script]},
        "KillTimeout": 5_000_000_000_i64, "KillSignal": "", "Leader": false,
        "LogConfig": {"MaxFiles": 10, "MaxFileSizeMB": 10},
        "Resources": {"CPU": 20, "MemoryMB": 10},
    })
}

/// Returns the task with one member replaced.
pub(crate) fn with(mut task: Value, member: &str, value: Value) -> Value {
    task[member] = value;
    task
}
