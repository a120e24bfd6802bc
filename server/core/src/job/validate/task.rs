//! Faults of a task.

use std::collections::BTreeMap;

use ordu_proto::api::job::{
    JobSpec, Lifecycle, LogConfig, Resources, Task, TaskArtifact, TaskGroup, Template, Vault,
};

use super::{paths, placement, service};
use crate::job::faults::Faults;

const CPU_MHZ_MIN: i64 = 1;
const MEMORY_MB_MIN: i64 = 10;

pub(super) fn check(job: &JobSpec, group: &TaskGroup, task: &Task) -> Faults {
    let mut faults = Faults::new();
    if task.name.is_empty() {
        faults.add("Missing task name");
    } else if task.name.contains(['/', '\\']) {
        // The task's directory bears its name.
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
    check_placement(job, task, &mut faults);
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
    faults
}

fn check_rest(task: &Task, faults: &mut Faults) {
    if let Some(payload) = &task.dispatch_payload
        && paths::escapes(2, &payload.file)
    {
        let mut part = Faults::new();
        part.add("destination escapes allocation directory");
        faults.add_part_of(part, || "Dispatch Payload".to_owned());
    }
    if let Some(lifecycle) = &task.lifecycle {
        faults.add_part_of(check_lifecycle(lifecycle), || "Lifecycle".to_owned());
    }
    for (index, mount) in task.volume_mounts.iter().enumerate() {
        let mode = mount.propagation_mode.as_deref().unwrap_or("private");
        if !matches!(mode, "private" | "host-to-task" | "bidirectional") {
            faults.add(format!("Volume Mount ({index}) has an invalid propagation mode: {mode:?}"));
        }
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
        for (number, constraint) in (1..).zip(&device.constraints) {
            part.add_part_of(placement::check_constraint(constraint), || format!("Constraint {number}"));
        }
        if !part.texts().is_empty() {
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

fn check_placement(job: &JobSpec, task: &Task, faults: &mut Faults) {
    for (number, constraint) in (1..).zip(&task.constraints) {
        if matches!(constraint.operand.as_str(), "distinct_hosts" | "distinct_property") {
            faults.add(format!(
                "Constraint {number} has disallowed Operand at task level: {}",
                constraint.operand
            ));
        }
    }
    placement::check(faults, job, &task.constraints, &task.affinities);
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

/// `md5:c4aa…`; what holds `${…}` is known on the node only.
fn check_checksum(checksum: &str) -> Result<(), String> {
    if checksum.contains("${") {
        return Ok(());
    }
    if checksum.is_empty() {
        return Err("checksum value cannot be empty".to_owned());
    }
    let (kind, digits) = checksum
        .split_once(':')
        .ok_or_else(|| format!("checksum must be given as \"type:value\"; got {checksum:?}"))?;
    let length = match kind {
        "md5" => 32,
        "sha1" => 40,
        "sha256" => 64,
        "sha512" => 128,
        _ => return Err(format!("unsupported checksum type: {kind}")),
    };
    if digits.len() != length || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(format!("invalid {kind} checksum: {digits}"));
    }
    Ok(())
}

fn check_vault(vault: &Vault) -> Faults {
    let mut faults = Faults::new();
    if vault.policies.is_empty() {
        faults.add("Policy list cannot be empty");
    }
    if vault.policies.iter().any(|policy| policy == "root") {
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
        && let Err(error) = u16::from_str_radix(&permissions, 8)
    {
        faults.add(format!("Failed to parse {permissions:?} as octal: {error}"));
    }
    faults
}

fn check_lifecycle(lifecycle: &Lifecycle) -> Faults {
    let mut faults = Faults::new();
    match lifecycle.hook.as_str() {
        "prestart" | "poststart" | "poststop" => {}
        "" => faults.add("no lifecycle hook provided"),
        other => faults.add(format!("invalid hook: {other}")),
    }
    faults
}
