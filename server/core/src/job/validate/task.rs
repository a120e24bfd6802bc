//! Validation of a task.

use std::collections::{BTreeMap, BTreeSet};

use ordu_proto::api::job::{JobSpec, LogConfig, Resources, Task, TaskArtifact, TaskGroup, Template, Vault};

use super::{number, paths, placement, policy, service};
use crate::job::faults::Faults;

const CPU_MHZ_MIN: i64 = 1;
const MEMORY_MB_MIN: i64 = 10;
const PERMISSIONS_MAX: u64 = 0o7777;

/// Checks a task. `with_proxy` are the group's services that have a proxy.
pub(super) fn check(job: &JobSpec, group: &TaskGroup, with_proxy: &BTreeSet<&str>, task: &Task) -> Faults {
    let mut faults = Faults::new();
    if task.name.is_empty() {
        faults.add("Missing task name");
    } else if task.name.contains(['/', '\\']) {
        // The name is that of the task's directory.
        faults.add("Task name cannot include slashes");
    } else if task.name.contains('\0') {
        faults.add("Task name cannot include null characters");
    } else if matches!(task.name.as_str(), "." | ".." | "alloc") {
        faults.add(format!("Task name cannot be {:?}, it names a directory of the allocation", task.name));
    }
    if task.driver.is_empty() {
        faults.add("Missing task driver");
    }
    if task.kill_timeout_ns() < 0 {
        faults.add("KillTimeout must be a positive value");
    }
    if task.shutdown_delay < 0 {
        faults.add("ShutdownDelay must be a positive value");
    }
    if let Some(resources) = &task.resources {
        faults.add_part(check_resources(resources));
    }
    if let Some(log) = &task.log_config {
        faults.add_part(check_log(log));
    }
    placement::check_of_task(&mut faults, job, &task.constraints, &task.affinities);
    faults.add_part(service::check_of_task(group, task));
    if group.disk_mb() <= task.log_storage_mb() {
        faults.add(format!(
            "log storage ({} MB) must be less than requested disk capacity ({} MB)",
            task.log_storage_mb(),
            group.disk_mb()
        ));
    }
    for (number, artifact) in (1..).zip(&task.artifacts) {
        faults.add_part_of(check_artifact(artifact), || format!("Artifact {number}"));
    }
    if let Some(vault) = &task.vault {
        faults.add_part_of(check_vault(vault), || "Vault".to_owned());
    }
    check_templates(task, &mut faults);
    check_rest(task, &mut faults);
    if let Some(of) = task.kind.strip_prefix("connect-proxy:") {
        check_proxy(with_proxy, task, of, &mut faults);
    }
    check_storage(task, &mut faults);
    // Errors of inherited policies are reported for the group.
    let own = task.restart_policy.as_ref().filter(|own| group.restart_policy.as_ref() != Some(*own));
    if let Some(restart) = own {
        faults.add_part(policy::check_restart(restart));
    }
    faults
}

fn check_rest(task: &Task, faults: &mut Faults) {
    if let Some(payload) = &task.dispatch_payload
        && paths::escapes(2, &payload.file)
    {
        faults.add("Dispatch Payload validation failed: destination escapes allocation directory");
    }
    match task.lifecycle.as_ref().map(|lifecycle| lifecycle.hook.as_str()) {
        None | Some("prestart" | "poststart" | "poststop") => {}
        Some("") => faults.add("Lifecycle validation failed: no lifecycle hook provided"),
        Some(other) => faults.add(format!("Lifecycle validation failed: invalid hook: {other}")),
    }
}

/// Checks a task that is the proxy of one of the group's services.
fn check_proxy(with_proxy: &BTreeSet<&str>, task: &Task, of: &str, faults: &mut Faults) {
    if !task.services.is_empty() {
        faults.add("Connect proxy task must not have a service stanza");
    }
    if task.leader {
        faults.add("Connect proxy task must not have leader set");
    }
    if with_proxy.is_empty() {
        faults.add(format!("No Connect services in task group with Connect proxy ({of:?})"));
    } else if !with_proxy.contains(of) {
        faults.add(format!(
            "Connect proxy service name ({of:?}) not found in Connect services from task group"
        ));
    }
}

fn check_storage(task: &Task, faults: &mut Faults) {
    for (index, mount) in task.volume_mounts.iter().enumerate() {
        let mode = mount.propagation_mode.as_deref().unwrap_or("private");
        if !matches!(mode, "private" | "host-to-task" | "bidirectional") {
            faults.add(format!("Volume Mount ({index}) has an invalid propagation mode: \"{mode}\""));
        }
    }
    let Some(plugin) = &task.csi_plugin_config else { return };
    if plugin.id.is_empty() {
        faults.add("CSIPluginConfig must have a non-empty PluginID");
    }
    if !matches!(plugin.plugin_type.as_str(), "node" | "controller" | "monolith") {
        faults.add(format!(
            "CSIPluginConfig PluginType must be one of 'node', 'controller', or 'monolith', got: \"{}\"",
            plugin.plugin_type
        ));
    }
}

