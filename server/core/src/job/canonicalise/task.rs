//! Canonical form of a task.

use ordu_proto::api::job::{
    LogConfig, Resources, RestartPolicy, Task, TaskArtifact, Template, Vault, VolumeMount,
};
use serde_json::Value;

use super::{JobFacts, fill_networks, fill_scaling, fill_weights, service};
use crate::job::defaults;

/// Default change signal of templates with change mode `signal`, and of Vault tokens with any change mode.
const CHANGE_SIGNAL: &str = "SIGHUP";

pub(super) fn canonicalise(task: &mut Task, job: &JobFacts, group: &str, restart: &RestartPolicy) {
    task.kill_timeout = Some(task.kill_timeout_ns());
    defaults::fill_restart(task.restart_policy.get_or_insert_default(), restart);
    let log = task.log_config.get_or_insert_default();
    *log = LogConfig { max_files: Some(log.max_files()), max_file_size_mb: Some(log.max_file_size_mb()) };
    fill_resources(task.resources.get_or_insert_default());

    task.config.values_mut().for_each(numbers_as_floats);
    fill_weights(&mut task.affinities, &mut []);
    task.artifacts.iter_mut().for_each(fill_artifact);
    task.templates.iter_mut().for_each(fill_template);
    task.volume_mounts.iter_mut().for_each(fill_volume_mount);
    if let Some(vault) = &mut task.vault {
        fill_vault(vault);
    }
    if task.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.hook.is_empty()) {
        task.lifecycle = None;
    }
    for policy in &mut task.scaling_policies {
        fill_scaling(policy, 0, "");
    }
    for service in &mut task.services {
        service::canonicalise(service, job, group, Some(&task.name));
    }
}

fn fill_resources(resources: &mut Resources) {
    resources.cpu = Some(resources.cpu_mhz());
    resources.memory_mb = Some(resources.memory_mb());
    resources.disk_mb.get_or_insert(0);
    resources.iops.get_or_insert(0);
    fill_networks(&mut resources.networks);
    for device in &mut resources.devices {
        device.count = Some(device.count());
        fill_weights(&mut device.affinities, &mut []);
    }
}

/// Converts integers in a driver's configuration to floats. The API does not distinguish the two and writes all numbers
/// with a decimal point, so that `6379` is returned as `6379.0`.
fn numbers_as_floats(value: &mut Value) {
    match value {
        Value::Number(number) if !number.is_f64() => {
            // Beyond 2^53 the nearest float is taken, so large integers lose precision.
            if let Some(float) = number.as_f64().and_then(serde_json::Number::from_f64) {
                *number = float;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(numbers_as_floats),
        Value::Object(members) => members.values_mut().for_each(numbers_as_floats),
        _ => {}
    }
}

fn fill_artifact(artifact: &mut TaskArtifact) {
    let source = artifact.getter_source.get_or_insert_default();
    let mode = artifact.getter_mode.get_or_insert_with(|| "any".to_owned());
    if artifact.relative_dest.is_none() {
        let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        artifact.relative_dest =
            Some(if mode == "file" { format!("local/{name}") } else { "local/".to_owned() });
    }
}

fn fill_template(template: &mut Template) {
    template.source_path.get_or_insert_default();
    template.dest_path.get_or_insert_default();
    template.embedded_tmpl.get_or_insert_default();
    let mode = template.change_mode.get_or_insert_with(|| "restart".to_owned());
    let signal = if mode == "signal" { CHANGE_SIGNAL } else { "" };
    template.change_signal.get_or_insert_with(|| signal.to_owned()).make_ascii_uppercase();
    template.splay.get_or_insert(defaults::TEMPLATE_SPLAY_NS);
    template.perms.get_or_insert_with(|| "0644".to_owned());
    template.left_delim.get_or_insert_with(|| "{{".to_owned());
    template.right_delim.get_or_insert_with(|| "}}".to_owned());
    template.envvars.get_or_insert(false);
    template.vault_grace.get_or_insert(0);
}

fn fill_volume_mount(mount: &mut VolumeMount) {
    mount.volume.get_or_insert_default();
    mount.destination.get_or_insert_default();
    mount.read_only.get_or_insert(false);
    mount.propagation_mode.get_or_insert_with(|| "private".to_owned());
}

fn fill_vault(vault: &mut Vault) {
    vault.namespace.get_or_insert_default();
    vault.env.get_or_insert(true);
    vault.change_mode.get_or_insert_with(|| "restart".to_owned());
    vault.change_signal.get_or_insert_with(|| CHANGE_SIGNAL.to_owned()).make_ascii_uppercase();
}
