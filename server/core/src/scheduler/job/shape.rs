//! A digest of the parts of a group that a running allocation cannot change. It decides between
//! an update in place and a replacement.

use std::collections::BTreeMap;

use ordu_proto::api::job::{EphemeralDisk, JobSpec, NetworkResource, Task, TaskGroup};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A difference in any of these makes an update destructive: the tasks with their driver, user, configuration,
/// environment, artifacts, templates, Vault, devices and mounts, the combined meta, CPU, memory, ports, and the
/// group's disk, networks and volumes. All other changes are made in place.
#[derive(Serialize)]
struct Shape<'a> {
    disk_mb: i64,
    disk: Option<&'a EphemeralDisk>,
    networks: &'a [NetworkResource],
    volumes: serde_json::Value,
    tasks: BTreeMap<&'a str, serde_json::Value>,
}

/// Returns the digest of the group's shape in this job.
pub(super) fn of(spec: &JobSpec, group: &TaskGroup) -> [u8; 32] {
    let shape = Shape {
        disk_mb: group.disk_mb(),
        disk: group.ephemeral_disk.as_ref(),
        networks: &group.networks,
        volumes: json(&group.volumes),
        // Sorted by name: the order of tasks does not matter.
        tasks: group.tasks.iter().map(|task| (task.name.as_str(), of_task(spec, group, task))).collect(),
    };
    Sha256::digest(json(&shape).to_string()).into()
}

fn of_task(spec: &JobSpec, group: &TaskGroup, task: &Task) -> serde_json::Value {
    let mut meta: BTreeMap<&str, &str> = BTreeMap::new();
    for level in [&spec.meta, &group.meta, &task.meta] {
        meta.extend(level.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    }
    let networks = task.resources.as_ref().map(|resources| &resources.networks);
    let devices = task.resources.as_ref().map(|resources| &resources.devices);
    serde_json::json!({
        "driver": task.driver,
        "user": task.user,
        "config": task.config,
        "env": task.env,
        "artifacts": task.artifacts,
        "templates": task.templates,
        "vault": task.vault,
        "meta": meta,
        "networks": networks,
        "devices": devices,
        "mounts": task.volume_mounts,
        "cpu_mhz": task.cpu_mhz(),
        "memory_mb": task.memory_mb(),
    })
}

/// Serializes a value. These types have text keys and no failing serializers. If serialization failed all the same,
/// `null` would make every update destructive or none, but the server would not panic.
fn json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}