fn check_resources(resources: &Resources) -> Faults {
    let mut least = Faults::new();
    if resources.cpu_mhz() < CPU_MHZ_MIN {
        least.add(format!("minimum CPU value is {CPU_MHZ_MIN}; got {}", resources.cpu_mhz()));
    }
    if resources.memory_mb() < MEMORY_MB_MIN {
        least.add(format!("minimum MemoryMB value is {MEMORY_MB_MIN}; got {}", resources.memory_mb()));
    }
    let mut faults = Faults::new();
    faults.add_part(least);
    if resources.disk_mb.is_some_and(|disk_mb| disk_mb > 0) {
        faults.add("Task can't ask for disk resources, they have to be specified at the task group level.");
    }
    for (number, device) in (1..).zip(&resources.devices) {
        let mut part = Faults::new();
        if device.name.is_empty() {
            part.add(
                "device name must be given as one of the following: type, vendor/type, or vendor/type/name",
            );
        }
        placement::check_of_device(&mut part, &device.constraints, &device.affinities);
        if !part.is_empty() {
            faults.add(format!("device {number} failed validation: {part}"));
        }
    }
    faults
}

fn check_log(log: &LogConfig) -> Faults {
    let mut faults = Faults::new();
    if log.max_files() < 1 {
        faults.add(format!("minimum number of files is 1; got {}", log.max_files()));
    }
    if log.max_file_size_mb() < 1 {
        faults.add(format!("minimum file size is 1MB; got {}", log.max_file_size_mb()));
    }
    faults
}

fn check_artifact(artifact: &TaskArtifact) -> Faults {
    let mut faults = Faults::new();
    if artifact.getter_source.as_deref().unwrap_or_default().is_empty() {
        faults.add("source must be specified");
    }
    let mode = artifact.getter_mode.as_deref().unwrap_or("any");
    if !matches!(mode, "any" | "file" | "dir") {
        faults.add(format!("invalid artifact mode {mode:?}; must be one of: any, file, dir"));
    }
    if paths::escapes(1, artifact.relative_dest.as_deref().unwrap_or_default()) {
        faults.add("destination escapes allocation directory");
    }
    if let Some(checksum) = artifact.getter_options.get("checksum")
        && let Err(fault) = check_checksum(checksum.trim())
    {
        faults.add(fault);
    }
    faults
}

/// Checks a checksum like `md5:c4aa…`. One that contains `${…}` is only known on the node.
fn check_checksum(checksum: &str) -> Result<(), String> {
    if checksum.contains("${") {
        return Ok(());
    }
    if checksum.is_empty() {
        return Err("checksum value cannot be empty".to_owned());
    }
    let (kind, digits) = match Vec::from_iter(checksum.split(':'))[..] {
        [kind, digits] => (kind, digits),
        _ => return Err(format!("checksum must be given as \"type:value\"; got {checksum:?}")),
    };
    let length = number::hex_bytes(digits).map_err(|reason| format!("invalid checksum: {reason}"))?;
    let wanted = match kind {
        "md5" => 16,
        "sha1" => 20,
        "sha256" => 32,
        "sha512" => 64,
        _ => return Err(format!("unsupported checksum type: {kind}")),
    };
    if length == wanted { Ok(()) } else { Err(format!("invalid {kind} checksum: {digits}")) }
}

fn check_vault(vault: &Vault) -> Faults {
    let mut faults = Faults::new();
    if vault.policies.is_empty() {
        faults.add("Policy list cannot be empty");
    }
    for _ in vault.policies.iter().filter(|policy| *policy == "root") {
        faults.add("Can not specify \"root\" policy");
    }
    match vault.change_mode.as_deref().unwrap_or("restart") {
        "noop" | "restart" => {}
        "signal" if vault.change_signal.as_deref().unwrap_or_default().is_empty() => {
            faults.add("Signal must be specified when using change mode \"signal\"");
        }
        "signal" => {}
        other => faults.add(format!("Unknown change mode {other:?}")),
    }
    faults
}

fn check_templates(task: &Task, faults: &mut Faults) {
    let mut numbers = BTreeMap::new();
    for (number, template) in (1..).zip(&task.templates) {
        faults.add_part_of(check_template(template), || format!("Template {number}"));
        let destination = template.dest_path.as_deref().unwrap_or_default();
        if let Some(earlier) = numbers.get(destination) {
            faults.add(format!("Template {number} has same destination as {earlier}"));
        } else {
            numbers.insert(destination, number);
        }
    }
}

fn check_template(template: &Template) -> Faults {
    let mut faults = Faults::new();
    let text = |member: &Option<String>| member.clone().unwrap_or_default();
    if text(&template.source_path).is_empty() && text(&template.embedded_tmpl).is_empty() {
        faults.add("Must specify a source path or have an embedded template");
    }
    let destination = text(&template.dest_path);
    if destination.is_empty() {
        faults.add("Must specify a destination for the template");
    } else if paths::escapes(1, &destination) {
        faults.add("destination escapes allocation directory");
    }
    match template.change_mode.as_deref().unwrap_or("restart") {
        "noop" | "restart" => {}
        "signal" => {
            if text(&template.change_signal).is_empty() {
                faults.add("Must specify signal value when change mode is signal");
            }
            if template.envvars == Some(true) {
                faults.add("cannot use signals with env var templates");
            }
        }
        _ => faults.add("Invalid change mode. Must be one of the following: noop, signal, restart"),
    }
    if template.splay.is_some_and(|splay_ns| splay_ns < 0) {
        faults.add("Must specify positive splay value");
    }
    let permissions = text(&template.perms);
    if !permissions.is_empty()
        && let Err(error) = number::parse(&permissions, 8, PERMISSIONS_MAX)
    {
        faults.add(format!("Failed to parse {permissions:?} as octal: {error}"));
    }
    faults
}
